"""The typed clients: what they ask, and what they make of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from mlflow_sso_client import oidc
from mlflow_sso_client.errors import (
    AccessError,
    CredentialsError,
    KeycloakDownError,
    NotAdminError,
    NotLoggedInError,
    RefusedError,
    UnknownNameError,
)

from settings.derived import KEYCLOAKS_CONNECTIONS
from stackctl.clients.keycloak_admin import PAGE, PAUSES, KeycloakAdmin, Provisioner
from stackctl.clients.mlflow_api import MlflowApi
from stackctl.people import sessions
from stackctl.people.connection import Access
from stackctl.people.revocation import Report
from tests.unit.fakes import Answer, Asked, Fake, fake_server

MASTER = "POST /realms/master/protocol/openid-connect/token"
ADMIN = "/admin/realms/mlflow"
TOKEN = "POST /realms/mlflow/protocol/openid-connect/token"
DEVICE = "POST /realms/mlflow/protocol/openid-connect/auth/device"
BOB = {"id": "b-1", "username": "bob", "enabled": True, "notBefore": 0}


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_server() as fake:
        fake.routes[MASTER] = 200, {"access_token": "admin-token", "expires_in": 60}
        yield fake


@pytest.fixture
def keycloak(server: Fake) -> KeycloakAdmin:
    return KeycloakAdmin(server.url, "mlflow", Provisioner("provisioner", "s3cret"), pauses=(0.01, 0.01))


def test_operators_use_the_address_for_administration() -> None:
    known = {"client_id": "provisioner", "client_secret": "s3cret", "realm": "master"}
    for more, used in (({"url": "http://localhost:8081"}, "http://localhost:8081"), ({}, "https://sso.example.com")):
        outputs = {"provisioner": {**known, **more}}
        access = Access(
            "prod", "https://mlflow.example.com", "https://sso.example.com/realms/m", "cli", outputs=outputs
        )
        assert access.keycloak_admin().web.base_url == used


class TestKeycloakAdmin:
    def test_one_login_serves_several_requests(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        server.routes[f"GET {ADMIN}"] = 200, {"realm": "mlflow"}
        keycloak.realm()
        keycloak.realm()
        assert server.times(MASTER) == 1
        assert server.asked[-1].headers["Authorization"] == "Bearer admin-token"

    def test_a_token_that_a_restart_forgot_is_asked_for_again(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        answers: Iterator[Answer] = iter([(401, {}), (200, {"realm": "mlflow"})])
        server.routes[f"GET {ADMIN}"] = lambda asked: next(answers)
        assert keycloak.realm()["realm"] == "mlflow"
        assert server.times(MASTER) == 2

    @pytest.mark.parametrize("method", ["GET", "PUT"])
    def test_an_error_of_the_server_is_asked_past(self, server: Fake, keycloak: KeycloakAdmin, method: str) -> None:
        logins: Iterator[Answer] = iter([(500, {}), (200, {"access_token": "admin-token", "expires_in": 60})])
        answers: Iterator[Answer] = iter([(500, {}), (503, {}), (200, {})])
        server.routes[MASTER] = lambda asked: next(logins)
        server.routes[f"{method} {ADMIN}"] = lambda asked: next(answers)
        assert keycloak.request(method, "").status_code == 200

    def test_as_many_are_asked_past_as_a_pool_has_connections(self) -> None:
        assert len(PAUSES) == KEYCLOAKS_CONNECTIONS
        assert sum(PAUSES) <= 30, "what stays is told while somebody still waits for it"

    def test_an_error_that_stays_is_told(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        server.routes[f"GET {ADMIN}"] = 500, {}
        with pytest.raises(KeycloakDownError, match="answered 500"):
            keycloak.realm()
        assert server.times(f"GET {ADMIN}") == 3

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_what_cannot_be_done_twice_is_not_repeated(
        self, server: Fake, keycloak: KeycloakAdmin, method: str
    ) -> None:
        server.routes[f"{method} {ADMIN}/users"] = 500, {}
        with pytest.raises(KeycloakDownError, match="answered 500"):
            keycloak.request(method, "/users")
        assert server.times(f"{method} {ADMIN}/users") == 1

    def test_a_wrong_secret_is_told_without_it(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        server.routes[MASTER] = 401, {"error": "unauthorized_client"}
        with pytest.raises(CredentialsError, match="refuses the service account provisioner") as caught:
            keycloak.realm()
        assert "s3cret" not in str(caught.value)
        assert "s3cret" not in repr(Provisioner("provisioner", "s3cret"))

    def test_an_account_without_the_right(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        server.routes[f"GET {ADMIN}"] = 403, {}
        with pytest.raises(NotAdminError, match="may not manage realm mlflow"):
            keycloak.realm()

    def test_an_unknown_user(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        server.routes[f"GET {ADMIN}/users"] = 200, []
        with pytest.raises(UnknownNameError, match="no user nobody"):
            keycloak.find_user("nobody")

    def test_long_listings_are_read_to_their_end(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        rows = [{**BOB, "id": str(i), "username": f"u{i}"} for i in range(PAGE + 3)]

        def page(asked: Asked) -> Answer:
            first = int(asked.query["first"])
            return 200, rows[first : first + int(asked.query["max"])]

        server.routes[f"GET {ADMIN}/users"] = page
        assert len(keycloak.users()) == PAGE + 3

    def test_sessions_of_both_kinds(self, server: Fake, keycloak: KeycloakAdmin) -> None:
        row = {"id": "s-1", "username": "bob", "userId": "b-1", "start": 1000, "lastAccess": 2000, "ipAddress": "::1"}
        server.routes |= {
            f"GET {ADMIN}/users": (200, [BOB]),
            f"GET {ADMIN}/users/b-1": (200, BOB),
            f"GET {ADMIN}/users/b-1/sessions": (200, [{**row, "clients": {"uuid": "mlflow"}}]),
            f"GET {ADMIN}/clients": (200, [{"id": "c-1", "clientId": "mlflow-cli"}]),
            f"GET {ADMIN}/users/b-1/offline-sessions/c-1": (200, [row]),
        }
        online, offline = keycloak.user_sessions(keycloak.find_user("bob"))
        assert (online.offline, online.clients) == (False, ("mlflow",))
        assert (offline.offline, offline.clients) == (True, ("mlflow-cli",))

        server.routes[f"DELETE {ADMIN}/sessions/s-1"] = 204, ""
        keycloak.delete_session(offline)
        assert server.asked[-1].query == {"isOffline": "true"}


class TestMlflowApi:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, RefusedError), (401, NotLoggedInError), (403, NotAdminError), (404, UnknownNameError),
         (409, RefusedError), (302, AccessError)],
    )  # fmt: skip
    def test_each_refusal_is_told_apart(self, server: Fake, status: int, kind: type[AccessError]) -> None:
        server.routes["GET /api/2.0/mlflow/users/current"] = status, {"detail": "because"}
        with pytest.raises(kind):
            MlflowApi(server.url, "bearer").me()

    def test_names_are_quoted_in_paths(self, server: Fake) -> None:
        server.routes["GET /api/2.0/mlflow/users/a%2Fb%3Fc/tokens"] = 200, {"tokens": []}
        assert MlflowApi(server.url, "bearer").tokens("a/b?c") == []

    def test_each_request_has_a_token_that_is_good_then(self, server: Fake) -> None:
        server.routes["GET /api/2.0/mlflow/users/current"] = 200, {}
        tokens = iter(["first", "second"])
        api = MlflowApi(server.url, lambda: next(tokens))
        api.status()
        api.status()
        assert [one.headers["Authorization"] for one in server.asked] == ["Bearer first", "Bearer second"]

    def test_a_personal_token_goes_as_the_password(self, server: Fake) -> None:
        expected = requests.auth._basic_auth_str("bob", "pat")

        def current(asked: Asked) -> Answer:
            return (200, {}) if asked.headers.get("Authorization") == expected else (401, {})

        server.routes["GET /api/2.0/mlflow/users/current"] = current
        assert MlflowApi(server.url, basic=("bob", "pat")).status() == 200
        assert MlflowApi(server.url, basic=("bob", "other")).status() == 401


def test_a_netrc_entry_does_not_replace_the_token(
    server: Fake, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.routes["GET /api/2.0/mlflow/users/current"] = 200, {}
    MlflowApi(server.url, "bearer").status()
    assert server.asked[-1].headers["Authorization"] == "Bearer bearer"


@pytest.fixture
def provider(server: Fake) -> oidc.Provider:
    return oidc.discover(server.issuer(), requests.Session())


class TestDeviceGrant:
    def start(self, server: Fake, provider: oidc.Provider, *answers: Answer) -> tuple[Any, list[float]]:
        server.routes[DEVICE] = (
            200,
            {
                "verification_uri": "https://x",
                "user_code": "ABCD",
                "device_code": "d",
                "interval": 5,
                "expires_in": 600,
            },
        )
        waiting = iter(answers)
        server.routes[TOKEN] = lambda asked: next(waiting)
        return oidc.start_device(provider, "mlflow-cli", offline=False), []

    def test_it_asks_until_somebody_confirms(self, server: Fake, provider: oidc.Provider) -> None:
        pending, slow = (400, {"error": "authorization_pending"}), (400, {"error": "slow_down"})
        code, slept = self.start(
            server, provider, pending, slow, pending, (200, {"access_token": "t", "expires_in": 9})
        )
        assert oidc.finish_device(provider, "mlflow-cli", code, slept.append).access_token == "t"
        # RFC 8628, section 3.5: five seconds more after each slow_down.
        assert slept == [5, 5, 10, 10]

    @pytest.mark.parametrize(
        ("error", "told"),
        [("access_denied", "refused in the browser"), ("expired_token", "in time"), ("invalid_grant", "invalid_grant")],
    )
    def test_it_ends_with_the_reason(self, server: Fake, provider: oidc.Provider, error: str, told: str) -> None:
        code, slept = self.start(server, provider, (400, {"error": error}))
        with pytest.raises(NotLoggedInError, match=told):
            oidc.finish_device(provider, "mlflow-cli", code, slept.append)

    def test_an_unknown_client(self, server: Fake, provider: oidc.Provider) -> None:
        server.routes[DEVICE] = 401, {"error": "invalid_client"}
        with pytest.raises(CredentialsError, match="client nobody"):
            oidc.start_device(provider, "nobody", offline=False)


def test_the_challenge_is_the_hash_of_the_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    # The example of RFC 7636, appendix B.
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert oidc.pkce()[1] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_direct_grants_that_are_off_are_named(server: Fake, provider: oidc.Provider) -> None:
    server.routes[TOKEN] = 400, {"error": "unauthorized_client", "error_description": "Client not allowed"}
    with pytest.raises(RefusedError, match="allows no login by password"):
        oidc.password_grant(provider, "mlflow-cli", "bob", "secret", offline=False)


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "a password alone for user bob; a second factor is required"), (403, "no further session for user bob")],
)
def test_a_page_for_people_in_answer_to_a_password_is_told_in_words(
    provider: oidc.Provider, monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    """Keycloak answers so in `DenyAccessAuthenticator` and in `UserSessionLimitsAuthenticator`."""
    answer = requests.Response()
    answer.status_code, answer._content = status, b"<html>Access denied</html>"
    answer.headers["Content-Type"] = "text/html;charset=utf-8"
    monkeypatch.setattr("mlflow_sso_client.web.Web.ask", lambda *_, **__: answer)
    with pytest.raises(AccessError, match=told):
        oidc.password_grant(provider, "mlflow-cli", "bob", "secret", offline=False)


def test_an_unknown_session_id_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="no session x"):
        sessions.by_id([], "x")


class TestReport:
    def proof(self, *, dead: bool, outlives: bool = False) -> dict[str, Any]:
        return {"credential": "refresh token", "dead": dead, "outlives": outlives}

    def test_one_credential_that_is_still_accepted_makes_it_incomplete(self) -> None:
        report = Report("bob", proofs=[self.proof(dead=True), self.proof(dead=False)])
        assert not report.complete
        assert "still accepted: refresh token" in report.told

    def test_what_is_left_makes_it_incomplete(self) -> None:
        assert not Report("bob", left=1).complete

    def test_an_access_token_that_outlives_is_told(self) -> None:
        report = Report("bob", proofs=[self.proof(dead=False, outlives=True)], token_seconds=300)
        assert report.complete
        assert "up to 300 s more" in report.told
