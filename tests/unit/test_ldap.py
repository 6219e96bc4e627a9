"""LDAP directories: what the settings say becomes what Keycloak is told, and what cannot be is refused."""

from __future__ import annotations

import json
import urllib.error
from copy import deepcopy
from email.message import Message
from io import BytesIO
from typing import Any, cast

import pulumi
import pytest
from mlflow_sso_client.errors import AccessError

from components.importing import importing_workloads
from components.realm.asked import Asked, directory_input
from components.realm.document import realm_import
from components.realm.spec import realm_spec
from components.realm_words import MAPPER, REACHED, STORAGE
from components.stack import stack_spec
from problems import StackError
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.realm.actual import Actual
from stackctl.realm.directories import silent
from stackctl.realm.fingerprint import fingerprint
from stackctl.realm.steps import steps
from tests.samples import settings
from tests.unit.fake_realm import FakeRealm, apply

Tree = dict[str, Any]
LDAP: Tree = {
    "name": "acme",
    "urls": ["ldaps://ldap.acme.example", "ldaps://ldap2.acme.example:1636"],
    "bindDn": "cn=keycloak,dc=acme,dc=example",
    "bindPassword": "operators-own-ldap",
    "usersDn": "ou=people,dc=acme,dc=example",
    "groupsDn": "ou=groups,dc=acme,dc=example",
    "groups": {
        "ML (all) * users": "mlflow-users",
        "data\\science": "mlflow-users",
        "cn=ml,ou=groups,dc=acme,dc=example": "mlflow-admins",
    },
}
AD: Tree = {**LDAP, "name": "ad", "kind": "ad"}


def spec_of(*directories: Tree, **more: Any) -> Any:
    return settings({**more, "realm": {"ldap": list(directories), **more.get("realm", {})}})


def declared(*directories: Tree) -> Tree:
    return realm_import(realm_spec(spec_of(*directories)), lambda secret: secret.value or f"value of {secret.name}")


def config(*directories: Tree) -> list[dict[str, str]]:
    return [
        {key: value for key, (value,) in one["config"].items()} for one in declared(*directories)["components"][STORAGE]
    ]


def mappers(one: Tree) -> dict[str, dict[str, str]]:
    (found,) = declared(one)["components"][STORAGE]
    return {
        mapper["name"]: {key: value for key, (value,) in mapper["config"].items()}
        for mapper in found["subComponents"][MAPPER]
    }


def test_a_directory_is_told_as_keycloak_calls_it() -> None:
    ldap, ad = config(LDAP, AD)
    assert ldap["connectionUrl"] == "ldaps://ldap.acme.example ldaps://ldap2.acme.example:1636"
    assert (ldap["authType"], ldap["bindDn"], ldap["bindCredential"]) == (
        "simple",
        LDAP["bindDn"],
        "operators-own-ldap",
    )
    assert (ldap["usernameLDAPAttribute"], ldap["uuidLDAPAttribute"]) == ("uid", "entryUUID")
    assert (ad["usernameLDAPAttribute"], ad["uuidLDAPAttribute"]) == ("sAMAccountName", "objectGUID")
    # Computers are people there, too, by their classes.
    assert ad["customUserSearchFilter"] == "(objectCategory=person)"
    (some,) = config({**AD, "userFilter": "(l=Berlin)"})
    assert some["customUserSearchFilter"] == "(&(objectCategory=person)(l=Berlin))"
    # A changed password is hashed where it is kept.
    assert (ldap["usePasswordModifyExtendedOp"], ad["usePasswordModifyExtendedOp"]) == ("true", "false")
    for one in (ldap, ad):
        assert (one["editMode"], one["useTruststoreSpi"], one["trustEmail"]) == ("READ_ONLY", "always", "false")
        # What was read is news for half a minute: a look at who is there asks for it within that.
        assert (one["cachePolicy"], one["maxLifespan"]) == ("MAX_LIFESPAN", "30000")


def test_nobody_logs_in_there_where_no_login_is_given() -> None:
    (found,) = config({key: value for key, value in LDAP.items() if not key.startswith("bind")})
    assert found["authType"] == "none"
    assert not {"bindDn", "bindCredential"} & found.keys()


def test_the_groups_that_lead_to_one_are_those_and_no_others() -> None:
    found = mappers(LDAP)
    assert {name for name in found if name.startswith("group ")} == {"group mlflow-admins", "group mlflow-users"}
    users, admins = found["group mlflow-users"], found["group mlflow-admins"]
    assert users["groups.ldap.filter"] == r"(|(cn=ML \28all\29 \2a users)(cn=data\5cscience))"
    assert admins["groups.ldap.filter"] == "(entryDN=cn=ml,ou=groups,dc=acme,dc=example)"
    assert (
        mappers(AD)["group mlflow-admins"]["groups.ldap.filter"]
        == "(distinguishedName=cn=ml,ou=groups,dc=acme,dc=example)"
    )
    assert (users["groups.path"], admins["groups.path"]) == ("/mlflow-users", "/mlflow-admins")
    for one in (users, admins):
        assert one["mode"] == "READ_ONLY"
        # Else a group in one of these would bring its own.
        assert one["preserve.group.inheritance"] == "false"


def test_groups_in_groups_count_where_the_directory_says_them() -> None:
    def strategy(one: Tree) -> str:
        return mappers(one)["group mlflow-users"]["user.roles.retrieve.strategy"]

    assert strategy(LDAP) == "LOAD_GROUPS_BY_MEMBER_ATTRIBUTE"
    assert strategy(AD) == "LOAD_GROUPS_BY_MEMBER_ATTRIBUTE_RECURSIVELY"


def test_a_group_for_everybody_has_a_mapper_of_its_own() -> None:
    found = mappers({**LDAP, "groups": {}, "defaultGroups": ["mlflow-users"]})
    assert found["everybody mlflow-users"] == {"group": "/mlflow-users"}


def test_a_directory_is_written_to_where_the_settings_say_so() -> None:
    found = {**LDAP, "writable": True}
    assert config(found)[0]["editMode"] == "WRITABLE"
    assert {one["read.only"] for one in mappers(found).values() if "read.only" in one} == {"false"}
    assert mappers(found)["group mlflow-users"]["mode"] == "READ_ONLY", "groups are read alone"


def test_the_password_is_in_no_file_and_keycloak_may_go_there() -> None:
    spec = stack_spec(spec_of(LDAP))
    server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
    (text,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert "operators-own" not in text
    assert "acme.example" not in text, "a directory comes there once it was tried"
    assert {(one.host, one.port) for one in server.outside} >= {
        ("ldap.acme.example", 636),
        ("ldap2.acme.example", 1636),
    }


def kept(tree: Tree) -> Tree:
    """What is remembered of a declaration: its password by a fingerprint."""
    found = deepcopy(tree)
    for one in found.get("components", {}).get(STORAGE, ()):
        secret = one["config"]["bindCredential"]
        one["config"]["bindCredential"] = [fingerprint(tree["realm"], secret[0])]
    return found


def test_a_directory_is_made_changed_and_removed_and_what_others_set_stays() -> None:
    none, wanted = declared(), declared(LDAP)
    realm = FakeRealm(none)
    assert apply(realm, wanted, none) == ["directory acme: is made"]
    names = {one["name"] for one in realm.components.all.values()}
    assert names == {"acme", *mappers(LDAP)}, "none that Keycloak makes by itself"
    assert apply(realm, wanted, kept(wanted)) == []
    made = realm.components.all["component-acme"]
    made["config"] |= {"enabled": ["false"], "batchSizeForSync": ["7"]}
    other = declared({**LDAP, "userFilter": "(l=Berlin)", "groups": {"all": "mlflow-users"}})
    assert apply(realm, other, kept(wanted)) == [
        "directory acme: config.customUserSearchFilter: (objectClass=*) -> (l=Berlin)",
        "directory acme, mapper group mlflow-users: groups.ldap.filter: "
        r"(|(cn=ML \28all\29 \2a users)(cn=data\5cscience)) -> (cn=all)",
        "directory acme, mapper group mlflow-admins: is removed",
    ]
    made = realm.components.all["component-acme"]
    assert (made["config"]["enabled"], made["config"]["batchSizeForSync"]) == (["false"], ["7"])
    secret = declared(
        {**LDAP, "userFilter": "(l=Berlin)", "groups": {"all": "mlflow-users"}, "bindPassword": "other-one"}
    )
    assert apply(realm, secret, kept(other)) == ["directory acme: config.bindCredential is written"]
    assert apply(realm, none, kept(secret)) == ["directory acme: is removed"]
    assert realm.components.all == {}


def test_a_login_that_is_given_no_more_is_used_no_more() -> None:
    none, wanted = declared(), declared(LDAP)
    realm = FakeRealm(none)
    apply(realm, wanted, none)
    apply(realm, declared({key: value for key, value in LDAP.items() if not key.startswith("bind")}), kept(wanted))
    made = realm.components.all["component-acme"]["config"]
    assert made["authType"] == ["none"]
    assert not {"bindDn", "bindCredential"} & made.keys()


def test_a_directory_is_made_whole_or_not_at_all_and_is_known_if_something_later_fails() -> None:
    none, wanted = declared(), declared(LDAP)
    realm = FakeRealm(none)
    realm.components.broken = "group mlflow-users"
    with pytest.raises(AccessError):
        apply(realm, wanted, none)
    assert realm.components.all == {}
    realm.components.broken = ""
    (step,) = steps(wanted, none, Actual(cast("KeycloakAdmin", realm)))
    step.take()
    assert step.remember is not None
    known = dict(step.remember(none, kept(wanted)))
    assert "operators-own" not in json.dumps(known)
    assert apply(realm, wanted, known) == []


def test_people_are_made_before_a_directory_that_has_one_of_their_name() -> None:
    none = declared()
    wanted = realm_import(realm_spec(spec_of(LDAP, realm={"users": [{"username": "ada"}]})), lambda _: "x")
    said = [one.where for one in steps(wanted, none, Actual(cast("KeycloakAdmin", FakeRealm(none))))]
    assert said == ["user ada", "directory acme"]


def test_somebody_of_a_directory_is_neither_removed_nor_written_to() -> None:
    """Keycloak would do it there: it deletes entries of a directory that it may write to."""
    ada = {"username": "ada", "email": "a@x.io", "groups": ["mlflow-users"]}
    before, wanted = (
        realm_import(realm_spec(settings({"realm": {"users": users}})), lambda _: "x") for users in ([ada], [])
    )
    realm = FakeRealm(before)
    realm.named("users", "username", "ada")["federationLink"] = "component-acme"
    assert apply(realm, wanted, before) == []
    assert realm.named("users", "username", "ada")
    changed = realm_import(realm_spec(settings({"realm": {"users": [{**ada, "email": "b@x.io"}]}})), lambda _: "x")
    apply(realm, changed, before)
    assert realm.named("users", "username", "ada")["email"] == "a@x.io"


@pytest.mark.parametrize(
    ("new", "key"),
    [
        ({"username": "gil"}, "realm.users: gil"),
        ({"username": "other", "email": "gil@acme.example"}, "realm.users: other: email"),
    ],
)
def test_a_name_or_an_address_of_somebody_in_a_directory_is_refused(new: Tree, key: str) -> None:
    none = declared()
    realm = FakeRealm(none)
    realm.request("POST", "/users", json={"username": "gil", "email": "gil@acme.example", "federationLink": "acme"})
    wanted = realm_import(realm_spec(settings({"realm": {"users": [new]}})), lambda _: "x")
    with pytest.raises(StackError) as caught:
        apply(realm, wanted, none)
    assert [one.where for one in caught.value.problems] == [key]


def test_a_directory_that_somebody_made_is_not_taken_over() -> None:
    none, wanted = declared(), declared(LDAP)
    realm = FakeRealm(none)
    apply(realm, wanted, none)
    with pytest.raises(StackError, match="not the stack's") as caught:
        apply(realm, wanted, none)
    assert [one.where for one in caught.value.problems] == ["realm.ldap: name"]


@pytest.mark.parametrize(("action", "key"), [("testConnection", "urls"), ("testAuthentication", "bindDn")])
def test_a_directory_is_tried_before_anything_is_changed(action: str, key: str) -> None:
    none, wanted = declared(), declared(LDAP)
    realm = FakeRealm(none)
    realm.components.answers = {action: "no"}
    (found,) = silent(wanted, none, Actual(cast("KeycloakAdmin", realm)))
    assert found.where == f"realm.ldap: acme: {key}"
    assert "operators-own" not in str(found)
    assert realm.components.all == {}
    realm.components.answers = {}
    apply(realm, wanted, none)
    realm.components.answers = {action: "no"}
    assert list(silent(wanted, kept(wanted), Actual(cast("KeycloakAdmin", realm)))) == [], "it is not changed"


def test_what_the_console_set_is_said_again_by_pulumi() -> None:
    found = {"enabled": ["false"], "priority": ["3"], "debug": ["true"], "connectionUrl": ["ldap://x"]}
    found |= {"allowKerberosAuthentication": ["true"], "kerberosRealm": ["X"], "relativeCreateDn": []}
    assert json.loads(json.dumps(directory_input(found))) == {
        "debug": "true",
        "enabled": False,
        "kerberos": {
            "kerberosRealm": "X",
            "keyTab": "",
            "serverPrincipal": "",
            "useKerberosForPasswordAuthentication": False,
        },
        "priority": 3,
    }
    assert directory_input({}) == {}


class Trials(Asked):
    """A Keycloak that has these directories, and lets each password in or not."""

    def __init__(self, rows: list[Tree], good: set[str], *, reached: bool = True) -> None:
        self.rows, self.good, self.reached = rows, good, reached

    def _get(self, path: str, secret: str, sent: bytes | None = None) -> Any:
        if sent is None:
            return self.rows
        trial = json.loads(sent)
        if self.reached and (trial["action"] == REACHED or trial["bindCredential"] in self.good):
            return {}
        raise urllib.error.HTTPError(path, 400, "no", Message(), BytesIO(b'{"errorMessage": "no"}'))


ROW: Tree = {"name": "acme", "id": "1", "providerId": "ldap"}
SAME = ROW | {
    "config": {"connectionUrl": ["ldaps://ldap.x.io"], "authType": ["simple"], "bindDn": [LDAP["bindDn"]]}
    | {"enabled": ["true"]}
}
OTHER = SAME | {"config": {**SAME["config"], "connectionUrl": ["ldaps://other.x.io"]}}
KEPT = "*" * 10


@pytest.mark.parametrize(
    ("rows", "good", "reached", "key"),
    [
        ([], {"right"}, True, ""),
        ([], set(), True, "bindDn"),
        ([], {"right"}, False, "urls"),
        # It is silent today, or has another password by now: an update of something else goes on.
        ([SAME], {"right"}, False, ""),
        ([SAME], set(), True, ""),
        # What is there works, so what is declared is wrong.
        ([SAME], {KEPT}, True, "bindDn"),
        ([OTHER], {"right"}, False, "urls"),
        ([OTHER], set(), True, "bindDn"),
        ([SAME, OTHER], {"right"}, True, "not two"),
    ],
)
def test_pulumi_tries_what_it_would_write(rows: list[Tree], good: set[str], reached: bool, key: str) -> None:
    found = realm_spec(spec_of({**LDAP, "urls": ["ldaps://ldap.x.io"]})).directories[0]
    asked = Trials(rows, good, reached=reached)
    if not key:
        assert bool(asked.directory("", "acme", found.config, "right")) == bool(rows)
        return
    with pytest.raises(pulumi.RunError, match=key):
        asked.directory("", "acme", found.config, "right")
