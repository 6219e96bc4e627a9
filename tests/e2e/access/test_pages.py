"""Tokens and sessions in a real browser; its pictures are those of the guides (`make screenshots` keeps them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.browser import Browser, chromium
from tests.e2e.people import Person

# One worker of pytest-xdist, and so one stack, for all of these.
pytestmark = pytest.mark.xdist_group("access")
LOGIN = "Login with Keycloak"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as one:
        yield one


def open_mlflow(browser: Browser, person: Person, path: str) -> None:
    """Log in to MLflow's pages and go to one of them."""
    url = person.stack.outputs()["mlflow_url"]
    browser.open(url)
    browser.click_text(LOGIN)
    browser.log_in(person.name, person.password)
    browser.wait_url(url)
    browser.open(url + path)


def test_a_token_is_made_used_and_deleted(browser: Browser, alice: Person) -> None:
    open_mlflow(browser, alice, "/oidc/ui/user/tokens")
    browser.click_text("Create token")
    browser.find("form input[type=text]").send_keys("dashboard")
    browser.find("form [type=submit]").click()
    browser.wait_text("It will not be shown again")
    secret = browser.driver.execute_script(
        "return [...document.querySelectorAll('input, code, pre, textarea')]"
        ".map(e => e.value || e.textContent).find(t => t.startsWith('mlf_'))"
    )
    assert alice.mlflow(auth=("alice", secret)) == 200
    # What is in a picture is public; the token is deleted below, but nobody should have to know that.
    browser.driver.execute_script(
        "for (const e of document.querySelectorAll('input, code, pre, textarea'))"
        "  if ((e.value || e.textContent).startsWith('mlf_'))"
        "    if (e.value === undefined) e.textContent = arguments[0]; else e.value = arguments[0]",
        secret[:13] + "_" + "x" * 43,
    )
    browser.picture("token-created")
    browser.click_text("Done")
    browser.wait_text("dashboard")
    browser.picture("tokens")
    browser.find("[aria-label='Delete token dashboard'], [title='Delete token dashboard']").click()
    browser.wait_text("dashboard")
    browser.picture("token-delete")
    browser.find("[role=dialog]").find_elements(By.XPATH, ".//button[contains(., 'Delete')]")[-1].click()
    browser.wait_text("deleted")
    assert alice.mlflow(auth=("alice", secret)) == 401


def test_an_administrator_ends_a_session_in_mlflow(
    browser: Browser, alice: Person, bob: Person, tmp_path: Path
) -> None:
    with chromium(tmp_path / "profile-of-bob") as other:
        open_mlflow(other, bob, "/oidc/ui/user")
        other.wait_text("bob")
        open_mlflow(browser, alice, "/oidc/ui/users")
        browser.wait_text("bob")
        row = browser.find("body").find_element(
            By.XPATH, ".//*[@title='Sessions' and ancestor::*[contains(., 'bob')][1][not(contains(., 'alice'))]]"
        )
        row.click()
        browser.wait_text("Sessions of bob")
        browser.wait_text("Signed in")
        browser.picture("mlflow-sessions")
        browser.find("[role=dialog]").find_elements(By.XPATH, ".//button[contains(., 'Revoke all')]")[0].click()
        browser.wait_text("They will be signed out everywhere")
        browser.find("[role=dialog]").find_elements(By.XPATH, ".//button[contains(., 'Revoke')]")[-1].click()
        browser.wait_text("No live sessions.")
        status = other.driver.execute_script("return fetch('/api/2.0/mlflow/users/current').then(r => r.status)")
        assert status == 401


def test_device_activity_in_the_account_console(browser: Browser, bob: Person) -> None:
    issuer = bob.stack.outputs()["issuer_url"]
    browser.open(f"{issuer}/account/account-security/device-activity")
    browser.log_in("bob", bob.password)
    browser.wait_text("Signed in devices")
    browser.wait_text("Current session")
    browser.picture("keycloak-devices")


def test_sessions_of_a_user_in_the_admin_console(browser: Browser, bob: Person) -> None:
    bob.log_in()
    outputs = bob.stack.outputs()
    console = f"{outputs['keycloak_url']}/admin/master/console"
    browser.open(f"{console}/#/{outputs['realm']}/users")
    browser.log_in(outputs["admin"]["username"], outputs["admin"]["password"])
    search = browser.find("input[type=search], input[placeholder*='earch']")
    search.send_keys("bob", Keys.ENTER)
    browser.click_text("bob")
    browser.click_text("Sessions")
    browser.wait_text("mlflow-cli")
    browser.picture("keycloak-sessions")
