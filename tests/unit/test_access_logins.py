"""The kept login: private, renewed once however many ask, and sent to its own server alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow_sso_client import notices
from mlflow_sso_client.errors import KeycloakDownError, NotLoggedInError
from mlflow_sso_client.logins import Login, LoginStore, login_for
from mlflow_sso_client.providers import SsoHeaders

from tests.unit.fakes import Answer, Asked, Fake, fake_server

TOKEN = "POST /realms/mlflow/protocol/openid-connect/token"


@pytest.fixture
def keycloak() -> Iterator[Fake]:
    with fake_server() as fake:
        yield fake


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(notices.once, "_said", {})
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_AUTH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def kept(keycloak: Fake, **changes: object) -> LoginStore:
    """A login whose access token has ended, unless `changes` say otherwise."""
    login = Login(
        mlflow_url="https://mlflow.test:5000",
        issuer=keycloak.issuer(),
        client_id="mlflow-cli",
        username="alice",
        kind="password",
        offline=False,
        access_token="old",
        access_from=time.time() - 300,
        access_until=time.time() - 1,
        refresh_token="refresh-1",
    )
    store = LoginStore("dev")
    store.write(replace(login, **changes))  # type: ignore[arg-type]
    return store


def grants(number: int) -> Answer:
    tokens = {"access_token": f"new-{number}", "refresh_token": f"refresh-{number + 1}", "refresh_expires_in": 1800}
    return 200, {**tokens, "expires_in": 300}


def test_a_fresh_token_needs_no_request(keycloak: Fake) -> None:
    store = kept(keycloak, access_until=time.time() + 200, access_token="good")
    assert store.access_token() == "good"
    assert keycloak.asked == []


def test_an_ended_token_is_renewed_and_kept(keycloak: Fake) -> None:
    keycloak.routes[TOKEN] = grants(1)
    store = kept(keycloak)
    assert store.access_token() == "new-1"
    assert store.read().refresh_token == "refresh-2"
    assert store.access_token() == "new-1"
    assert keycloak.times(TOKEN) == 1


def test_a_token_that_ends_within_the_margin_is_renewed(keycloak: Fake) -> None:
    keycloak.routes[TOKEN] = grants(1)
    store = kept(keycloak, access_until=time.time() + 10)
    assert store.access_token() == "new-1"


def test_the_margin_is_short_for_a_short_token(keycloak: Fake) -> None:
    store = kept(keycloak, access_from=time.time() - 5, access_until=time.time() + 10)
    assert store.access_token() == "old"


def test_the_file_is_for_its_user_alone(keycloak: Fake) -> None:
    store = kept(keycloak)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700


def test_processes_side_by_side_refresh_once(keycloak: Fake) -> None:
    def slowly(asked: Asked) -> Answer:
        time.sleep(0.5)
        return grants(1)

    keycloak.routes[TOKEN] = slowly
    kept(keycloak)
    program = "from mlflow_sso_client.logins import LoginStore; print(LoginStore('dev').access_token())"

    def other(_: int) -> str:
        return subprocess.run(
            (sys.executable, "-c", program), capture_output=True, text=True, check=True
        ).stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(other, range(4))) == {"new-1"}
    assert keycloak.times(TOKEN) == 1


def test_a_revoked_login_says_so_without_a_secret(keycloak: Fake) -> None:
    keycloak.routes[TOKEN] = 400, {"error": "invalid_grant", "error_description": "Session not active"}
    with pytest.raises(NotLoggedInError, match=r"revoked .Session not active.; run `mlflow-sso login`") as e:
        kept(keycloak).access_token()
    assert "refresh-1" not in str(e.value)


def test_no_login_is_an_error_of_its_own() -> None:
    with pytest.raises(NotLoggedInError, match="no login for stack dev"):
        LoginStore("dev").access_token()


def test_a_broken_file_is_no_traceback(home: Path) -> None:
    path = LoginStore("dev").path
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(NotLoggedInError, match="cannot be read"):
        LoginStore("dev").read()


def test_a_service_account_asks_anew_with_its_secret(keycloak: Fake) -> None:
    keycloak.routes[TOKEN] = 200, {"access_token": "machine", "expires_in": 300}
    store = kept(keycloak, client_id="ci", client_secret="s3cret", refresh_token="")
    assert store.access_token() == "machine"
    assert keycloak.asked[-1].form["grant_type"] == "client_credentials"


def test_nothing_of_a_login_shows_in_its_repr(keycloak: Fake) -> None:
    login = replace(kept(keycloak).read(), client_secret="s3cret")
    assert not [secret for secret in ("old", "refresh-1", "s3cret") if f"'{secret}'" in repr(login)]


def test_a_login_is_found_by_its_address_alone(keycloak: Fake) -> None:
    kept(keycloak)
    assert login_for("https://mlflow.test:5000/") is not None
    assert login_for("https://mlflow.test:5000/api/2.0/mlflow-artifacts/artifacts/1") is not None
    assert login_for("https://mlflow.test:5000.evil.test") is None
    assert login_for("https://mlflow.test:50001/") is None
    assert login_for("http://mlflow.test:5000") is None
    assert login_for("https://someone@mlflow.test:5000") is None
    assert login_for("https://mlflow.test:5000\\@evil.test/") is None
    assert login_for("https://mlflow.test:50000000/") is None


@pytest.mark.parametrize("address", ["https://MLflow.test", "HTTPS://mlflow.test/", "https://mlflow.test:443/api/2.0"])
def test_a_login_is_found_by_every_spelling_of_its_address(address: str, keycloak: Fake) -> None:
    kept(keycloak, mlflow_url="https://mlflow.test")
    assert login_for(address) is not None


def test_of_two_logins_the_one_that_has_ended_comes_last(keycloak: Fake) -> None:
    """A dead login of an earlier name would otherwise hide the new one from every client."""
    kept(keycloak, refresh_until=time.time() - 1)
    LoginStore("newer").write(replace(kept(keycloak, refresh_until=time.time() - 1).read(), refresh_until=0.0))
    found = login_for("https://mlflow.test:5000")
    assert found is not None
    assert found.stack == "newer"


# What follows stands in for MLflow's own `http_request`, whose arguments the provider reads.

SENDER = {"__name__": "mlflow.utils.rest_utils"}
exec("def http_request(host_creds, provider):\n    return provider.request_headers()", SENDER)  # noqa: S102


def sent(host: str, provider: SsoHeaders | None = None) -> dict[str, str]:
    return SENDER["http_request"](SimpleNamespace(host=host), provider or SsoHeaders())  # type: ignore[operator, no-any-return]


def test_the_header_goes_to_the_server_of_the_login(keycloak: Fake) -> None:
    kept(keycloak, access_until=time.time() + 200, access_token="good")
    assert sent("https://mlflow.test:5000") == {"Authorization": "Bearer good"}


def test_artifacts_lie_below_the_address(keycloak: Fake) -> None:
    kept(keycloak, access_until=time.time() + 200, access_token="good")
    assert sent("https://mlflow.test:5000/api/2.0/mlflow-artifacts/artifacts/1/x") == {"Authorization": "Bearer good"}


def test_no_header_goes_to_another_server(keycloak: Fake) -> None:
    kept(keycloak, access_until=time.time() + 200, access_token="good")
    provider = SsoHeaders()
    assert sent("https://mlflow.test:5000", provider)
    assert sent("http://elsewhere.test:5000", provider) == {}


def test_no_header_is_made_where_the_server_is_not_known(keycloak: Fake) -> None:
    kept(keycloak, access_until=time.time() + 200, access_token="good")
    assert SsoHeaders().request_headers() == {}


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH"])
def test_credentials_that_are_given_win(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SsoHeaders().in_context()
    monkeypatch.setenv(name, "mine")
    assert not SsoHeaders().in_context()


def test_a_dead_login_is_told_on_standard_error(keycloak: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    keycloak.routes[TOKEN] = 400, {"error": "invalid_grant", "error_description": "Session not active"}
    kept(keycloak)
    assert sent("https://mlflow.test:5000") == {"Authorization": "Bearer old"}
    assert "run `mlflow-sso login --url https://mlflow.test:5000`" in capsys.readouterr().err


def test_a_restart_of_keycloak_is_waited_for(keycloak: Fake) -> None:
    answers: Iterator[Answer] = iter([(503, {}), grants(1)])
    keycloak.routes[TOKEN] = lambda asked: next(answers)
    kept(keycloak)
    assert sent("https://mlflow.test:5000") == {"Authorization": "Bearer new-1"}


def test_threads_of_one_process_refresh_once(keycloak: Fake) -> None:
    keycloak.routes[TOKEN] = grants(1)
    kept(keycloak)
    provider, found = SsoHeaders(), []
    threads = [
        threading.Thread(target=lambda: found.append(sent("https://mlflow.test:5000", provider))) for _ in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [{"Authorization": "Bearer new-1"}] * 8
    assert keycloak.times(TOKEN) == 1


def test_keycloak_being_down_is_told_apart(keycloak: Fake) -> None:
    keycloak.routes[TOKEN] = 502, "bad gateway"
    with pytest.raises(KeycloakDownError, match="answered 502"):
        kept(keycloak).access_token()


def test_mlflow_itself_finds_and_uses_the_provider(keycloak: Fake) -> None:
    """The entry point is installed, and MLflow's own client sends the header."""

    def experiments(asked: Asked) -> Answer:
        return (200, {"experiments": []}) if asked.headers.get("Authorization") == "Bearer good" else (401, {})

    keycloak.routes["POST /api/2.0/mlflow/experiments/search"] = experiments
    kept(keycloak, mlflow_url=keycloak.url, access_until=time.time() + 200, access_token="good")
    program = "import mlflow; print(len(mlflow.MlflowClient().search_experiments()))"
    # A process of its own: MLflow reads its entry points at import.
    done = subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, check=False,
        env={**os.environ, "MLFLOW_TRACKING_URI": keycloak.url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
    )  # fmt: skip
    assert done.stdout.strip() == "0", done.stderr


def test_the_module_needs_no_mlflow() -> None:
    program = (
        "import sys; sys.modules['mlflow'] = None; import mlflow_sso_client.providers, json; print(json.dumps(True))"
    )
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is True
