"""The commands against servers that misbehave: one line, the right exit code, no secret, no traceback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.logins import Login, LoginStore
from mlflow_sso_client.words import span
from typer.testing import CliRunner, Result

from stackctl.cli import app
from stackctl.commands.tokens import parse_expiry
from tests.unit.fakes import Answer, Asked, Fake, bare_machine, fake_server

REALM = "/realms/mlflow/protocol/openid-connect"
USERS = "/api/2.0/mlflow/users"
TOKEN_ROW = {
    "id": 7, "name": "nightly", "token_prefix": "abcd", "created_at": "2026-11-01T00:00:00.123456+00:00",
    "created_by": "bob", "expires_at": "2027-01-01T00:00:00", "last_used_at": None, "active": True,
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[Fake]:
    """Keycloak and MLflow in one, with a login of bob kept."""
    with fake_server() as fake:
        LoginStore("dev").write(
            Login(
                mlflow_url=fake.url,
                issuer=fake.issuer(),
                client_id="mlflow-cli",
                username="bob",
                kind="password",
                offline=False,
                access_token="the-access-token",
                access_from=time.time(),
                access_until=time.time() + 300,
                refresh_token="the-refresh-token",
            )
        )
        fake.routes[f"GET {USERS}/current"] = 200, {"username": "bob", "is_admin": False, "is_service_account": False}
        fake.routes[f"GET {USERS}/current/tokens"] = 200, {"tokens": [TOKEN_ROW]}
        yield fake


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = ("STACK", "STACKCTL_URL", "STACKCTL_ISSUER", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    bare_machine(monkeypatch, tmp_path, variables)


def run(*args: str, code: int = 0, given: str = "") -> Result:
    done = CliRunner().invoke(app, list(args), input=given)
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    assert "Traceback" not in done.output
    for secret in ("the-access-token", "the-refresh-token", "hunter2"):
        assert secret not in done.stderr
    return done


class TestBadInput:
    def test_nothing_is_known_of_the_stack(self) -> None:
        assert "--url" in run("tokens", "list", code=2).stderr

    def test_no_login(self, server: Fake) -> None:
        assert "run `stackctl login --stack other`" in run("token", "--stack", "other", code=3).stderr

    def test_expired_login(self, server: Fake) -> None:
        server.routes[f"GET {USERS}/current/tokens"] = 401, {"detail": "Authentication required"}
        assert "does not accept this login" in run("tokens", "list", code=3).stderr

    def test_wrong_password(self, server: Fake) -> None:
        server.routes[f"POST {REALM}/token"] = (
            401, {"error": "invalid_grant", "error_description": "Invalid user credentials"},
        )  # fmt: skip
        told = run("login", "--username", "bob", "--password-stdin", code=4, given="hunter2\n").stderr
        assert "wrong name or password" in told

    def test_a_password_that_is_not_enough_yet(self, server: Fake) -> None:
        server.routes[f"POST {REALM}/token"] = (
            400, {"error": "invalid_grant", "error_description": "Account is not fully set up"},
        )  # fmt: skip
        told = run("login", "--username", "bob", "--password-stdin", code=4, given="hunter2\n").stderr
        assert "log in once with a browser" in told

    def test_unknown_id(self, server: Fake) -> None:
        assert "no token with id 99" in run("tokens", "delete", "--token-id", "99", "--yes", code=5).stderr

    def test_unknown_user(self, server: Fake) -> None:
        server.routes[f"GET {USERS}/nobody/tokens"] = 404, {"detail": "User nobody not found"}
        assert "nobody" in run("tokens", "list", "--user", "nobody", code=5).stderr

    def test_not_an_admin(self, server: Fake) -> None:
        server.routes[f"GET {USERS}/alice/tokens"] = 403, {"detail": "Administrator privileges required"}
        assert "as an MLflow administrator" in run("tokens", "list", "--user", "alice", code=6).stderr

    def test_keycloak_down(self, server: Fake) -> None:
        server.routes[f"POST {REALM}/token"] = 503, {}
        options = ("login", "--username", "bob", "--password-stdin")
        assert "Keycloak" in run(*options, code=7, given="hunter2\n").stderr

    def test_mlflow_down(self, server: Fake) -> None:
        server.routes[f"GET {USERS}/current/tokens"] = 502, "bad gateway"
        assert "MLflow" in run("tokens", "list", code=8).stderr

    def test_nothing_listens(self) -> None:
        assert "connection refused" in run("login", "--url", "http://127.0.0.1:1", code=8).stderr

    def test_something_else_answers_in_its_place(self, server: Fake) -> None:
        server.routes[f"GET {USERS}/current/tokens"] = 200, "<html>a captive portal</html>"
        assert "not JSON" in run("tokens", "list", code=8).stderr

    def test_an_issuer_that_speaks_for_another(self, server: Fake) -> None:
        server.routes["GET /realms/evil/.well-known/openid-configuration"] = 200, {"issuer": "https://else.test"}
        issuer = f"{server.url}/realms/evil"
        told = run("login", "--url", server.url, "--issuer", issuer, code=2).stderr
        assert "calls itself https://else.test" in told

    @pytest.mark.parametrize("url", ["mlflow.example.com", "ftp://mlflow.example.com", "http://user:hunter2@host"])
    def test_not_a_url(self, url: str) -> None:
        assert "is not a URL" in run("login", "--url", url, code=2).stderr

    @pytest.mark.parametrize("option", ["--url", "--issuer"])
    def test_tokens_do_not_go_in_clear_through_a_network(self, server: Fake, option: str) -> None:
        urls = {"--url": server.url, "--issuer": f"{server.url}{REALM}", option: "http://mlflow.example.com/realms/x"}
        told = run("login", *(word for pair in urls.items() for word in pair), code=2).stderr
        assert "http://mlflow.example.com would carry tokens in clear" in told
        assert "expected an https URL, or a loopback host" in told

    def test_an_issuer_whose_endpoints_are_in_clear(self, server: Fake) -> None:
        issuer = server.issuer("clear")
        found = server.routes["GET /realms/clear/.well-known/openid-configuration"]
        assert not callable(found)
        found[1]["token_endpoint"] = "http://keycloak.example.com/token"
        told = run("login", "--url", server.url, "--issuer", issuer, code=2).stderr
        assert "http://keycloak.example.com would carry tokens in clear" in told

    def test_ways_to_log_in_exclude_each_other(self, server: Fake) -> None:
        assert "exclude each other" in run("login", "--browser", "--username", "bob", code=2).stderr

    def test_a_password_needs_a_terminal_or_standard_input(self, server: Fake) -> None:
        assert "--password-stdin" in run("login", "--username", "bob", code=2).stderr

    def test_no_option_takes_a_secret(self) -> None:
        told = run("login", "--help").output
        assert "--password-stdin" in told
        assert "--password " not in told
        assert "--client-secret " not in told


def test_a_foreign_certificate_is_named(foreign: str) -> None:
    told = run("login", "--url", foreign, code=9).stderr
    assert "self-signed certificate" in told
    assert "--ca-bundle" in told


def test_a_ca_that_is_given_is_trusted(foreign: str, tmp_path: Path) -> None:
    told = run("login", "--url", foreign, "--ca-bundle", str(tmp_path / "certificate.pem"), code=8).stderr
    assert "answered 501" in told


def test_a_login_that_mlflow_refuses_is_not_kept(server: Fake) -> None:
    server.routes["GET /login"] = 302, "", {"Location": f"{server.url}{REALM}/auth"}
    server.routes[f"POST {REALM}/token"] = 200, {"access_token": "a.e30.c", "expires_in": 300}
    server.routes[f"GET {USERS}/current"] = 401, {"detail": "Authentication required"}
    options = ("--url", server.url, "--stack", "far", "--username", "bob", "--password-stdin")
    assert "in a group that MLflow allows" in run("login", *options, code=6, given="hunter2\n").stderr
    assert LoginStore("far").find() is None


class TestConsent:
    def test_deleting_needs_a_yes_where_nobody_can_be_asked(self, server: Fake) -> None:
        assert "add --yes" in run("tokens", "delete", "--all", code=2).stderr
        assert server.times(f"DELETE {USERS}/current/tokens/7") == 0

    def test_yes_deletes(self, server: Fake) -> None:
        server.routes[f"DELETE {USERS}/current/tokens/7"] = 200, {"deleted": 1}
        run("tokens", "delete", "--token-id", "7", "--yes")
        assert server.times(f"DELETE {USERS}/current/tokens/7") == 1

    def test_force_is_content_with_nothing(self, server: Fake) -> None:
        run("tokens", "delete", "--token-id", "99", "--yes", "--force")

    def test_force_asks_nothing(self, server: Fake) -> None:
        server.routes[f"DELETE {USERS}/current/tokens/7"] = 200, {"deleted": 1}
        run("tokens", "delete", "--token-id", "7", "--force")
        assert server.times(f"DELETE {USERS}/current/tokens/7") == 1

    @pytest.mark.parametrize("options", [(), ("--all", "--token-id", "7"), ("--name", "x", "--all")])
    def test_it_has_to_be_said_what_goes(self, server: Fake, options: tuple[str, ...]) -> None:
        run("tokens", "delete", *options, "--yes", code=2)

    def test_revoke_wants_to_hear_everything(self, server: Fake) -> None:
        assert "--everything" in run("revoke", "bob", code=2).stderr


@pytest.fixture
def administrated(server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The same servers for a service account that may manage the realm, which has the user bob, disabled."""
    (tmp_path / "secret").write_text("hunter2")
    monkeypatch.setenv("STACKCTL_KEYCLOAK_CLIENT_ID", "provisioner")
    monkeypatch.setenv("STACKCTL_KEYCLOAK_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    bob = {"id": "1", "username": "bob", "enabled": False, "email": "", "notBefore": 0}
    server.routes["POST /realms/master/protocol/openid-connect/token"] = 200, {"access_token": "t", "expires_in": 60}
    server.routes["GET /admin/realms/mlflow/users"] = lambda asked: (
        (200, [bob] if asked.query.get("username", "bob") == "bob" else [])
    )
    server.routes["GET /admin/realms/mlflow/users/1"] = 200, bob
    server.routes["GET /admin/realms/mlflow/users/1/groups"] = 200, []
    server.routes["PUT /admin/realms/mlflow/users/1"] = 204, ""
    server.routes[f"GET {USERS}/details"] = 200, [{"username": "bob", "is_admin": False, "is_service_account": False}]
    server.routes[f"PATCH {USERS}/bob/active"] = 200, {}
    return server


class TestUsers:
    """`users [list] | enable USER | ask-terms`."""

    def test_enable_lets_a_user_in_again_on_both_sides(self, administrated: Fake) -> None:
        assert "bob may log in again." in run("users", "enable", "bob").stderr
        (told,) = (one for one in administrated.asked if one.method == "PUT")
        assert json.loads(told.body)["enabled"] is True
        (told,) = (one for one in administrated.asked if one.method == "PATCH")
        assert json.loads(told.body) == {"active": True}

    def test_enable_knows_the_user_it_is_told(self, administrated: Fake) -> None:
        assert "has a user nobody" in run("users", "enable", "nobody", code=5).stderr
        assert not [one for one in administrated.asked if one.method in ("PUT", "PATCH")]

    def test_the_list_is_what_is_done_by_default(self, administrated: Fake) -> None:
        rows = json.loads(run("users", "--output", "json", code=1).stdout)
        assert {row["name"] for row in rows} == {"alice", "bob"}
        assert json.loads(run("users", "list", "--output", "json", code=1).stdout) == rows

    @pytest.mark.parametrize("option", [("--stack", "other"), ("--output", "json"), ("--config-file", "/dev/null")])
    @pytest.mark.parametrize("command", [("list",), ("enable", "bob"), ("mend", "bob")])
    def test_an_option_in_front_of_the_command_is_not_passed_over(
        self, command: tuple[str, ...], option: tuple[str, str], administrated: Fake
    ) -> None:
        told = run("users", *option, *command, code=2).stderr
        assert f"{option[0]} stands before {command[0]}" in told
        assert not [one for one in administrated.asked if one.method in ("PUT", "PATCH")]

    @pytest.mark.parametrize("place", [(), ("users",)])
    @pytest.mark.parametrize("more", [(), ("bob",), ("bob", "--stack", "prod", "--url", "https://m.example.com")])
    def test_the_word_of_old_says_the_new_one(
        self, place: tuple[str, ...], more: tuple[str, ...], administrated: Fake
    ) -> None:
        told = run(*place, "restore", *more, code=2).stderr
        assert "`stackctl users enable USER`" in told
        assert not [one for one in administrated.asked if one.method in ("PUT", "PATCH")]


class TestRevoke:
    def test_both_sides_are_asked_who_asks_once(self, administrated: Fake) -> None:
        """Each login and each discovery is a request, and a token of the service account that stays behind."""
        routes = administrated.routes
        for path in ("users/1/sessions", "clients"):
            routes[f"GET /admin/realms/mlflow/{path}"] = 200, []
        routes["GET /admin/realms/mlflow"] = 200, {"accessTokenLifespan": 300}
        routes["POST /admin/realms/mlflow/users/1/logout"] = 204, ""
        routes["POST /admin/realms/mlflow/users/1/impersonation"] = 200, {}
        routes["GET /login"] = 302, "", {"Location": f"{administrated.url}{REALM}/auth?client_id=mlflow"}
        pages = {"mlflow": f"{administrated.url}/callback", "mlflow-cli": "http://127.0.0.1:1/callback"}
        routes[f"GET {REALM}/auth"] = lambda asked: (302, "", {"Location": f"{pages[asked.query['client_id']]}?code=c"})
        routes["GET /callback"] = 302, ""
        routes[f"POST {USERS}/bob/tokens"] = 201, {**TOKEN_ROW, "token": "mlf_abcd_secret"}
        routes[f"POST {REALM}/token"] = 200, {"access_token": "of-bob", "expires_in": 60, "refresh_token": "r"}
        for path in ("sessions", "tokens"):
            routes[f"GET {USERS}/bob/{path}"] = 200, {path: []}
            routes[f"DELETE {USERS}/bob/{path}"] = 200, {"revoked": 0}
        # The servers of this test end nothing, so what was tried still opens the door.
        assert "still accepted" in run("revoke", "bob", "--everything", "--yes", code=1).stderr
        assert administrated.times("POST /realms/master/protocol/openid-connect/token") == 1
        assert administrated.times("GET /realms/mlflow/.well-known/openid-configuration") == 1
        assert administrated.times("POST /admin/realms/mlflow/users/1/impersonation") == 2


class TestOutput:
    def test_json_is_one_document(self, server: Fake) -> None:
        rows = json.loads(run("tokens", "list", "--output", "json").stdout)
        assert rows[0]["created_at"] == "2026-11-01T00:00:00+00:00"
        # A time without an offset is in UTC.
        assert rows[0]["expires_at"] == "2027-01-01T00:00:00+00:00"

    def test_yaml_says_the_same(self, server: Fake) -> None:
        as_json = json.loads(run("tokens", "list", "--output", "json").stdout)
        assert yaml.safe_load(run("tokens", "list", "--output", "yaml").stdout) == as_json

    def test_a_table_lines_up(self, server: Fake) -> None:
        head, row = run("tokens", "list").stdout.splitlines()
        assert head.index("EXPIRES AT") == row.index("2027-01-01")

    def test_a_name_does_nothing_to_the_terminal(self, server: Fake) -> None:
        """A user names a token; an administrator lists it."""
        name = "x\x1b[2J\x1b]0;title\x07\r\n9  admin\u202e"
        server.routes[f"GET {USERS}/current/tokens"] = 200, {"tokens": [{**TOKEN_ROW, "name": name}]}
        shown = run("tokens", "list").stdout
        assert len(shown.splitlines()) == 2
        assert [c for c in shown if not c.isprintable() and c != "\n"] == []
        assert r"x\x1b[2J" in shown
        assert json.loads(run("tokens", "list", "--output", "json").stdout)[0]["name"] == name
        server.routes[f"DELETE {USERS}/current/tokens/7"] = 200, {"deleted": 1}
        told = run("tokens", "delete", "--token-id", "7", "--yes", "--verbose").stderr
        assert "\x1b" not in told
        assert r"x\x1b[2J" in told

    def test_a_new_token_alone_is_on_standard_output(self, server: Fake) -> None:
        server.routes[f"POST {USERS}/current/tokens"] = 201, {**TOKEN_ROW, "token": "mlf_abcd_secret"}
        done = run("tokens", "create", "--name", "nightly")
        assert done.stdout == "mlf_abcd_secret\n"
        assert "mlf_abcd_secret" not in done.stderr

    def test_env_quotes_for_a_shell(self, server: Fake) -> None:
        lines = run("env").stdout.splitlines()
        assert lines == [
            f"export MLFLOW_TRACKING_URI={server.url}",
            "export MLFLOW_TRACKING_TOKEN=the-access-token",
            "export MLFLOW_TRACKING_AUTH=mlflow-sso",
        ]


def test_logout_forgets_the_login_even_where_keycloak_is_down(server: Fake) -> None:
    server.routes[f"POST {REALM}/revoke"] = 503, {}
    assert "not ended at Keycloak" in run("logout", code=7).stderr
    run("token", code=3)


def test_logout_revokes_the_refresh_token(server: Fake) -> None:
    server.routes[f"POST {REALM}/revoke"] = 200, ""
    run("logout")
    assert server.asked[-1].form["token"] == "the-refresh-token"


def test_the_issuer_is_found_by_mlflow_s_own_login(server: Fake) -> None:
    target = f"{server.url}{REALM}/auth?client_id=mlflow"
    server.routes["GET /login"] = 302, "", {"Location": target}
    claims = "e30.eyJwcmVmZXJyZWRfdXNlcm5hbWUiOiAiYm9iIn0.x"

    def grant(asked: Asked) -> Answer:
        assert asked.form["password"] == "hunter2"
        return 200, {"access_token": claims, "expires_in": 300, "refresh_token": "r", "refresh_expires_in": 1800}

    server.routes[f"POST {REALM}/token"] = grant
    options = ("--url", server.url, "--stack", "far", "--username", "bob", "--password-stdin")
    run("login", *options, given="hunter2\n")
    assert LoginStore("far").read().issuer == server.url + "/realms/mlflow"
    assert run("token", "--stack", "far").stdout.strip() == claims


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", datetime(2027, 3, 1, tzinfo=UTC)),
        ("12h", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T10:00:00+02:00", datetime(2027, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_span_or_a_date(text: str, expected: datetime) -> None:
    assert parse_expiry(text, datetime(2026, 12, 1, tzinfo=UTC)) == expected


@pytest.mark.parametrize("text", ["", "soon", "0d", "366d", "2020-01-01", "-5d", "1w"])
def test_any_other_expiry_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="expires"):
        parse_expiry(text, datetime(2026, 12, 1, tzinfo=UTC))


def test_a_year_is_allowed() -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert parse_expiry("365d", now) == now + timedelta(days=365)


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0 s"), (90, "90 s"), (600, "10 min"), (36000, "10 h")])
def test_a_span_is_told_as_people_do(seconds: float, text: str) -> None:
    assert span(seconds) == text
