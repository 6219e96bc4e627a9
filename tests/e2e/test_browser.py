"""A person logs in through Keycloak, sees MLflow, and logs out for good.

Each step leaves a picture; `make screenshots` keeps them for the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.browser import Browser, chromium
from tests.e2e.harness import TIMEOUT, Client

API = "/api/2.0/mlflow"
LOGIN = "Login with Keycloak"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as one:
        yield one


@pytest.fixture(scope="session")
def experiments(client: Client) -> dict[str, str]:
    """Two experiments of alice's, of which bob may see one; their names by what bob may do."""
    token = client.password_token("alice")["access_token"]
    names = {"hidden": "Churn model", "granted": "Price forecast"}
    # A first call makes bob known to MLflow, so that something can be granted to him.
    bob = client.password_token("bob")["access_token"]
    assert client.mlflow(f"{API}/experiments/search?max_results=1", bob).status_code == 200
    for kind, name in names.items():
        made = client.mlflow(f"{API}/experiments/create", token, "POST", json={"name": name}).json()
        if kind == "granted":
            path = f"{API}/permissions/users/bob/experiments/{made['experiment_id']}"
            assert client.mlflow(path, token, "POST", json={"permission": "READ"}).status_code == 200
    return names


def test_an_admin_logs_in_sees_everything_and_logs_out(
    browser: Browser, client: Client, experiments: dict[str, str]
) -> None:
    _log_in(browser, client, "alice", picture="keycloak-login")
    _open_experiments(browser, client)
    for name in ("Default", *experiments.values()):
        browser.wait_text(name)
    browser.wait_text("Alice Sample")
    browser.picture("mlflow-admin")
    _log_out(browser, client)
    browser.picture("logged-out")


def test_a_plain_user_sees_what_was_granted(browser: Browser, client: Client, experiments: dict[str, str]) -> None:
    _log_in(browser, client, "bob")
    _open_experiments(browser, client)
    browser.wait_text(experiments["granted"])
    browser.wait_text("Bob Sample")
    assert experiments["hidden"] not in browser.text
    browser.picture("mlflow-user")
    _log_out(browser, client)


def test_a_user_in_no_group_is_told_so(browser: Browser, client: Client) -> None:
    browser.open(client.outputs["mlflow_url"])
    browser.click_text(LOGIN)
    browser.log_in("carol", client.outputs["users"]["carol"]["password"])
    browser.wait_url(client.outputs["mlflow_url"])
    browser.wait_text("not allowed")
    browser.picture("no-group")
    assert _status_with(browser, client) == 401


def test_a_wrong_password_is_told_so_and_lets_nobody_in(browser: Browser, client: Client) -> None:
    browser.open(client.outputs["mlflow_url"])
    browser.click_text(LOGIN)
    browser.log_in("bob", "a wrong password")
    browser.wait_text("Invalid username or password.")
    assert browser.url.startswith(client.outputs["issuer_url"])


def _log_in(browser: Browser, client: Client, username: str, picture: str | None = None) -> None:
    """From MLflow's address by way of Keycloak's page and back."""
    browser.open(client.outputs["mlflow_url"])
    browser.click_text(LOGIN)
    browser.wait_url(client.outputs["issuer_url"])
    browser.wait_text("Sign in to your account")
    assert "MLFLOW" in browser.text.upper()
    if picture:
        browser.picture(picture)
    browser.log_in(username, client.outputs["users"][username]["password"])
    browser.wait_url(client.outputs["mlflow_url"])
    browser.wait_text("Experiments")
    assert "/oidc/ui" not in browser.url


def _open_experiments(browser: Browser, client: Client) -> None:
    browser.open(f"{client.outputs['mlflow_url']}/#/experiments")
    browser.wait_text("Time created")
    # MLflow opens its assistant beside the page on a first visit.
    browser.click('[data-component-id="mlflow.assistant.chat_panel.close"]')


def _log_out(browser: Browser, client: Client) -> None:
    """Out of MLflow and of Keycloak: the old cookies are worth nothing, the next login asks for a password."""
    cookies = browser.cookies()
    assert _status(client, cookies) == 200
    browser.click_text("Logout")
    browser.wait_text(LOGIN)
    assert browser.url.startswith(client.outputs["mlflow_url"])
    assert _status(client, cookies) == 401
    assert _status_with(browser, client) == 401
    browser.click_text(LOGIN)
    browser.find("#username")
    assert browser.url.startswith(client.outputs["issuer_url"])
    browser.driver.back()
    browser.wait_text(LOGIN)


def _status_with(browser: Browser, client: Client) -> int:
    return _status(client, browser.cookies())


def _status(client: Client, cookies: dict[str, str]) -> int:
    """How MLflow answers whoever holds these cookies."""
    url = f"{client.outputs['mlflow_url']}{API}/experiments/search?max_results=1"
    return requests.get(url, cookies=cookies, timeout=TIMEOUT, allow_redirects=False).status_code
