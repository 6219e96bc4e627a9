"""What is declared against what there is, as plain values."""

from __future__ import annotations

from typing import Any, cast

import pytest

from components.realm.spec import RealmSpec, realm_spec
from settings import parse
from stackctl.clients.keycloak_admin import KeycloakAdmin, RealmClient, RealmUser
from stackctl.clients.mlflow_api import MlflowApi, PluginUser
from stackctl.people import drift
from stackctl.people.drift import Actual

ADMINS, USERS = "mlflow-admins", "mlflow-users"
ALICE, BOB = Actual(True, (ADMINS,)), Actual(True, (USERS,))


def spec() -> RealmSpec:
    return realm_spec(parse({}, "x"))


def user(name: str, *, admin: bool = False, active: bool | None = True) -> PluginUser:
    return PluginUser(name, admin, False, active)


def people(actual: dict[str, Actual], *plugin: PluginUser) -> dict[str, tuple[str, ...]]:
    rows = drift.user_rows(spec(), {"alice": ALICE, "bob": BOB, **actual}, {p.username: p for p in plugin})
    return {row.name: tuple(row.words) for row in rows if row.drift}


def test_what_is_as_declared_shows_no_drift() -> None:
    assert people({}) == {}
    assert people({"visitor": Actual(True, ("other-team",))}, user("alice", admin=True), user("bob")) == {}


def test_membership_that_differs_is_drift() -> None:
    assert people({"bob": Actual(False, (ADMINS,))}) == {
        "bob": ("disabled in Keycloak", f"not in {USERS}", f"also in {ADMINS}")
    }
    assert people({"mallory": Actual(True, (ADMINS,))}) == {"mallory": (f"in {ADMINS}, and not declared",)}


def test_a_declared_user_who_is_gone_is_drift() -> None:
    rows = drift.user_rows(spec(), {"alice": ALICE}, None)
    assert {row.name: row.words for row in rows if row.drift} == {"bob": ["declared, and not in Keycloak"]}
    assert [row.mlflow for row in rows] == [None, None]


def test_what_mlflow_still_believes_is_drift() -> None:
    assert people({}, user("bob", admin=True)) == {
        "bob": ("administrator of MLflow, and in no group of administrators",)
    }
    assert people({}, user("carol"))["carol"][0].startswith("active in MLflow, and not in Keycloak")
    assert people({}, user("carol", active=False)) == {}
    assert "alice" in people({}, user("alice"))


@pytest.mark.parametrize(("claim", "name"), [("sub", "id-of-bob"), ("email", "bob@example.com")])
def test_accounts_that_another_claim_names_are_of_their_people(claim: str, name: str) -> None:
    machine = RealmUser("id-of-ci", "service-account-ci", True, "ci@example.com", 0)

    class Servers:
        def users(self) -> list[Any]:
            return [RealmUser("id-of-bob", "bob", True, "Bob@example.com", 0)]

        def clients(self) -> list[RealmClient]:
            return [RealmClient("uuid", "ci", True, True, {})]

        def service_account(self, _: RealmClient) -> RealmUser:
            return machine

    class Mlflow:
        def users(self) -> list[PluginUser]:
            other = machine.id if claim == "sub" else machine.email
            return [user(name), user(other), user("somebody")]

    keycloak, mlflow = cast(KeycloakAdmin, Servers()), cast(MlflowApi, Mlflow())
    known = drift.plugin_users(mlflow, keycloak, claim)
    assert known is not None
    assert {key: one.username for key, one in known.items()}["bob"] == name
    assert known.keys() == {"bob", "service-account-ci", "somebody"}
    assert drift.plugin_users(mlflow, keycloak, "nickname") is None


def test_service_accounts_are_compared_by_their_client_whatever_its_case() -> None:
    given = {"mlflow-sso:realm": {"serviceAccounts": [{"clientId": "CI", "groups": [USERS]}]}}
    rows = drift.service_account_rows(
        realm_spec(parse(given, "x")),
        {"CI": BOB, "mlflow": BOB, "mlflow-people": drift.Actual(True, ())},
        {"service-account-ci": user("service-account-ci"), "alice": user("alice")},
    )
    assert [(row.name, row.mlflow, row.drift) for row in rows] == [
        ("CI", "user", ()),
        ("mlflow", "", ()),
        ("mlflow-people", "", ()),
    ]


def test_a_group_that_is_missing_is_drift_and_one_more_is_not() -> None:
    rows = drift.group_rows(spec(), {ADMINS: ["alice"], "others": []})
    assert {row["name"]: row["drift"] for row in rows} == {
        ADMINS: [],
        USERS: ["declared, and not in Keycloak"],
        "others": [],
    }
