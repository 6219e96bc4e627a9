"""The client where it is used: in an environment with MLflow's own, in a folder with modules of its user's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow_sso_client.logins import Login, LoginStore

from settings import ROOT
from tests.e2e.pythons import RUNNING, SUPPORTED, environment, python
from tests.unit.fakes import Answer, Asked, Fake, fake_server, token

# The oldest and the one that is here for certain; with SOAK=1 all of them.
VERSIONS = tuple(dict.fromkeys((*(SUPPORTED if os.environ.get("SOAK") else SUPPORTED[:1]), RUNNING)))
SEARCH = "POST /api/2.0/mlflow/experiments/search"
TRAIN = """
import settings, components, platforms, stackctl
assert settings.MINE and components.MINE and platforms.MINE and stackctl.MINE
import mlflow
print(len(mlflow.MlflowClient().search_experiments()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT / "client")
    subprocess.run((sys.executable, *words), check=True)
    (found,) = folder.glob("mlflow_sso_client-*.whl")
    return found


@pytest.fixture(scope="module", params=VERSIONS)
def interpreter(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = python(request.param)
    if found is None:
        pytest.skip(f"this machine has no Python {request.param} that can make an environment; PYTHONS may name one")
    return environment(found, tmp_path_factory.mktemp("alone") / "venv", wheel)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What somebody's project looks like: with names that this one has as well."""
    for name in ("settings.py", "components.py", "stackctl.py"):
        (tmp_path / name).write_text("MINE = True\n")
    (tmp_path / "platforms").mkdir()
    (tmp_path / "platforms" / "__init__.py").write_text("MINE = True\n")
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def train(interpreter: Path, folder: Path, server: Fake, **more: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"),
        "MLFLOW_TRACKING_URI": server.url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **more,
    }  # fmt: skip
    return subprocess.run(
        (interpreter, "train.py"), cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )


def keep(server: Fake, folder: Path, monkeypatch: pytest.MonkeyPatch, *, token: str, left: float) -> None:
    """Keep a login whose access token ends in that many seconds."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    LoginStore("dev").write(
        Login(
            mlflow_url=server.url, issuer=server.issuer(), client_id="mlflow-cli", username="alice", kind="device",
            offline=False, access_token=token, access_from=time.time() - 300, access_until=time.time() + left,
            refresh_token="refresh-1",
        )
    )  # fmt: skip


WAYS = pytest.mark.parametrize("way", [{}, {"MLFLOW_TRACKING_AUTH": "mlflow-sso"}], ids=["header", "auth"])


@WAYS
def test_mlflows_client_sends_the_token_and_renews_it(
    way: dict[str, str], interpreter: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def experiments(asked: Asked) -> Answer:
        return (200, {"experiments": []}) if asked.headers.get("Authorization") == "Bearer new" else (401, {})

    with fake_server() as server:
        server.routes[SEARCH] = experiments
        token = {"access_token": "new", "expires_in": 300, "refresh_token": "refresh-2"}
        server.routes["POST /realms/mlflow/protocol/openid-connect/token"] = 200, token
        keep(server, folder, monkeypatch, token="old", left=-1)
        done = train(interpreter, folder, server, **way)
        assert done.stdout.strip() == "0", done.stderr
        kept = json.loads((folder / "config" / "mlflow-sso" / "logins" / "dev.json").read_text())
        assert kept["refresh_token"] == "refresh-2"


@WAYS
def test_no_token_follows_a_redirect_of_mlflow_to_another_server(
    way: dict[str, str], interpreter: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_server() as server, fake_server() as other:
        server.routes[SEARCH] = 307, {}, {"Location": f"{other.url}/stolen"}
        other.routes["POST /stolen"] = 200, {"experiments": []}
        keep(server, folder, monkeypatch, token="good", left=200)
        done = train(interpreter, folder, server, **way)
        assert done.stdout.strip() == "0", done.stderr
        assert [asked.headers.get("Authorization") for asked in server.asked] == ["Bearer good"]
        assert [asked.headers.get("Authorization") for asked in other.asked] == [None]


@WAYS
def test_no_login_is_told_and_nothing_is_a_silent_401(way: dict[str, str], interpreter: Path, folder: Path) -> None:
    with fake_server() as server:
        server.routes[SEARCH] = server.routes["GET /api/2.0/mlflow/users/current"] = 401, {}
        done = train(interpreter, folder, server, **way)
        assert done.returncode != 0
        assert done.stderr.count(f"run `mlflow-sso login --url {server.url}`") == 1


def test_what_env_prints_renews_itself_and_is_good_without_the_client(
    interpreter: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_server() as server:
        server.routes[SEARCH] = 200, {"experiments": []}
        old, new = token("alice", 1), token("alice", 2)
        keep(server, folder, monkeypatch, token=old, left=200)
        command = interpreter.parent / "mlflow-sso"
        printed = subprocess.run(
            (command, "env", "--shell", "sh"), cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        variables = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
        answer = {"access_token": new, "expires_in": 300}
        server.routes["POST /realms/mlflow/protocol/openid-connect/token"] = 200, answer
        keep(server, folder, monkeypatch, token=old, left=-1)
        train(interpreter, folder, server, **variables)
        # This environment has the client too; under a name that nobody provides MLflow uses the token that is printed.
        train(interpreter, folder, server, **{**variables, "MLFLOW_TRACKING_AUTH": "nobody"})
        sent = [asked.headers.get("Authorization") for asked in server.asked if asked.path.endswith("/search")]
        assert sent == [f"Bearer {new}", f"Bearer {old}"]


def test_nothing_else_of_ours_is_installed_there(interpreter: Path) -> None:
    program = "import importlib.metadata as m; print(sorted(d.name for d in m.distributions() if 'sso' in d.name))"
    done = subprocess.run((interpreter, "-c", program), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['mlflow-sso-client']"
    command = interpreter.parent / "mlflow-sso"
    assert "login" in subprocess.run((command, "--help"), capture_output=True, text=True, check=True).stdout
