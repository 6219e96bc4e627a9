"""The options of a login, of `mlflow-sso` and of `stackctl`: each is used or refused by its name, none is ignored."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow_sso_client import command
from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.logins import LoginStore
from mlflow_sso_client.words import Once
from typer.testing import CliRunner

from stackctl.cli import app
from stackctl.clients.keycloak_admin import Provisioner
from stackctl.people import connection
from tests.unit.fakes import Fake, bare_machine, fake_server

REALM = "/realms/mlflow/protocol/openid-connect"
USER = "GET /api/2.0/mlflow/users/current"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = ("URL", "ISSUER", "CLIENT_ID", "CA_BUNDLE", "TOKEN_URL")
    own = [f"{prefix}_{name}" for prefix in ("MLFLOW_SSO", "STACKCTL") for name in names]
    others = ("STACKCTL_KEYCLOAK_REALM", "STACK", "MLFLOW_TRACKING_URI", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    bare_machine(monkeypatch, tmp_path, (*own, *others))
    return tmp_path / "config"


@pytest.fixture
def server() -> Iterator[Fake]:
    """Keycloak and MLflow in one; MLflow's login leads to the issuer."""
    with fake_server() as fake:
        fake.routes["GET /login"] = 302, {}, {"Location": f"{fake.issuer()}/protocol/openid-connect/auth"}
        fake.routes[f"POST {REALM}/token"] = 200, {"access_token": "t", "expires_in": 300, "refresh_token": "r"}
        fake.routes[USER] = 200, {"username": "bob", "is_admin": False}
        yield fake


def by_client(*words: str, code: int = 0, given: str = "") -> str:
    """What `mlflow-sso` writes to standard error."""
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as said:
        patch.setattr("sys.stdin", io.StringIO(given))
        patch.setattr("sys.stderr", said)
        assert command.main(words) == code, said.getvalue()
        return said.getvalue()


def by_stackctl(*words: str, code: int = 0, given: str = "") -> str:
    """What `stackctl` writes to standard error."""
    done = CliRunner().invoke(app, list(words), input=given)
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stderr


Run = Callable[..., str]
COMMANDS = pytest.mark.parametrize("run", [by_client, by_stackctl])


@COMMANDS
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--password-stdin",), "--password-stdin needs --username or --client-credentials"),
        (("--browser", "--password-stdin"), "--password-stdin needs --username or --client-credentials"),
        (("--client-secret-file", "secret"), "--client-secret-file needs --client-credentials"),
        (("--username", "bob", "--client-secret-file", "secret"), "--client-secret-file needs --client-credentials"),
        (
            ("--client-credentials", "--client-id", "ci", "--client-secret-file", "secret", "--password-stdin"),
            "--client-secret-file and --password-stdin exclude each other",
        ),
        (("--username", "", "--password-stdin"), "--username is empty"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    words: tuple[str, ...], told: str, run: Run, server: Fake, home: Path
) -> None:
    """A job would wait for somebody to confirm a code otherwise, or log in by another secret than it was given."""
    (line,) = run("login", "--url", server.url, *words, code=2, given="hunter2\n").splitlines()
    assert told in line
    assert server.asked == []
    assert not list(home.rglob("*.json"))


@COMMANDS
@pytest.mark.parametrize("words", [("--client-secret-file", "-"), ("--password-stdin",)])
def test_a_service_account_logs_in_by_standard_input(words: tuple[str, ...], run: Run, server: Fake) -> None:
    run("login", "--url", server.url, "--client-credentials", "--client-id", "ci", *words, given="hunter2\n")
    assert [one.form["client_secret"] for one in server.asked if one.path == f"{REALM}/token"] == ["hunter2"]


def ca_bundles(folder: Path) -> dict[str, str]:
    """Files that hold no CA, by what is told of them."""
    (folder / "text.pem").write_text("no certificate\n")
    (folder / "cut.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n")
    (folder / "empty.pem").write_text("")
    (folder / "loop.pem").symlink_to(folder / "loop.pem")
    return {
        "/no/such/file.pem": "No such file or directory",
        str(folder / "text.pem"): "no certificate in PEM",
        str(folder / "cut.pem"): "no certificate in PEM",
        str(folder / "empty.pem"): "no certificate in PEM",
        str(folder / "loop.pem"): "symbolic links",
    }


@COMMANDS
@pytest.mark.parametrize("variable", ["", "MLFLOW_SSO_CA_BUNDLE", "STACKCTL_CA_BUNDLE"])
@pytest.mark.parametrize("known", [False, True])
def test_a_ca_bundle_that_cannot_be_used_is_refused_before_anything_is_kept(
    known: bool, variable: str, run: Run, server: Fake, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing would read it, since MLflow and Keycloak have no https."""
    words = ["login", "--username", "bob", "--password-stdin"]
    if known:
        run(*words, "--url", server.url, "--stack", "dev", given="hunter2\n")
    else:
        words += ["--url", server.url]
    asked = len(server.asked)
    for bundle, reason in ca_bundles(tmp_path).items():
        if variable:
            monkeypatch.setenv(variable, bundle)
        (line,) = run(*words, *([] if variable else ["--ca-bundle", bundle]), code=2, given="hunter2\n").splitlines()
        assert line.startswith(f"error: the CA bundle {bundle} cannot be used (")
        assert reason in line
    assert len(server.asked) == asked
    assert [path.name for path in home.rglob("*.json")] == (["dev.json"] if known else [])


@COMMANDS
@pytest.mark.parametrize("variable", ["", "MLFLOW_SSO_ISSUER", "STACKCTL_ISSUER"])
def test_an_issuer_counts_for_a_login_that_is_kept_too(
    variable: str, run: Run, server: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("login", "--username", "bob", "--password-stdin", "--stack", "dev")
    run(*words, "--url", server.url, given="hunter2\n")
    other = server.issuer("other")
    server.routes["POST /realms/other/protocol/openid-connect/token"] = 200, {"access_token": "u", "expires_in": 300}
    if variable:
        monkeypatch.setenv(variable, other)
    run(*words, *([] if variable else ["--issuer", other]), given="hunter2\n")
    assert LoginStore("dev").read().issuer == other
    assert LoginStore("dev").read().access_token == "u"


@pytest.fixture
def brought_up(server: Fake, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The state of a stack is at hand, with the service account that may manage its realm."""
    outputs = {
        "mlflow_url": server.url, "issuer_url": server.issuer(), "cli_client_id": "mlflow-cli",
        "provisioner": {"client_id": "own", "client_secret": "of-its-own", "realm": "master"},
    }  # fmt: skip
    monkeypatch.setattr(connection, "outputs", lambda stack, config_file=None: outputs)
    return server


@pytest.mark.parametrize("variable", ["", "MLFLOW_SSO_ISSUER", "STACKCTL_ISSUER"])
def test_an_issuer_that_is_not_the_stack_s_is_refused(
    variable: str, brought_up: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user of another realm would be managed by the service account of this one."""
    words = ["login", "--username", "bob", "--password-stdin"]
    for issuer, code in (("https://sso.test/realms/x", 2), (f"{brought_up.issuer()}/", 0)):
        if variable:
            monkeypatch.setenv(variable, issuer)
        told = by_stackctl(*words, *([] if variable else ["--issuer", issuer]), code=code, given="hunter2\n")
        assert code == 0 or (variable or "--issuer") in told


def test_settings_and_an_address_are_not_both_given(server: Fake, tmp_path: Path) -> None:
    words = ("login", "--url", server.url, "--config-file", str(tmp_path / "x.yaml"))
    assert "--url and --config-file exclude each other" in by_stackctl(*words, code=2)


def test_a_service_account_of_the_environment_counts_where_the_state_is_at_hand(
    brought_up: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "_once", Once())
    access = connection.resolve(connection.Where())
    assert access._provisioner() == Provisioner("own", "of-its-own", "master")
    assert capsys.readouterr().err == ""
    (tmp_path / "secret").write_text("hunter2\n")
    monkeypatch.setenv(connection.KEYCLOAK_CLIENT, "other")
    monkeypatch.setenv(connection.KEYCLOAK_SECRET_FILE, str(tmp_path / "secret"))
    monkeypatch.setenv(connection.KEYCLOAK_REALM, "mlflow")
    assert access._provisioner() == Provisioner("other", "hunter2", "mlflow")
    assert access._provisioner() == Provisioner("other", "hunter2", "mlflow")
    out, told = capsys.readouterr()
    (line,) = told.splitlines()
    assert out == ""
    named = " and ".join((connection.KEYCLOAK_CLIENT, connection.KEYCLOAK_SECRET_FILE, connection.KEYCLOAK_REALM))
    assert line == f"Stack dev has an account for Keycloak here; {named} take its place."
    # Where the stack's own is not at hand nothing is overridden.
    replace(access, stack="other", outputs=None)._provisioner()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "variable", [connection.KEYCLOAK_CLIENT, connection.KEYCLOAK_SECRET_FILE, connection.KEYCLOAK_REALM]
)
def test_half_a_service_account_is_refused(variable: str, brought_up: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "other")
    with pytest.raises(RefusedError, match=f"{variable} is set"):
        connection.resolve(connection.Where())._provisioner()


@COMMANDS
def test_a_service_account_gets_its_tokens_where_it_is_told(
    run: Run, server: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SSO_TOKEN_URL", f"{server.url}/inside/token")
    server.routes["POST /inside/token"] = 200, {"access_token": "inside", "expires_in": 300}
    words = ("--client-credentials", "--client-id", "ci", "--password-stdin", "--stack", "dev")
    run("login", "--url", server.url, *words, given="hunter2\n")
    assert LoginStore("dev").read().token_url == f"{server.url}/inside/token"
    assert LoginStore("dev").access_token() == "inside"
