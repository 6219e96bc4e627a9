"""What leads from one declaration of a realm to another, on a realm in memory; tests/e2e asks a Keycloak."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import pytest

from components.realm.document import realm_import
from components.realm.spec import realm_spec
from problems import StackError
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.realm.actual import Actual
from stackctl.realm.step import Step
from stackctl.realm.steps import steps
from tests.samples import settings
from tests.unit.fake_realm import FakeRealm

Tree = dict[str, Any]


def declared(**realm: Any) -> Tree:
    return realm_import(realm_spec(settings({"realm": realm})), lambda secret: f"value of {secret.name}")


PLAIN = declared()
FULL = declared(
    groups={"admins": ["mlflow-admins"], "users": ["mlflow-users", "scientists"]},
    users=[
        {"username": "carol", "email": "carol@example.com", "firstName": "Carol", "groups": ["scientists"]},
        {"username": "dave"},
    ],
    serviceAccounts=[{"clientId": "ci", "groups": ["mlflow-users"]}, {"clientId": "nightly"}],
    lifetimes={"accessTokenSeconds": 60},
    cliClientId="shell",
)


def found(wanted: Tree, before: Tree, fake: FakeRealm) -> list[Step]:
    return steps(wanted, before, Actual(cast(KeycloakAdmin, fake)))


def take(wanted: Tree, before: Tree, fake: FakeRealm) -> list[str]:
    """Takes the steps; returns what they say."""
    taken = found(wanted, before, fake)
    for step in taken:
        step.take()
    return [f"{step.where}: {change}" for step in taken for change in step.changes]


def told(tree: Tree, fake: FakeRealm) -> Tree:
    """What the realm has of what a declaration names, without order."""
    bare = FakeRealm(tree)
    for one in (bare, fake):
        for client in one.lists["clients"].values():
            client["protocolMappers"] = sorted(client.get("protocolMappers", ()), key=lambda mapper: mapper["name"])
    return {"same": _plain(fake) == _plain(bare), "here": _plain(fake), "there": _plain(bare)}


def _plain(fake: FakeRealm) -> Any:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(inner) for key, inner in value.items() if key not in ("id", "realmRoles")}
        if isinstance(value, list):
            return sorted(map(without, value), key=repr)
        return value

    accounts = {fake.lists["clients"][found]["clientId"]: account for found, account in fake.accounts.items()}
    parts = {part: list(entries.values()) for part, entries in fake.lists.items()}
    names = {entry["id"]: entry.get("clientId") or entry.get("name") for part in parts.values() for entry in part}
    roles = [f"{names.get(role['containerId'])} {role['name']}" for role in fake.roles.values()]
    given = [
        f"{names.get(key.split()[0])} {sorted(found)}" for key, found in fake.given.items() if key.split()[0] in names
    ]
    return without({**fake.settings, **parts, "accounts": accounts, "roles": roles, "given": given})


@pytest.mark.parametrize(("before", "after"), [(PLAIN, FULL), (FULL, PLAIN)])
def test_steps_lead_to_what_is_declared_and_are_then_none(before: Tree, after: Tree) -> None:
    fake = FakeRealm(before)
    assert take(after, before, fake)
    same = told(after, fake)
    assert same["here"] == same["there"]
    assert take(after, after, fake) == []


def test_nothing_is_done_where_nothing_differs() -> None:
    fake = FakeRealm(FULL)
    assert take(FULL, FULL, fake) == []
    assert fake.calls == []


def test_a_step_that_failed_is_found_again() -> None:
    fake = FakeRealm(PLAIN)
    for step in found(FULL, PLAIN, fake)[:3]:
        step.take()
    assert take(FULL, PLAIN, fake)
    assert told(FULL, fake)["same"]


def test_what_people_read_says_from_what_to_what() -> None:
    fake = FakeRealm(FULL)
    said = take(PLAIN, FULL, fake)
    assert "settings: accessTokenLifespan: 60 -> 300" in said
    assert "user carol: is removed" in said
    assert "client ci: is removed" in said
    assert not [line for line in said if "value of" in line], "no secret is told"


def test_secrets_of_what_is_there_are_not_written() -> None:
    fake = FakeRealm(FULL)
    fake.named("clients", "clientId", "ci")["secret"] = "another"
    fake.named("clients", "clientId", "ci")["redirectUris"] = ["https://elsewhere.example.com"]
    assert take(FULL, FULL, fake) == ["client ci: redirectUris: https://elsewhere.example.com -> none"]
    assert fake.named("clients", "clientId", "ci")["secret"] == "another"


def test_what_is_done_to_people_in_keycloak_stays() -> None:
    fake = FakeRealm(FULL)
    fake.named("users", "username", "carol").update(enabled=False, groups=[], email="left@example.com")
    fake.lists["users"].pop(fake.named("users", "username", "dave")["id"])
    fake.accounts[fake.named("clients", "clientId", "ci")["id"]]["groups"] = []
    assert take(FULL, FULL, fake) == []


def test_what_is_not_declared_is_left_alone() -> None:
    fake = FakeRealm(PLAIN)
    mlflow = fake.named("clients", "clientId", "mlflow")
    fake.settings |= {"passwordPolicy": "length(12)", "smtpServer": {"host": "mail"}}
    fake.settings["browserSecurityHeaders"]["xMine"] = "kept"
    mlflow["attributes"]["mine"] = "kept"
    mlflow["defaultClientScopes"].append("offline_access")
    mlflow["protocolMappers"].append({"name": "mine", "protocolMapper": "other", "config": {}, "id": "m"})
    fake.request("POST", "/clients", json={"clientId": "wiki"})
    fake.request("POST", "/groups", json={"name": "wiki-users"})
    fake.request("POST", "/users", json={"username": "zoe"})
    other = deepcopy(PLAIN)
    other["browserSecurityHeaders"]["referrerPolicy"] = "same-origin"
    next(c for c in other["clients"] if c["clientId"] == "mlflow")["redirectUris"] = ["https://ml.example.com/callback"]
    assert len(take(other, PLAIN, fake)) == 2
    assert fake.settings["passwordPolicy"] == "length(12)"
    assert fake.settings["browserSecurityHeaders"]["xMine"] == "kept"
    now = fake.named("clients", "clientId", "mlflow")
    assert (now["attributes"]["mine"], "offline_access" in now["defaultClientScopes"]) == ("kept", True)
    assert "mine" in {mapper["name"] for mapper in now["protocolMappers"]}
    assert fake.named("clients", "clientId", "wiki")
    assert fake.named("users", "username", "zoe")
    assert take(FULL, PLAIN, fake)
    assert take(PLAIN, FULL, fake)
    assert fake.named("groups", "name", "wiki-users")


@pytest.mark.parametrize("inside", [0, 2])
def test_a_group_with_somebody_in_it_is_refused_before_anything_is_done(inside: int) -> None:
    fake = FakeRealm(FULL)
    group = fake.named("groups", "name", "scientists")
    if inside:
        group["subGroupCount"] = inside
    else:
        fake.request("POST", "/users", json={"username": "zoe", "groups": ["/scientists"]})
        fake.calls.clear()
    with pytest.raises(StackError, match=r"realm\.groups: scientists") as caught:
        take(PLAIN, FULL, fake)
    assert ("0 member(s), 2 group(s) in it" if inside else "1 member(s) (zoe), 0 group(s)") in str(caught.value)
    assert fake.calls == []


def test_a_group_goes_with_those_who_are_declared_elsewhere_from_now_on() -> None:
    fake = FakeRealm(FULL)
    said = take(PLAIN, FULL, fake)
    assert said.index("user carol: is removed") < said.index("group scientists: is removed")
    assert told(PLAIN, fake)["same"]


def test_a_realm_of_another_name_is_refused() -> None:
    with pytest.raises(StackError, match=r"realm\.name = other: expected mlflow"):
        found(declared(name="other"), PLAIN, FakeRealm(PLAIN))


def test_what_a_client_no_longer_has_is_taken_from_it() -> None:
    before = deepcopy(PLAIN)
    client = next(c for c in before["clients"] if c["clientId"] == "mlflow")
    client["attributes"]["dropped"] = "yes"
    client["optionalClientScopes"].remove("offline_access")
    client["defaultClientScopes"].append("offline_access")
    client["protocolMappers"].append({"name": "dropped", "protocolMapper": "other", "config": {}})
    client["protocolMappers"][0]["config"]["multivalued"] = "false"
    fake = FakeRealm(before)
    said = take(PLAIN, before, fake)
    assert {line.partition(": ")[2] for line in said} == {
        "attributes.dropped: yes -> none",
        "multivalued: false -> true",
        "is removed",
        "default scope offline_access is removed",
        "optional scope offline_access is added",
    }
    assert told(PLAIN, fake)["same"]


def earlier() -> Tree:
    """The realm as versions made it whose tokens named every group by the last part of its path."""
    tree = {key: value for key, value in deepcopy(PLAIN).items() if key not in {"roles", "clientScopeMappings"}}
    new = {"mlflow-groups", "mlflow-people"}
    tree["clients"] = [client for client in tree["clients"] if client["clientId"] not in new]
    tree["users"] = [user for user in tree["users"] if user.get("serviceAccountClientId") not in new]
    for group in tree["groups"]:
        del group["clientRoles"]
    for client in tree["clients"]:
        if "protocolMappers" in client:
            old = {"protocolMapper": "oidc-group-membership-mapper", "config": {"full.path": "false"}}
            client["protocolMappers"][0] = {"name": "groups", "protocol": "openid-connect", **old}
    return tree


def test_a_realm_of_before_is_given_roles_before_its_tokens_name_them() -> None:
    fake = FakeRealm(earlier())
    fake.named("groups", "name", "mlflow-admins")["subGroupCount"] = 2
    said = take(PLAIN, earlier(), fake)
    roles = [n for n, line in enumerate(said) if "role" in line and "view-users" not in line]
    mappers = [n for n, line in enumerate(said) if "mapper" in line]
    assert max(roles) < min(mappers)
    assert "service account mlflow-people: has the role view-users of client realm-management" in said
    assert "client mlflow-cli, mapper groups: is removed" in said
    assert any(line.endswith("and so have the 2 group(s) in it") for line in said)
    del fake.named("groups", "name", "mlflow-admins")["subGroupCount"]
    same = told(PLAIN, fake)
    assert same["here"] == same["there"]
    assert take(PLAIN, PLAIN, fake) == []


def test_keycloaks_own_clients_are_not_removed() -> None:
    later = PLAIN | {"clients": [c for c in PLAIN["clients"] if c["clientId"] != "admin-cli"]}
    assert take(later, PLAIN, FakeRealm(PLAIN)) == []
