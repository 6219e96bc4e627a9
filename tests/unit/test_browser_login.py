"""The login in a browser: whose answer counts, and how long it is waited for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from mlflow_sso_client import browser
from mlflow_sso_client.errors import NotLoggedInError
from mlflow_sso_client.oidc import Provider, Tokens, discover

from tests.unit.fakes import Fake, fake_server

TOKENS = {"access_token": "a", "refresh_token": "r", "expires_in": 60}


@pytest.fixture
def keycloak() -> Iterator[Fake]:
    with fake_server() as fake:
        yield fake


def log_in(keycloak: Fake, *answers: dict[str, str]) -> tuple[list[int], Tokens]:
    """Log in with a browser that comes back with these answers, one after the other; `=` stands for the right state."""
    statuses: list[int] = []

    def come(url: str) -> bool:
        asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}

        def come_back() -> None:
            for answer in answers:
                query = {key: asked["state"] if value == "=" else value for key, value in answer.items()}
                statuses.append(requests.get(asked["redirect_uri"], params=query, timeout=5).status_code)

        threading.Thread(target=come_back, daemon=True).start()
        return True

    return statuses, browser.browser_login(provider(keycloak), "mlflow-cli", offline=False, open_url=come)


def provider(keycloak: Fake) -> Provider:
    keycloak.routes["POST /realms/mlflow/protocol/openid-connect/token"] = 200, TOKENS
    return discover(keycloak.issuer(), requests.Session())


def test_an_answer_to_another_login_does_not_end_this_one(keycloak: Fake) -> None:
    statuses, tokens = log_in(keycloak, {"x": "1"}, {"code": "c", "state": "stolen"}, {"code": "c", "state": "="})
    assert statuses[:2] == [400, 400]
    assert tokens.access_token == "a"


def test_a_refusal_is_told(keycloak: Fake) -> None:
    with pytest.raises(NotLoggedInError, match="access_denied"):
        log_in(keycloak, {"error": "access_denied", "state": "="})


def test_nobody_is_waited_for_without_an_end() -> None:
    with browser._Callback("state") as server, pytest.raises(NotLoggedInError, match="within five minutes"):
        server.wait(0.05)


def test_a_connection_that_says_nothing_keeps_no_answer_waiting(
    keycloak: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers open some ahead of time."""
    monkeypatch.setattr(browser._Handler, "timeout", 0.2)
    idle: list[socket.socket] = []
    answers: list[int] = []
    with browser._Callback("state") as server:
        idle.append(socket.create_connection(("127.0.0.1", server.server_port)))
        url = f"http://127.0.0.1:{server.server_port}{browser.PATH}"
        query = {"state": "state", "code": "c"}
        come = threading.Thread(target=lambda: answers.append(requests.get(url, params=query, timeout=5).status_code))
        come.start()
        assert server.wait(4) == query
        come.join()
    assert answers == [200]
    idle[0].close()


def test_each_connection_has_an_end() -> None:
    assert browser._Handler.timeout is not None
    assert browser._Handler.timeout < 10
