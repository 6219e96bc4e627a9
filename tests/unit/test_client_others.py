"""Whose credentials a program sends in place of the kept login, and whether it is told: no 401 is without a cause."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow_sso_client import notices, providers
from mlflow_sso_client.logins import Login, LoginStore
from mlflow_sso_client.providers import SsoHeaders

from tests.unit.fakes import Answer, Asked, Fake, fake_server

SEARCH = "POST /api/2.0/mlflow/experiments/search"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(notices.once, "_said", {})
    for name in (*providers.GIVEN, *providers.PAIR, "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server() -> Iterator[Fake]:
    def experiments(asked: Asked) -> Answer:
        return (200, {"experiments": []}) if asked.headers.get("Authorization") == "Bearer good" else (401, {})

    with fake_server() as fake:
        fake.routes[SEARCH] = experiments
        yield fake


def keep(url: str) -> None:
    LoginStore("dev").write(
        Login(
            mlflow_url=url, issuer=f"{url}/realms/mlflow", client_id="mlflow-cli", username="alice", kind="device",
            offline=False, access_token="good", access_from=time.time(), access_until=time.time() + 300,
        )
    )  # fmt: skip


def by_header(url: str, **held: object) -> str | None:
    """What MLflow's own `http_request` gets of the provider that needs no variable."""
    scope: dict[str, object] = {"__name__": "mlflow.utils.rest_utils"}
    exec("def http_request(host_creds, provider):\n    return provider.request_headers()", scope)  # noqa: S102
    answer: dict[str, str] = scope["http_request"](SimpleNamespace(host=url, **held), SsoHeaders())  # type: ignore[operator]
    return answer.get("Authorization")


def search(url: str, **more: str) -> subprocess.CompletedProcess[str]:
    """MLflow's own client, in a process of its own: it reads its entry points at import."""
    program = "import mlflow\nfor _ in range(2): print(len(mlflow.MlflowClient().search_experiments()))"
    return subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, check=False,
        env={**os.environ, "MLFLOW_TRACKING_URI": url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **more},
    )  # fmt: skip


def told(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("mlflow-sso: ")]


@pytest.mark.parametrize("entry", ["machine 127.0.0.1", "default"])
def test_a_line_of_netrc_that_replaces_the_login_is_told(entry: str, home: Path, server: Fake) -> None:
    (home / ".netrc").write_text(f"{entry} login somebody password else\n")
    keep(server.url)
    done = search(server.url)
    (line,) = told(done.stderr)
    assert line.startswith(f"mlflow-sso: ~/.netrc wins over the login kept here for {server.url}; ")
    assert "MLFLOW_TRACKING_AUTH=mlflow-sso" in line
    assert "else" not in line
    assert search(server.url, MLFLOW_TRACKING_AUTH="mlflow-sso").stdout.split() == ["0", "0"], "the next step helps"


def test_a_netrc_of_another_name_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "mine").write_text("machine mlflow.test login somebody password else\n")
    monkeypatch.setenv("NETRC", str(home / "mine"))
    keep("https://mlflow.test")
    assert by_header("https://mlflow.test") is by_header("https://mlflow.test") is None
    (line,) = told(capsys.readouterr().err)
    assert str(home / "mine") in line


@pytest.mark.parametrize("text", ["machine elsewhere.test login a password b\n", "machine", ""])
def test_a_netrc_without_a_line_for_the_server_changes_nothing(
    text: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".netrc").write_text(text)
    keep("https://mlflow.test")
    assert by_header("https://mlflow.test") == "Bearer good"
    assert capsys.readouterr().err == ""


def test_who_uses_netrc_and_has_no_login_is_told_nothing(
    home: Path, server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login alice password token\n")
    assert by_header(server.url) is None
    assert capsys.readouterr().err == ""
    assert server.asked == []


@pytest.mark.parametrize("variables", [(), providers.PAIR[:1], providers.PAIR[1:]])
def test_mlflow_s_own_file_that_replaces_the_login_is_told(
    variables: tuple[str, ...], home: Path, server: Fake
) -> None:
    (home / ".mlflow").mkdir()
    file = home / ".mlflow" / "credentials"
    file.write_text("[mlflow]\nmlflow_tracking_username = somebody\nmlflow_tracking_password = else\n")
    keep(server.url)
    (line,) = told(search(server.url, **dict.fromkeys(variables, "mine")).stderr)
    assert line.startswith(f"mlflow-sso: ~/.mlflow/credentials wins over the login kept here for {server.url}; ")
    assert "mlflow-sso logout --stack dev" in line


def test_a_user_name_and_password_of_the_environment_are_a_choice(server: Fake) -> None:
    keep(server.url)
    assert told(search(server.url, **dict.fromkeys(providers.PAIR, "mine")).stderr) == []
