"""MLflow's stable interface for a login, and what is said of a login that cannot be used: once, never to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from mlflow_sso_client import notices, providers
from mlflow_sso_client.files import write_private
from mlflow_sso_client.logins import LoginStore
from mlflow_sso_client.providers import SsoAuthProvider, SsoHeaders
from mlflow_sso_client.web import is_loopback

from settings import types
from tests.unit.fakes import Answer, Asked, Fake, fake_server, kept_login

TOKEN = "POST /realms/mlflow/protocol/openid-connect/token"
GOOD = "Bearer good"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(notices.once, "_said", {})
    for name in providers.GIVEN:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "mlflow-sso" / "logins"


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_server() as fake:
        fake.routes["GET /api"] = lambda asked: (
            200 if asked.headers.get("Authorization") == GOOD else 401,
            {},
        )
        yield fake


def kept(server: Fake, **changes: object) -> LoginStore:
    return kept_login(server.url, server.issuer(), **changes)  # type: ignore[arg-type]


def ask(url: str, **more: object) -> requests.Response:
    return requests.get(url, auth=SsoAuthProvider().get_auth(), timeout=5, **more)  # type: ignore[arg-type]


def test_a_request_carries_the_token_of_its_server(server: Fake) -> None:
    kept(server)
    assert ask(f"{server.url}/api", params={"a": "https://elsewhere.test"}).status_code == 200


def test_an_ended_token_is_renewed_before_the_request(server: Fake) -> None:
    server.routes[TOKEN] = 200, {"access_token": "good", "expires_in": 300, "refresh_token": "refresh-2"}
    kept(server, access_token="old", access_until=time.time() - 1)
    assert ask(f"{server.url}/api").status_code == 200


def test_no_token_follows_a_redirect_to_another_server(server: Fake) -> None:
    kept(server)
    with fake_server() as other:
        other.routes["GET /stolen"] = 200, {}
        server.routes["GET /away"] = 302, {}, {"Location": f"{other.url}/stolen"}
        assert ask(f"{server.url}/away").status_code == 200
        assert "Authorization" not in other.asked[0].headers


def test_a_server_without_a_login_is_told_once_with_the_next_step(
    server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(server)
    with fake_server() as other:
        other.routes["GET /api"] = 401, {}
        for _ in range(3):
            assert ask(f"{other.url}/api").status_code == 401
        assert not [asked for asked in other.asked if "Authorization" in asked.headers]
        (told,) = capsys.readouterr().err.splitlines()
        assert told.endswith(f"run `mlflow-sso login --url {other.url}`")
        assert server.url in told, "it may be the same server by another name"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((400, {"error": "invalid_grant", "error_description": "Token is not active"}), "run `mlflow-sso login --url"),
        ((400, {"error": "unauthorized_client"}), "run `mlflow-sso login --url"),
    ],
)
def test_a_login_that_ended_is_told_once(
    answer: Answer, told: str, server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes[TOKEN] = answer
    kept(server, access_token="old", access_until=time.time() - 1)
    for _ in range(3):
        assert ask(f"{server.url}/api").status_code == 401
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert "refresh-1" not in line


def test_a_keycloak_that_is_away_is_told(
    server: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "PATIENCE_SECONDS", 0)
    server.routes[TOKEN] = 503, {}
    kept(server, access_token="old", access_until=time.time() - 1)
    assert ask(f"{server.url}/api").status_code == 401
    assert "Keycloak" in capsys.readouterr().err


def sent(host: str, provider: SsoHeaders) -> dict[str, str]:
    """What MLflow's own `http_request` gets of the other provider."""
    scope: dict[str, object] = {"__name__": "mlflow.utils.rest_utils"}
    exec("def http_request(host_creds, provider):\n    return provider.request_headers()", scope)  # noqa: S102
    return scope["http_request"](SimpleNamespace(host=host), provider)  # type: ignore[operator, no-any-return]


WRONG = (
    '{"mlflow_url": 5, "issuer": "", "client_id": "", "username": "", "kind": "", "offline": false, '
    '"access_token": "", "access_from": 0, "access_until": 0}'
)
WRONG_SECRET = WRONG.replace("5", '""').replace("}", ', "client_secret": 5}')
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"mlflow_url": 1}', "\x00", WRONG, WRONG_SECRET, DEEP], ids=list("1234567")
)
def test_a_damaged_login_is_told_once_by_either_way(
    damage: str, home: Path, server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir(parents=True)
    write_private(home / "dev.json", damage)
    provider = SsoHeaders()
    assert sent(server.url, provider) == sent(server.url, provider) == {}
    (line,) = capsys.readouterr().err.splitlines()
    assert "dev.json cannot be read (it is damaged); remove it, and run `mlflow-sso login`" in line
    ask(f"{server.url}/api")
    assert "there is no login for" in capsys.readouterr().err


def test_a_login_that_may_not_be_read_is_told_with_the_reason(
    home: Path, server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "dev.json").mkdir(parents=True)
    assert sent(server.url, SsoHeaders()) == {}
    assert "dev.json cannot be read (Is a directory)" in capsys.readouterr().err


def test_another_name_of_the_same_server_is_told(server: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """127.0.0.1 is not localhost: nothing goes there, and a silent 401 would be the only answer."""
    kept(server)
    other = server.url.replace("127.0.0.1", "localhost")
    assert sent(other, SsoHeaders()) == {}
    assert f"set MLFLOW_TRACKING_URI={server.url}" in capsys.readouterr().err
    assert sent("https://mlflow.other-company.test", SsoHeaders()) == {}
    assert capsys.readouterr().err == "", "that server may ask for no login at all"


def test_mlflow_itself_finds_the_provider_by_its_name(server: Fake) -> None:
    def experiments(asked: Asked) -> Answer:
        return (200, {"experiments": []}) if asked.headers.get("Authorization") == "Bearer good" else (401, {})

    server.routes["POST /api/2.0/mlflow/experiments/search"] = experiments
    kept(server)
    program = "import mlflow; print(len(mlflow.MlflowClient().search_experiments()))"
    env = {**os.environ, "MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_AUTH": "mlflow-sso"}
    env["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=False, env=env)
    assert done.stdout.strip() == "0", done.stderr
    headers = [asked.headers.get("Authorization") for asked in server.asked if asked.method == "POST"]
    assert headers == ["Bearer good"], "one way authenticates, not both"


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "example.com", "localhost.com", ""]
)
def test_the_client_and_the_settings_mean_the_same_by_this_machine(host: str) -> None:
    assert is_loopback(host) == types.is_loopback(host)
