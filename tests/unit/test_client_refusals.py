"""A server that refuses a token which looks good from here: a new one is tried once, and its user is told."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow_sso_client import notices
from mlflow_sso_client.providers import SsoAuth, SsoAuthProvider

from tests.unit.fakes import Answer, Asked, Fake, fake_server, kept_login

TOKEN = "POST /realms/mlflow/protocol/openid-connect/token"
GRANT = 200, {"access_token": "good", "expires_in": 300, "refresh_token": "refresh-2"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(notices.once, "_said", {})
    return tmp_path


@pytest.fixture
def server() -> Iterator[Fake]:
    """It takes the token `good` alone, and a login is kept whose token is another one and young."""

    def answer(asked: Asked) -> Answer:
        return (200, asked.body) if asked.headers.get("Authorization") == "Bearer good" else (401, {})

    with fake_server() as fake:
        fake.routes |= {"GET /api": answer, "POST /api": answer}
        kept_login(fake.url, fake.issuer(), access_token="of-before")
        yield fake


@pytest.fixture
def auth() -> SsoAuth:
    return SsoAuthProvider().get_auth()


def test_a_new_token_takes_the_place_of_the_refused_one(
    server: Fake, auth: SsoAuth, capsys: pytest.CaptureFixture[str]
) -> None:
    """The keys of a Keycloak may have been replaced."""
    server.routes[TOKEN] = GRANT
    for _ in range(2):
        answer = requests.post(f"{server.url}/api", data="body", auth=auth, timeout=5)
        assert (answer.status_code, answer.text) == (200, "body")
    assert server.times("POST /api") == 3, "the second request knows the new token"
    assert capsys.readouterr().err == ""


def test_a_dead_login_is_told_once_with_its_server(
    server: Fake, auth: SsoAuth, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a stack that was destroyed and made anew, or of a user who is disabled."""
    server.routes[TOKEN] = 400, {"error": "invalid_grant", "error_description": "User disabled"}
    for _ in range(3):
        assert requests.get(f"{server.url}/api", auth=auth, timeout=5).status_code == 401
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mlflow-sso: {server.url} refuses the login of alice that is kept here (")
    assert "User disabled" in line
    assert line.endswith(f"; run `mlflow-sso login --url {server.url}`")
    assert "of-before" not in line
    assert server.times(TOKEN) == 1, "Keycloak is asked once"


def test_a_server_that_refuses_each_token_is_told_once(
    server: Fake, auth: SsoAuth, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes[TOKEN] = 200, {"access_token": "other", "expires_in": 300, "refresh_token": "refresh-2"}
    for _ in range(3):
        assert requests.get(f"{server.url}/api", auth=auth, timeout=5).status_code == 401
    (line,) = capsys.readouterr().err.splitlines()
    assert f"run `mlflow-sso login --url {server.url}`" in line
    assert server.times(TOKEN) == 1
    assert server.times("GET /api") == 4, "one of the three was made twice"


def test_whoever_logs_in_again_meanwhile_is_let_in(
    server: Fake, auth: SsoAuth, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes[TOKEN] = 400, {"error": "invalid_grant"}
    assert requests.get(f"{server.url}/api", auth=auth, timeout=5).status_code == 401
    assert "mlflow-sso login" in capsys.readouterr().err
    kept_login(server.url, server.issuer())
    assert requests.get(f"{server.url}/api", auth=auth, timeout=5).status_code == 200
    assert capsys.readouterr().err == ""


def test_a_body_that_is_read_once_is_not_sent_again(
    server: Fake, auth: SsoAuth, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes[TOKEN] = GRANT
    assert requests.post(f"{server.url}/api", data=io.BytesIO(b"body"), auth=auth, timeout=5).status_code == 401
    assert server.times("POST /api") == 1
    assert "mlflow-sso: " in capsys.readouterr().err
    assert requests.post(f"{server.url}/api", data=io.BytesIO(b"body"), auth=auth, timeout=5).text == "body"


def test_a_refusal_by_a_server_that_another_one_redirects_to_is_told_once(
    server: Fake, auth: SsoAuth, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_server() as other:
        other.routes["GET /api"] = 401, {}
        server.routes["GET /away"] = 302, {}, {"Location": f"{other.url}/api"}
        for _ in range(2):
            assert requests.get(f"{server.url}/away", auth=auth, timeout=5).status_code == 401
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{server.url} redirects to {other.url}, where the login" in line
        assert "Authorization" not in other.asked[-1].headers
    assert server.times(TOKEN) == 0


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
def test_nothing_is_done_about_any_other_answer(
    status: int, server: Fake, auth: SsoAuth, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes["GET /api"] = status, {}
    assert requests.get(f"{server.url}/api", auth=auth, timeout=5).status_code == status
    assert capsys.readouterr().err == ""
    assert server.times(TOKEN) == 0
