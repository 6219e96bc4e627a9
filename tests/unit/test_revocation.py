"""Revoking: what is said of the time that is left, and where a proof's credentials never go."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from mlflow_sso_client.errors import AccessError, UnknownNameError

from stackctl.clients.keycloak_admin import RealmUser
from stackctl.clients.mlflow_api import PluginUser
from stackctl.people.canary import _page_session
from stackctl.people.connection import Access
from stackctl.people.revocation import Report, find
from tests.unit.fakes import Fake, fake_server

LOGIN = {"KEYCLOAK_IDENTITY": "the-login-of-bob"}


@pytest.fixture
def servers() -> Iterator[tuple[Fake, Fake, Access]]:
    """Keycloak, MLflow, and a stack of the two."""
    with fake_server() as keycloak, fake_server() as mlflow:
        yield keycloak, mlflow, Access("dev", mlflow.url, keycloak.issuer(), "mlflow-cli")


def test_a_token_that_is_out_may_still_make_another(servers: tuple[Fake, Fake, Access]) -> None:
    told = Report("bob", token_seconds=300).told
    assert "up to 300 s more" in told
    assert "can make a personal token with it" in told
    assert "again when that time is over" in told


def test_nothing_is_left_to_do_once_a_token_is_refused() -> None:
    told = Report("bob", token_seconds=0).told
    assert "refused by MLflow too" in told
    assert "again" not in told


def test_nothing_is_claimed_of_an_account_that_mlflow_does_not_have() -> None:
    told = Report("bob", token_seconds=300, in_mlflow=False).told
    assert "MLflow has no account of that name, e-mail address or id" in told
    assert "up to 300 s more" in told
    assert "--disable" not in told


@pytest.mark.parametrize(
    ("accounts", "others", "account"),
    [
        (["alice", "bob"], [], "bob"),
        (["alice", "bob@corp.test"], [], "bob@corp.test"),
        (["alice", "f3-id"], [], "f3-id"),
        (["alice"], [], None),
        # Somebody else has that name; bob only wrote it into his address.
        (["bob@corp.test"], ["Bob@corp.test"], None),
    ],
)
def test_an_account_is_found_by_whatever_claim_names_it(
    accounts: list[str], others: list[str], account: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = RealmUser("f3-Id", "bob", enabled=True, email="Bob@corp.test", not_before=0)

    def find_user(name: str) -> RealmUser:
        if name not in ("bob", *others):
            raise UnknownNameError(f"no user {name}", "check the name")
        return bob

    known = [PluginUser(name, is_admin=False, is_service_account=False) for name in accounts]
    monkeypatch.setattr(Access, "keycloak_admin", lambda self: SimpleNamespace(find_user=find_user))
    monkeypatch.setattr(Access, "mlflow", lambda self: SimpleNamespace(users=lambda: known))
    access = Access("dev", "http://localhost:5000", "http://localhost/realms/mlflow", "mlflow-cli")
    found = find(access.sides(), "bob")
    assert (found.username, found.in_mlflow) == ("bob", account)


@pytest.mark.parametrize("place", ["/steal", "/realms/mlflow/protocol/openid-connect/auth?client_id=mlflow"])
def test_a_login_goes_to_its_own_keycloak_alone(place: str, servers: tuple[Fake, Fake, Access]) -> None:
    keycloak, mlflow, access = servers
    mlflow.routes["GET /login"] = 302, "", {"Location": mlflow.url + place}
    with pytest.raises(AccessError, match="does not lead to"):
        _page_session(access, access.provider(), LOGIN)
    assert [one.path for one in mlflow.asked] == ["/login"]
    assert not [one for one in (*keycloak.asked, *mlflow.asked) if "the-login-of-bob" in str(one.headers)]


def test_a_login_page_without_a_redirect_is_told(servers: tuple[Fake, Fake, Access]) -> None:
    _, mlflow, access = servers
    mlflow.routes["GET /login"] = 200, "<html>maintenance</html>"
    with pytest.raises(AccessError, match="does not lead to"):
        _page_session(access, access.provider(), LOGIN)


def test_an_answer_for_another_server_is_not_brought_back(servers: tuple[Fake, Fake, Access]) -> None:
    """Its address begins like MLflow's own."""
    keycloak, mlflow, access = servers
    endpoint = "/realms/mlflow/protocol/openid-connect/auth"
    mlflow.routes["GET /login"] = 302, "", {"Location": keycloak.url + endpoint + "?client_id=mlflow"}
    keycloak.routes[f"GET {endpoint}"] = 302, "", {"Location": mlflow.url + ".evil.test/callback?code=1"}
    with pytest.raises(AccessError, match="back to MLflow"):
        _page_session(access, access.provider(), LOGIN)
    assert keycloak.asked[-1].headers["Cookie"] == "KEYCLOAK_IDENTITY=the-login-of-bob"
