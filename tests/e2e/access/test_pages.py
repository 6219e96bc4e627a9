"""Tokens and sessions in a real browser; its pictures are those of the guides (`make screenshots` keeps them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import Browser, chromium
from tests.e2e.people import Person, keycloak_of

# One worker of pytest-xdist, and so one stack, for all of these.
pytestmark = pytest.mark.xdist_group("access")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as one:
        yield one


def open_mlflow(browser: Browser, person: Person, path: str) -> None:
    """Log in to MLflow's pages and go to one of them."""
    url = person.stack.outputs()["mlflow_url"]
    browser.open(f"{url}/login")
    browser.log_in(person.name, person.password)
    browser.wait_url(url)
    browser.open(url + path)


def press(browser: Browser, text: str) -> None:
    """Press the last button of the open dialog that says so: of two dialogs the upper one."""
    browser.click_xpath(f"(//dialog[@open]//button[contains(normalize-space(.), '{text}')])[last()]")


def test_a_token_is_made_used_and_deleted(browser: Browser, alice: Person) -> None:
    open_mlflow(browser, alice, "/oidc/ui/user/tokens")
    browser.click_text("Create token")
    browser.find("dialog[open] #user-token-name").send_keys("dashboard")
    browser.click("dialog[open] [type=submit]")
    field = browser.find("#user-token-secret")
    secret = str(field.get_attribute("value"))
    assert alice.mlflow(auth=("alice", secret)) == 200
    # What is in a picture is public; the token is deleted below, but nobody should have to know that.
    browser.driver.execute_script("arguments[0].value = arguments[1]", field, secret[:13] + "x" * 43)
    browser.picture("token-created")
    press(browser, "Done")
    browser.find("[aria-label='Delete token dashboard'], [title='Delete token dashboard']")
    browser.picture("tokens")
    browser.click("[aria-label='Delete token dashboard'], [title='Delete token dashboard']")
    browser.find("dialog[open]")
    browser.picture("token-delete")
    press(browser, "Delete")
    browser.wait_text('Token "dashboard" deleted')
    assert alice.mlflow(auth=("alice", secret)) == 401


def test_an_administrator_ends_a_session_in_mlflow(
    browser: Browser, alice: Person, bob: Person, tmp_path: Path
) -> None:
    with chromium(tmp_path / "profile-of-bob") as other:
        open_mlflow(other, bob, "/oidc/ui/user")
        other.wait_text("Bob Sample")
        open_mlflow(browser, alice, "/oidc/ui/users")
        browser.wait_text("Bob Sample")
        # The nearest thing around a button that names a user is the user's row.
        path = "//*[@title='Sessions'][ancestor::*[contains(., 'Sample')][1][contains(., 'bob')]]"
        browser.click_xpath(path)
        browser.wait_text("Sessions of bob")
        browser.wait_text("Signed in")
        browser.picture("mlflow-sessions")
        press(browser, "Revoke all")
        browser.wait_text("They will be signed out everywhere")
        press(browser, "Confirm")
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
    user = keycloak_of(outputs).find_user("bob")
    browser.open(f"{outputs['keycloak_url']}/admin/master/console/#/{outputs['realm']}/users/{user.id}/sessions")
    browser.log_in(outputs["admin"]["username"], outputs["admin"]["password"])
    browser.wait_text("Logout all sessions")
    browser.wait_text("mlflow-cli")
    browser.picture("keycloak-sessions")
    browser.click_text("Logout all sessions")
    browser.click_text("Confirm")
    browser.wait_text("No sessions")
    assert bob.refresh_is_refused()
