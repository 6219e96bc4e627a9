"""One login for all programs of the realm: it opens them together, and its end in one place is its end in all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from mlflow_sso_client.oidc import pkce

from settings import PROJECT
from stackctl.clients.keycloak_admin import KeycloakAdmin, RealmSession
from tests.e2e.access.conftest import LIFETIME
from tests.e2e.harness import TIMEOUT
from tests.e2e.people import Browser, Person, keycloak_of
from tests.e2e.waits import lasted

# One worker of pytest-xdist, and so one stack, for all of these.
pytestmark = pytest.mark.xdist_group("access")


@pytest.fixture
def keycloak(bob: Person) -> KeycloakAdmin:
    return keycloak_of(bob.stack.outputs())


@pytest.fixture
def sessions(keycloak: KeycloakAdmin) -> Callable[[], list[RealmSession]]:
    """Bob's sessions, of which a test finds none that others left."""

    def now() -> list[RealmSession]:
        return keycloak.user_sessions(keycloak.find_user("bob"))

    for one in now():
        keycloak.delete_session(one)
    return now


@pytest.fixture
def nobody_offline(keycloak: KeycloakAdmin) -> Iterator[None]:
    """A realm whose users may have no offline sessions, until the test ends."""
    path = f"/roles/default-roles-{keycloak.realm_name}/composites"
    role = [keycloak.get("/roles/offline_access")]
    keycloak.request("DELETE", path, json=role)
    yield
    keycloak.request("POST", path, json=role)


def log_in(person: Person) -> Browser:
    """A browser with MLflow's pages open."""
    browser = Browser().log_in(person.url, person.name, person.password)
    assert pages(browser, person) == 200
    return browser


def pages(browser: Browser, person: Person) -> int:
    """What MLflow answers its page."""
    return browser.ask(f"{person.url}/api/2.0/mlflow/users/current").status_code


def is_known(browser: Browser, person: Person) -> bool:
    """Whether the account console opens without a password (OpenID Connect Core 1.0, 3.1.2.1: `prompt=none`)."""
    issuer = person.stack.outputs()["issuer_url"]
    _, challenge = pkce()
    asked = {
        "client_id": "account-console", "redirect_uri": f"{issuer}/account/", "response_type": "code",
        "scope": "openid", "prompt": "none", "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    answer = browser.ask(f"{issuer}/protocol/openid-connect/auth?{urlencode(asked)}")
    found = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert "code" in found or found["error"] == ["login_required"], answer.headers["Location"]
    return "code" in found


def test_a_login_to_mlflow_opens_the_other_programs(bob: Person, sessions: Callable[[], list[RealmSession]]) -> None:
    browser = log_in(bob)
    assert is_known(browser, bob)
    for _ in range(2):
        again = browser.open(f"{bob.url}/login")
        assert again.url.startswith(bob.url), "it asks for the password again"
    (session,) = sessions()
    assert (session.offline, "mlflow" in session.clients) == (False, True)


@pytest.mark.usefixtures("short_tokens")
def test_the_pages_outlive_their_first_token(bob: Person) -> None:
    browser = log_in(bob)
    end = time.monotonic() + 2 * LIFETIME + 2
    while time.monotonic() < end:
        time.sleep(LIFETIME / 3)
        assert pages(browser, bob) == 200
    assert is_known(browser, bob)


@pytest.mark.usefixtures("short_tokens")
def test_the_end_at_keycloak_is_the_end_of_the_pages(
    bob: Person, keycloak: KeycloakAdmin, sessions: Callable[[], list[RealmSession]]
) -> None:
    browser = log_in(bob)
    (session,) = sessions()
    keycloak.delete_session(session)
    start = time.monotonic()
    spent = lasted(lambda: pages(browser, bob), lambda status: status == 401, "the end of the pages", start)
    assert spent <= LIFETIME + 2
    assert not is_known(browser, bob)


def test_a_logout_in_mlflow_is_one_for_all(bob: Person, sessions: Callable[[], list[RealmSession]]) -> None:
    browser = log_in(bob)
    browser.open(f"{bob.url}/logout")
    assert pages(browser, bob) == 401
    assert not is_known(browser, bob)
    assert sessions() == []


@pytest.mark.usefixtures("nobody_offline")
def test_who_may_have_no_offline_session_logs_in(bob: Person) -> None:
    assert is_known(log_in(bob), bob)


def test_an_offline_session_is_there_for_who_asks(bob: Person, sessions: Callable[[], list[RealmSession]]) -> None:
    bob.log_in("--offline")
    assert [one.offline for one in sessions()] == [True]
    assert bob.mlflow(bob.token()) == 200


def test_up_ends_what_earlier_logins_left_offline_and_nothing_else(bob: Person, keycloak: KeycloakAdmin) -> None:
    """What the plugin's own logins asked for; somebody's `--offline` stays."""
    outputs = bob.stack.outputs()
    form = {"grant_type": "password", "username": "bob", "password": bob.password, "scope": "openid offline_access"}
    for client in (
        {"client_id": outputs["client_id"], "client_secret": outputs["client_secret"]},
        {"client_id": outputs["cli_client_id"]},
    ):
        assert "refresh_token" in requests.post(outputs["token_url"], data={**form, **client}, timeout=TIMEOUT).json()

    def offline() -> set[str]:
        found = keycloak.user_sessions(keycloak.find_user("bob"))
        return {client for one in found if one.offline for client in one.clients}

    assert offline() == {"mlflow", "mlflow-cli"}
    # As a stack is that was brought up before.
    (bob.stack.home / "state" / PROJECT / ".offline-ended" / bob.stack.name).unlink()
    said = bob.stack.up()
    assert "1 offline session(s) of logins to MLflow's pages ended" in said.stderr
    assert offline() == {"mlflow-cli"}
    assert "offline" not in bob.stack.up().stderr
