"""`mlflow-sso`: which MLflow is meant, which login, and what is refused."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_sso_client import flows
from mlflow_sso_client.addresses import checked_name, new_name
from mlflow_sso_client.command import main
from mlflow_sso_client.logins import Login, LoginStore

from tests.unit.fakes import Fake, fake_server

REALM = "/realms/mlflow/protocol/openid-connect"
USER = "GET /api/2.0/mlflow/users/current"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (
        "STACK",
        "MLFLOW_SSO_URL",
        "STACKCTL_URL",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_SSO_ISSUER",
        "STACKCTL_ISSUER",
        "MLFLOW_SSO_CLIENT_ID",
        "STACKCTL_CLIENT_ID",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server() -> Iterator[Fake]:
    """Keycloak and MLflow in one; MLflow's login leads to the issuer."""
    with fake_server() as fake:
        issuer = fake.issuer()
        fake.routes["GET /login"] = 302, {}, {"Location": f"{issuer}/protocol/openid-connect/auth?client_id=mlflow"}
        fake.routes[f"POST {REALM}/token"] = 200, {"access_token": "t", "expires_in": 300, "refresh_token": "r"}
        fake.routes[f"POST {REALM}/revoke"] = 200, {}
        fake.routes[USER] = 200, {"username": "bob", "is_admin": False}
        yield fake


def keep(name: str, url: str, token: str, client_id: str = "mlflow-cli", client_secret: str = "") -> None:
    LoginStore(name).write(
        Login(
            mlflow_url=url, issuer=f"{url}/realms/mlflow", client_id=client_id, username="bob", kind="device",
            offline=False, access_token=token, access_from=time.time(), access_until=time.time() + 300,
            client_secret=client_secret,
        )
    )  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert main(words) == code
    done = capsys.readouterr()
    for secret in ("hunter2", "the-refresh", "Traceback"):
        assert secret not in done.err
    return done.out, done.err


@pytest.mark.parametrize("variable", ["MLFLOW_SSO_URL", "STACKCTL_URL", "MLFLOW_TRACKING_URI"])
def test_a_login_needs_nothing_but_the_address(
    variable: str, server: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    monkeypatch.setenv(variable, server.url)
    _, said = run(capsys, "login", "--username", "bob", "--password-stdin")
    assert f"Logged in to {server.url} as bob, a user." in said
    assert run(capsys, "token")[0] == "t\n"
    assert f"export MLFLOW_TRACKING_URI={server.url}\n" in run(capsys, "env")[0]
    assert "logged out" in run(capsys, "logout")[1]
    assert "run `mlflow-sso login" in run(capsys, "token", code=3)[1]


def test_logins_to_several_servers_do_not_take_each_others_place(home: Path) -> None:
    names = []
    for url in (
        "https://a.example.com", "https://b.example.com", "http://localhost:5000", "https://a.example.com/x/y",
        "https://a.example.com/x-y", "https://a.example.com/x_y", "https://[::1]:8443", "https://ml.exämple.com/日本",
        "https://ml.exömple.com/日本", "https://日本", "https://日本/日本",
        f"https://{'a' * 63}.{'b' * 63}.example.com/x", f"https://{'a' * 63}.{'b' * 63}.example.com/y",
    ):  # fmt: skip
        names.append(checked_name(new_name(url)))
        keep(names[-1], url, "t")
    assert names[:5] == ["a.example.com", "b.example.com", "localhost-5000", "a.example.com-x-y", "a.example.com-x-y-2"]
    assert len(set(names)) == len(names)


def test_the_next_step_of_a_login_that_has_ended_mends_it(
    server: Fake, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name the new login would stand behind the dead one, and every client would go on with that."""
    keep("dev", server.url, "dead")
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    run(capsys, "login", "--url", f"{server.url}/", "--username", "bob", "--password-stdin")
    assert [path.name for path in home.rglob("*.json")] == ["dev.json"]
    assert run(capsys, "token")[0] == "t\n"


def test_a_login_anew_is_by_the_same_client_and_issuer(
    server: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("dev", server.url, "dead", client_id="notebooks")
    for given, expected in ((None, "notebooks"), ("from-variable", "from-variable")):
        monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
        if given:
            monkeypatch.setenv("STACKCTL_CLIENT_ID", given)
        run(capsys, "login", "--username", "bob", "--password-stdin")
        forms = [asked.form for asked in server.asked if asked.path == f"{REALM}/token"]
        assert forms[-1]["client_id"] == expected
    keep("dev", server.url, "dead", client_id="ci", client_secret="hunter2")
    monkeypatch.delenv("STACKCTL_CLIENT_ID")
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    run(capsys, "login", "--username", "bob", "--password-stdin")
    forms = [asked.form for asked in server.asked if asked.path == f"{REALM}/token"]
    assert forms[-1]["client_id"] == "mlflow-cli", "a service account's client has no login for people"


@pytest.mark.parametrize(
    ("shell", "line"),
    [("sh", "export MLFLOW_TRACKING_TOKEN='it'\"'\"'s'"), ("powershell", "$env:MLFLOW_TRACKING_TOKEN = 'it''s'")],
)
def test_each_shell_is_told_in_its_own_words(shell: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    keep("dev", "https://a.example.com", "it's")
    lines = run(capsys, "env", "--shell", shell)[0].splitlines()
    assert line in lines
    assert lines[-1].endswith("mlflow-sso" if shell == "sh" else "'mlflow-sso'"), "MLflow's client renews it by that"


@pytest.mark.parametrize("quote", ["'", "\u2018", "\u2019", "\u201a", "\u201b"])
def test_no_sign_that_powershell_takes_for_a_quote_ends_a_text(quote: str) -> None:
    """Of a path of certificates, say."""
    assert flows.SHELLS["powershell"]("X", f"a{quote}; calc") == f"$env:X = 'a{quote * 2}; calc'\n"


def test_the_usual_shell_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.delenv("SHELL", raising=False)
    assert flows.usual_shell() == "powershell"
    monkeypatch.setenv("SHELL", "/usr/bin/bash")
    assert flows.usual_shell() == "sh"
    monkeypatch.delenv("SHELL")
    monkeypatch.setattr("sys.platform", "darwin")
    assert flows.usual_shell() == "sh"


def test_which_login_is_meant(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    keep("dev", "https://a.example.com", "token-a")
    assert run(capsys, "token")[0] == "token-a\n", "the only one"
    keep("b", "https://b.example.com", "token-b")
    _, said = run(capsys, "token", code=2)
    assert "dev (https://a.example.com), b" in said or "b (https://b.example.com), dev" in said
    assert run(capsys, "token", "--stack", "b")[0] == "token-b\n"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://b.example.com/")
    assert run(capsys, "token")[0] == "token-b\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("login",), "give its address with --url"),
        (("login", "--url", "mlflow.example.com"), "is not a URL"),
        (("login", "--url", "http://mlflow.example.com"), "would carry tokens in clear"),
        (("login", "--url", "https://me:hunter2@mlflow.example.com"), "holds a user name or password"),
        (("login", "--browser", "--username", "bob"), "exclude each other"),
        (("login", "--client-credentials", "--offline"), "needs no --offline"),
        (("login", "--client-credentials", "--url", "URL"), "needs --client-id and --client-secret-file"),
        (("token", "--stack", "../../etc/passwd"), "cannot be the name of a login"),
    ],
)
def test_what_is_refused_says_why_and_keeps_nothing(
    words: tuple[str, ...], said: str, server: Fake, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tuple(server.url if word == "URL" else word for word in words)
    assert said in run(capsys, *words, code=2)[1]
    assert not list(home.rglob("*.json"))


def test_a_user_whom_mlflow_refuses_keeps_no_login(
    server: Fake, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    server.routes[USER] = 401, {}
    assert "MLflow refuses the token (401)" in run(
        capsys, "login", "--url", server.url, "--username", "bob", "--password-stdin", code=6
    )[1]  # fmt: skip
    assert not list(home.rglob("*.json"))


def test_a_service_account_logs_in_with_a_file(
    server: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secret"
    words = (
        "login",
        "--url",
        server.url,
        "--client-credentials",
        "--client-id",
        "ci",
        "--client-secret-file",
        str(file),
    )
    assert "cannot be read" in run(capsys, *words, code=2)[1]
    file.write_text("\n")
    assert "is empty" in run(capsys, *words, code=2)[1]
    file.write_text("hunter2\n")
    assert "It renews itself" in run(capsys, *words)[1]
    assert server.asked[-2].form["client_secret"] == "hunter2"


def test_a_service_account_gets_its_tokens_where_it_is_told_and_renews_them_there(
    server: Fake, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pod that does not reach the issuer, not even for its description; MLflow's login names it."""
    monkeypatch.setenv("MLFLOW_SSO_TOKEN_URL", f"{server.url}/inside/token")
    public = "https://sso.example.com/realms/mlflow"
    server.routes["GET /login"] = 302, {}, {"Location": f"{public}/protocol/openid-connect/auth?client_id=mlflow"}
    server.routes["POST /inside/token"] = 200, {"access_token": "t", "expires_in": 1}
    file = home / "secret"
    file.write_text("hunter2\n")
    words = ("--client-credentials", "--client-id", "ci", "--client-secret-file", str(file))
    run(capsys, "login", "--url", server.url, *words)
    monkeypatch.delenv("MLFLOW_SSO_TOKEN_URL")
    server.routes["POST /inside/token"] = 200, {"access_token": "next", "expires_in": 300}
    time.sleep(1)
    assert run(capsys, "token")[0].strip() == "next"
    assert [one.form["client_secret"] for one in server.asked if one.path == "/inside/token"] == ["hunter2"] * 2
    assert not [one for one in server.asked if "well-known" in one.path]


def test_tokens_are_not_asked_for_in_clear(
    server: Fake, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SSO_TOKEN_URL", "http://keycloak.ml.svc:8080/token")
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    words = ("--client-credentials", "--client-id", "ci", "--password-stdin")
    assert "would carry tokens in clear" in run(capsys, "login", "--url", server.url, *words, code=2)[1]


def test_what_a_server_says_does_not_reach_the_terminal_raw(
    server: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    server.routes[USER] = 200, {"username": "bob\x1b[2J", "is_admin": False}
    _, said = run(capsys, "login", "--url", server.url, "--username", "bob", "--password-stdin")
    assert "\x1b" not in said
