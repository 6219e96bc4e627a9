"""One-time codes and passkeys: administrators need one, others may have one, and the password alone is not enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.ui import WebDriverWait

from components.realm_words import BUILT_IN, is_ours
from tests.e2e.browser import PATIENCE, Browser, chromium
from tests.e2e.harness import Client, Stack
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.mail_sink import Mailbox, mailbox
from tests.e2e.second_factor import App, Pages, add_passkeys
from tests.e2e.test_browser import LOGIN

LIMIT = {"perPerson": 2}
FACTOR = {"passkeys": True, "required": "administrators"}
CAROL = {"username": "carol", "email": "c@example.com", "firstName": "C", "lastName": "C", "groups": ["mlflow-admins"]}
REALM: dict[str, Any] = {"users": [CAROL], "secondFactor": FACTOR}


@pytest.fixture(scope="module")
def mail() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def stack(engine: str, mail: Mailbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    server = {"host": mail.host, "port": mail.port, "sender": "ml@example.com", "encryption": "none"}
    realm = {**deepcopy(REALM), "mail": server, "resetPassword": True}
    with Stack.make(engine, tmp_path_factory.mktemp("factor"), realm=realm).running() as made:
        yield made


@pytest.fixture(scope="module")
def client(stack: Stack) -> Client:
    return Client(stack.outputs())


@pytest.fixture(scope="module")
def app(client: Client) -> App:
    """That of alice, who is an administrator, and had none."""
    pages = log_in(client, "alice")
    assert pages.asks == "set up a code"
    app = pages.set_up_code()
    assert pages.asks == "nothing"
    return app


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as one:
        add_passkeys(one)
        yield one


def password_of(client: Client, username: str) -> str:
    return str(client.outputs["users"][username]["password"])


def log_in(client: Client, username: str) -> Pages:
    return Pages(client).log_in(username, password_of(client, username))


def grant(client: Client, username: str, **more: str) -> int:
    outputs = client.outputs
    answer = client.grant(
        grant_type="password", client_id=outputs["client_id"], client_secret=outputs["client_secret"],
        username=username, password=password_of(client, username), **more,
    )  # fmt: skip
    return answer.status_code


def test_an_administrator_is_asked_for_a_code(client: Client, app: App) -> None:
    pages = log_in(client, "alice")
    assert pages.asks == "a code"
    pages.send(otp="000000")
    assert pages.asks == "a code"
    pages.send(otp=app.code())
    assert pages.asks == "nothing"


def test_nobody_else_has_to_have_one(client: Client) -> None:
    assert log_in(client, "bob").asks == "nothing"
    assert grant(client, "bob") == 200


def test_the_password_grant_takes_a_code_and_no_password_alone(client: Client, app: App) -> None:
    for wrong in ({}, {"totp": "000000"}):
        assert grant(client, "alice", **wrong) in (400, 401)
        # Two within a second are guesses of a machine, after which nobody of that name is let in for a minute.
        time.sleep(1.1)
    assert grant(client, "alice", totp=app.code()) == 200
    assert grant(client, "carol") == 401, "she has none yet"


def test_a_passkey_takes_the_place_of_both(browser: Browser, client: Client) -> None:
    outputs = client.outputs
    open_login(browser, client)
    browser.log_in("carol", password_of(client, "carol"))
    code = browser.find("#totp")
    app = App(str(browser.driver.find_element(By.ID, "totpSecret").get_attribute("value")))
    browser.picture("set-up-code")
    code.send_keys(app.code())
    browser.click("[type=submit]")
    browser.wait_url(outputs["mlflow_url"])
    asked = {
        "response_type": "code", "client_id": outputs["cli_client_id"], "redirect_uri": "http://127.0.0.1:1/callback",
        "scope": "openid", "kc_action": "webauthn-register-passwordless",
        "code_challenge": "x" * 43, "code_challenge_method": "S256",
    }  # fmt: skip
    browser.open(f"{outputs['issuer_url']}/protocol/openid-connect/auth?{urlencode(asked)}")
    browser.click("#registerWebAuthn")
    accept_label(browser)
    browser.wait_url(asked["redirect_uri"])
    browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.open(outputs["mlflow_url"])
    browser.click_text(LOGIN)
    use_passkey(browser)
    # Her password alone leads to one of the two that she has, and to no other one that somebody else would set up.
    assert log_in(client, "carol").asks in ("a code", "a passkey")


def use_passkey(browser: Browser) -> None:
    """The page takes one as soon as the browser offers it, which this one may do unasked."""
    for _ in range(PATIENCE):
        if "Logout" in browser.text:
            return
        for button in browser.driver.find_elements(By.ID, "authenticateWebAuthnButton"):
            with suppress(WebDriverException):
                button.click()
        time.sleep(1)
    raise AssertionError(browser.text)


def accept_label(browser: Browser) -> None:
    """Chromium asks for the name of a new passkey; then the page sends it."""
    WebDriverWait(browser.driver, PATIENCE).until(alert_is_present()).accept()


def open_login(browser: Browser, client: Client) -> None:
    browser.open(client.outputs["mlflow_url"])
    browser.click_text(LOGIN)
    browser.wait_url(client.outputs["issuer_url"])


@pytest.mark.parametrize("more", [{}, {"kc_action": "CONFIGURE_TOTP"}], ids=["plainly", "with another code"])
def test_a_mailbox_is_not_both_factors(client: Client, app: App, mail: Mailbox, more: dict[str, str]) -> None:
    """Whoever reads alice's mail neither comes in nor sets up a code of their own."""
    pages = Pages(client, **more)
    pages.forget_password("alice")
    pages.open(mail.link("alice@example.com"))
    assert pages.asks == "a code"
    pages.send(otp="000000")
    assert pages.asks == "a code"
    # As above: a second failure within a second locks her out.
    time.sleep(1.1)
    if not more:
        pages.send(otp=app.code())
        assert pages.asks == "another password"
        password = password_of(client, "alice")
        pages.send(**{"password-new": password, "password-confirm": password})
        pages.start()
        assert pages.asks == "a password", "a link in a mail is no login"


def test_nothing_is_left_to_do(stack: Stack) -> None:
    said = stack.up().stderr
    assert "realm, " not in said


def test_a_flow_that_somebody_weakened_is_mended(stack: Stack, client: Client, app: App) -> None:
    if stack.engine != "compose":
        pytest.skip("Pulumi sees it with --refresh alone")
    keycloak, realm = KeycloakAdmin(client.outputs), client.outputs["realm"]
    alias = keycloak.get(f"/{realm}")["browserFlow"]
    steps = keycloak.get(f"/{realm}/authentication/flows/{alias}/executions")
    for step in steps:
        if step["displayName"].endswith(("-has-one", "-sets-up-1")):
            keycloak.call(
                "PUT", f"/{realm}/authentication/flows/{alias}/executions", json=step | {"requirement": "DISABLED"}
            )
    assert log_in(client, "alice").asks == "nothing"
    assert "is made anew" in stack.up().stderr
    assert log_in(client, "alice").asks == "a code"
    assert flows(client) == {one for one in flows(client) if not one.endswith("-old")}


def flows(client: Client) -> set[str]:
    found = KeycloakAdmin(client.outputs).get(f"/{client.outputs['realm']}/authentication/flows")
    return {one["alias"] for one in found if is_ours(one["alias"])}


def test_everybody_has_to_have_one_and_then_nobody_again(stack: Stack, client: Client, app: App) -> None:
    before = flows(client)
    stack.config["realm"] |= {"secondFactor": {"required": "everybody"}, "sessionLimit": LIMIT}
    stack.up()
    assert log_in(client, "bob").asks == "set up a code"
    assert log_in(client, "alice").asks == "a code", "the one that she has counts"
    assert grant(client, "bob") in (400, 401)
    assert len(flows(client)) == len(before) == len(BUILT_IN), "those before are gone"
    del stack.config["realm"]["secondFactor"]
    stack.up()
    assert len(flows(client)) == len(BUILT_IN), "those that count sessions"
    count_sessions(client)
    stack.config["realm"]["sessionLimit"] = LIMIT | {"beyond": "refuse"}
    stack.up()
    refuse_sessions(client)
    del stack.config["realm"]["sessionLimit"]
    stack.up()
    assert flows(client) == set()
    realm = KeycloakAdmin(client.outputs).get(f"/{client.outputs['realm']}")
    assert {key: realm[key] for key in BUILT_IN} == dict(BUILT_IN)
    assert log_in(client, "bob").asks == "nothing"
    assert log_in(client, "alice").asks == "a code", "Keycloak's own flow asks whoever has one"
    stack.config["realm"]["secondFactor"] = FACTOR
    stack.up()
    assert flows(client) == before, "nothing of them was left in the way"


def count_sessions(client: Client) -> None:
    """One login too many ends the session that was unused for longest."""
    end_sessions(client, "bob")
    first, second = log_in(client, "bob"), log_in(client, "bob")
    assert sessions(client, "bob") == 2
    time.sleep(1.1)
    second.start()
    assert second.asks == "nothing", "a session that is there is not counted again"
    assert grant(client, "bob") == 200
    assert sessions(client, "bob") == 2
    first.start()
    assert first.asks == "a password"
    second.start()
    assert second.asks == "nothing"
    assert grant(client, "bob", scope="openid offline_access") == 200, "it needs no session that stays"
    assert sessions(client, "bob") <= 2


def refuse_sessions(client: Client) -> None:
    """One login too many is refused, in words, and nothing that is there ends."""
    end_sessions(client, "bob")
    first, second = log_in(client, "bob"), log_in(client, "bob")
    third = log_in(client, "bob")
    assert "too many sessions" in third.text
    time.sleep(1.1)
    assert grant(client, "bob") == 403
    for pages in (first, second):
        pages.start()
        assert pages.asks == "nothing"
    end_sessions(client, "bob")
    assert log_in(client, "bob").asks == "nothing"


def sessions(client: Client, username: str) -> int:
    keycloak, realm = KeycloakAdmin(client.outputs), f"/{client.outputs['realm']}"
    (found,) = keycloak.get(f"{realm}/users?username={username}&exact=true")
    return len(keycloak.get(f"{realm}/users/{found['id']}/sessions"))


def end_sessions(client: Client, username: str) -> None:
    keycloak, realm = KeycloakAdmin(client.outputs), f"/{client.outputs['realm']}"
    (found,) = keycloak.get(f"{realm}/users?username={username}&exact=true")
    keycloak.call("POST", f"{realm}/users/{found['id']}/logout")
