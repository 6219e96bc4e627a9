"""Several logins to one server: which of them programs use, and who is told that there are others."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_sso_client import files, logins
from mlflow_sso_client.command import main
from mlflow_sso_client.errors import NotLoggedInError
from mlflow_sso_client.files import write_private
from mlflow_sso_client.logins import LoginStore, login_for
from typer.testing import CliRunner

from stackctl.cli import app
from stackctl.people import connection
from tests.unit.fakes import Fake, fake_server, kept_login

REALM = "/realms/mlflow/protocol/openid-connect"
BOB = "e30.eyJwcmVmZXJyZWRfdXNlcm5hbWUiOiAiYm9iIn0.x"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("URL", "ISSUER", "CLIENT_ID", "CA_BUNDLE", "TOKEN_URL"):
        monkeypatch.delenv(f"MLFLOW_SSO_{name}", raising=False)
        monkeypatch.delenv(f"STACKCTL_{name}", raising=False)
    for name in ("STACK", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "mlflow-sso" / "logins"


@pytest.fixture
def server() -> Iterator[Fake]:
    """Keycloak and MLflow in one; whoever logs in is bob."""
    with fake_server() as fake:
        fake.routes["GET /login"] = 302, {}, {"Location": f"{fake.issuer()}/protocol/openid-connect/auth"}
        fake.routes[f"POST {REALM}/token"] = 200, {"access_token": BOB, "expires_in": 300, "refresh_token": "r"}
        fake.routes[f"POST {REALM}/revoke"] = 200, {}
        fake.routes["GET /api/2.0/mlflow/users/current"] = 200, {"username": "bob", "is_admin": False}
        yield fake


def keep(name: str, url: str, username: str = "alice", made: float = 0.0, *, ended: bool = False) -> LoginStore:
    until = time.time() + (-1 if ended else 300)
    return kept_login(
        url, f"{url}/realms/mlflow", name,
        username=username, access_token=f"token-{name}", access_until=until, made=made, refresh_token="",
    )  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(words) == code
    return capsys.readouterr().err


def login(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("hunter2\n"))
        return run(capsys, "login", "--username", "bob", "--password-stdin", *words)


def used(url: str) -> str:
    store = login_for(url)
    assert store is not None
    return store.stack


@pytest.mark.parametrize(("a", "b", "expected"), [(1.0, 2.0, "b"), (2.0, 1.0, "a"), (0.0, 0.0, "a"), (0.0, 1.0, "b")])
def test_programs_use_the_newest_login_of_a_server(a: float, b: float, expected: str) -> None:
    keep("a", "https://mlflow.test", made=a)
    keep("b", "https://mlflow.test/", made=b)
    assert used("https://mlflow.test") == expected


def test_a_renewal_makes_no_login_newer(server: Fake) -> None:
    server.routes[f"POST {REALM}/token"] = 200, {"access_token": "next", "expires_in": 300}
    old = keep("a", server.url, made=1.0)
    keep("b", server.url, made=2.0)
    assert old.instead_of("token-a").access_token == "next"
    assert used(server.url) == "b"


def test_an_mlflow_below_the_path_of_another_has_its_own_login() -> None:
    keep("root", "https://mlflow.test", made=2.0)
    keep("below", "https://mlflow.test/team", made=1.0)
    assert used("https://mlflow.test/team/api") == "below"
    assert used("https://mlflow.test/api") == "root"


def test_a_login_of_before_is_read_as_the_oldest(home: Path) -> None:
    path = keep("old", "https://mlflow.test").path
    fields = json.loads(path.read_text())
    del fields["made"]
    path.write_text(json.dumps(fields))
    keep("zzz", "https://mlflow.test", made=1.0)
    assert used("https://mlflow.test") == "zzz"


def test_a_login_that_takes_the_place_of_another_person_s_says_so(
    server: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("dev", server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    assert "It replaces the login dev of alice, which was kept here." in login(capsys)
    assert "replaces" not in login(capsys), "that was bob's own"


def test_a_login_that_takes_the_name_of_another_server_s_says_so(
    server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    keep("dev", "https://elsewhere.test", "bob")
    told = login(capsys, "--url", server.url, "--stack", "dev")
    assert "It replaces the login dev of bob to https://elsewhere.test, which was kept here." in told


def test_a_login_beside_another_says_which_is_used(server: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    keep("aaa", server.url, made=1.0)
    keep("ended", server.url, ended=True)
    keep("other", "https://elsewhere.test")
    told = login(capsys, "--url", server.url, "--stack", "mine")
    assert "A login of alice to this server is kept as aaa; `mlflow-sso logout --stack aaa` ends it." in told
    assert f"Programs use the login mine for {server.url}." in told
    assert told.count("is kept as") == 1
    assert used(server.url) == "mine"


@pytest.mark.parametrize("status", [200, 503])
def test_a_logout_says_which_login_is_left(status: int, server: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    server.routes[f"POST {REALM}/revoke"] = status, {}
    keep("aaa", server.url, made=1.0)
    login(capsys, "--url", server.url, "--stack", "mine")
    told = run(capsys, "logout", "--stack", "mine", code=0 if status == 200 else 7)
    assert "A login of alice to this server is kept as aaa; `mlflow-sso logout --stack aaa` ends it." in told
    assert f"Programs use the login aaa for {server.url}." in told
    assert "kept as" not in run(capsys, "logout", "--stack", "aaa")


def test_the_login_of_a_stack_that_is_gone_is_forgotten(home: Path) -> None:
    assert not logins.forget("dev", "http://localhost:5000")
    keep("dev", "http://localhost:5000")
    assert not logins.forget("dev", "https://mlflow.test"), "that of another server under the same name"
    assert logins.forget("dev", "http://localhost:5000/")
    assert not list(home.glob("*.json"))
    (home / "dev.json").write_text("{")
    assert not logins.forget("dev", "http://localhost:5000")


DAMAGE = ["{", "", '{"mlflow_url": 1}', "\x00"]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", ["token", "env", "logout"])
def test_a_damaged_login_is_told_and_not_called_none(
    command: str, damage: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(parents=True)
    write_private(home / "mlflow.test.json", damage)
    told = f"the login kept in {home / 'mlflow.test.json'} cannot be read (it is damaged)"
    assert run(capsys, command, code=3) == f"error: {told}; remove it, and run `mlflow-sso login --stack mlflow.test`\n"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.test")
    line = run(capsys, command, code=3)
    assert told in line
    assert line.endswith("; remove the file, and run `mlflow-sso login --url https://mlflow.test`\n")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_new_login_replaces_a_damaged_one_of_its_server(
    damage: str, server: Fake, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login(capsys, "--url", server.url)
    (file,) = home.glob("*.json")
    file.write_text(damage)
    login(capsys, "--url", server.url)
    assert list(home.glob("*.json")) == [file]
    assert LoginStore(file.stem).read().username == "bob"


def test_what_is_no_file_at_all_is_not_replaced(server: Fake, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    login(capsys, "--url", server.url)
    (file,) = home.glob("*.json")
    file.unlink()
    file.mkdir()
    login(capsys, "--url", server.url)
    assert (home / f"{file.stem}-2.json").is_file()


def stackctl(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words), input="hunter2\n")
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stderr


@pytest.mark.parametrize("command", ["token", "env", "logout"])
def test_the_next_step_names_the_stack_that_was_asked_for(command: str, server: Fake) -> None:
    """Without its name it would log in to another."""
    assert stackctl(command, "--stack", "nope", code=3).endswith("; run `stackctl login --stack nope`\n")
    assert stackctl(command, "--stack", "dev", code=3).endswith("; run `stackctl login`\n")
    assert "cannot be the name of a login" in stackctl(command, "--stack", "../../x", code=2)


def test_the_next_step_of_a_login_that_ended_names_its_stack(server: Fake) -> None:
    server.routes[f"POST {REALM}/token"] = 400, {"error": "invalid_grant"}
    keep("prod", server.url, ended=True)
    assert stackctl("token", "--stack", "prod", code=3).endswith("; run `stackctl login --stack prod`\n")


def test_a_damaged_login_stands_in_nobody_s_way_where_the_stack_is_known(
    server: Fake, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {"mlflow_url": server.url, "issuer_url": server.issuer(), "cli_client_id": "mlflow-cli"}
    home.mkdir(parents=True)
    (home / "dev.json").write_text("{")
    monkeypatch.setattr(connection, "outputs", lambda stack, config_file=None: None)
    assert "it is damaged" in stackctl("login", "--username", "bob", "--password-stdin", code=3)
    monkeypatch.setattr(connection, "outputs", lambda stack, config_file=None: outputs)
    stackctl("login", "--username", "bob", "--password-stdin")
    assert LoginStore("dev").read().username == "bob"


@pytest.mark.parametrize("command", ["token", "env", "logout"])
def test_a_pipe_in_the_place_of_a_login_keeps_nobody_waiting(
    command: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir(parents=True)
    os.mkfifo(home / "mlflow.test.json", 0o600)
    assert "cannot be read (it is no regular file)" in run(capsys, command, code=3)


@pytest.mark.parametrize("mode", [0o602, 0o666, 0o777])
def test_a_login_that_everybody_may_write_to_is_nobody_s(
    mode: int, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its token would go to a server of theirs."""
    path = keep("mlflow.test", "https://mlflow.test").path
    path.chmod(mode)
    assert "everybody may write to it; `chmod 600` if it is yours" in run(capsys, "token", code=3)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_login_of_another_user_is_nobody_s(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read them, as `sudo` does with the home of who calls it."""
    store = keep("mlflow.test", "https://mlflow.test")
    os.chown(store.path, 60901, 60901)
    assert store.find() is not None
    monkeypatch.setattr(os, "geteuid", lambda: 60902)
    assert store.find() is not None, "nobody else can put a file there"
    home.chmod(0o770)
    with pytest.raises(NotLoggedInError, match="belongs to another user"):
        store.find()


@pytest.mark.parametrize(("mode", "after"), [(0o644, 0o600), (0o660, 0o600), (0o440, 0o400)])
def test_a_login_that_others_may_read_is_theirs_no_longer(
    mode: int, after: int, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a copy of a home directory leaves it, and Kubernetes each file of a volume with an fsGroup."""
    monkeypatch.setattr(files.once, "_said", {})
    store = keep("mlflow.test", "https://mlflow.test")
    store.path.chmod(mode)
    assert store.find() == store.find() is not None
    assert store.path.stat().st_mode & 0o777 == after
    assert capsys.readouterr().err.count(f"was open to others (mode {mode:o})") == 1
