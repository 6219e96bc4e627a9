"""LDAP directories that nobody could log in with, or everybody could read: each setting is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from components.rules import RULES
from problems import StackError
from settings import PROJECT, parse
from settings.realm import dn
from tests.unit.test_ldap import LDAP

Tree = dict[str, Any]


def refused(*directories: Tree, **more: Any) -> list[str]:
    """The keys that are named."""
    raw = {**more, "realm": {"ldap": list(directories), **more.get("realm", {})}}
    try:
        parse({f"{PROJECT}:{key}": value for key, value in raw.items()}, "test", rules=RULES)
    except StackError as error:
        return sorted(one.where.replace(f"{PROJECT}:realm.ldap", "") for one in error.problems)
    return []


NOT_IN_DEV: Tree = {
    "environment": "staging",
    "mlflow": {"url": "https://ml.x.io", "tls": {"proxy": True}},
    "keycloak": {"url": "https://id.x.io", "tls": {"proxy": True}},
}


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"urls": []}, ["[0].urls"]),
        ({"urls": ["https://ldap.acme.example"]}, ["[0].urls[0]"]),
        ({"urls": ["ldaps://ldap.acme.example/dc=acme"]}, ["[0].urls[0]"]),
        ({"urls": ["ldaps://a.x.io ldap://b.x.io"]}, ["[0].urls[0]"]),
        ({"urls": ["ldaps://a.x.io:0"]}, ["[0].urls[0]"]),
        ({"urls": ["ldaps://a.x.io", "ldap://b.x.io"]}, ["[0].urls"]),
        ({"urls": ["ldaps://localhost"]}, ["[0].urls"]),
        ({"startTls": True}, ["[0].startTls"]),
        ({"bindDn": None}, ["[0].bindDn"]),
        ({"bindPassword": None}, ["[0].bindPassword"]),
        ({"bindPassword": ""}, ["[0].bindPassword"]),
        ({"kind": "ad", "bindDn": None, "bindPassword": None}, ["[0].bindDn"]),
        ({"writable": True, "bindDn": None, "bindPassword": None}, ["[0].bindDn"]),
        ({"usersDn": "people"}, ["[0].usersDn"]),
        ({"userFilter": "objectClass=*"}, ["[0].userFilter"]),
        ({"userFilter": "(a=b)(c=d)"}, ["[0].userFilter"]),
        ({"userFilter": "(a=b))"}, ["[0].userFilter"]),
        ({"usernameAttribute": "u id"}, ["[0].usernameAttribute"]),
        ({"groupsDn": None}, ["[0].groupsDn"]),
        ({"groups": {"x": "nobody"}, "defaultGroups": ["none"]}, ["[0].defaultGroups", "[0].groups"]),
        ({"groups": {"": "mlflow-users"}}, ["[0].groups"]),
        ({"groups": {"MLflow-Admins": "mlflow-users"}}, ["[0].groups"]),
        ({"groups": {"cn=mlflow-admins,ou=old,ou=groups,dc=acme,dc=example": "mlflow-users"}}, ["[0].groups"]),
        ({"groups": {"mlflow-users": "mlflow-users"}}, []),
        ({"groups": {"cn=ml,ou=elsewhere,dc=acme,dc=example": "mlflow-users"}}, ["[0].groups"]),
        ({"groups": {"CN=ml , OU=groups, DC=acme, DC=example": "mlflow-users"}}, []),
        ({"kind": "ad", "membersBy": "name"}, ["[0].membersBy"]),
        ({"writable": True, "trustEmail": True}, ["[0].trustEmail"]),
        (
            {"writable": True, "trustEmail": True, "bindDn": None, "bindPassword": None},
            ["[0].bindDn", "[0].trustEmail"],
        ),
        ({"urls": ["ldaps://[1.2]"]}, ["[0].urls[0]"]),
        ({"urls": ["ldaps://[2001:db8::1]:636"]}, []),
        ({"groups": {"cn=ml\\2C,OU = groups,dc=acme,dc=example": "mlflow-users"}}, []),
        ({"groups": {"ML": "mlflow-users", "ml": "mlflow-admins"}}, ["[0].groups"]),
        ({"groups": {"CN=mlflow\\2dadmins,ou=groups,dc=acme,dc=example": "mlflow-users"}}, ["[0].groups"]),
        ({"groups": {"mlflow-admins ": "mlflow-users"}}, ["[0].groups"]),
        ({"groups": {"Team=ML": "mlflow-users"}}, ["[0].groups"]),
        ({"memberAttribute": "memberUid"}, ["[0].membersBy"]),
        ({"memberAttribute": "memberUid", "membersBy": "name"}, []),
        ({"bindDn": "keycloak@acme.example"}, ["[0].bindDn"]),
        ({"kind": "ad", "bindDn": "keycloak@acme.example"}, []),
        ({"kind": "ad", "bindDn": "ACME\\keycloak"}, []),
        ({"bindDn": "keycloak"}, ["[0].bindDn"]),
        ({"usersDn": "dc=acme,,dc=x"}, ["[0].usersDn"]),
        ({"usersDn": "OU=people;DC=acme"}, ["[0].usersDn"]),
        ({"usersDn": "ou=Menschen \\+ B\u00fcros,dc=acme"}, []),
        ({"userFilter": "(memberOf=CN=R&D (core),DC=x)"}, ["[0].userFilter"]),
        ({"userFilter": "(&\n  (a=b)\n  (!(c=d*))\n)\n"}, []),
        ({"userFilter": "(=)"}, ["[0].userFilter"]),
        ({"name": "A me"}, ["[0].name"]),
        ({"fullSyncSeconds": 5}, ["[0].fullSyncSeconds"]),
    ],
)
def test_what_nobody_could_log_in_with_is_refused_by_name(change: Tree, keys: list[str]) -> None:
    one = {key: value for key, value in {**LDAP, **change}.items() if value is not None}
    assert refused(one) == keys


def test_two_of_one_name_and_passwords_in_clear_are_refused() -> None:
    (twice,) = refused(LDAP, LDAP)
    assert "[0].name" in twice
    assert "[1].name" in twice
    clear = {**LDAP, "urls": ["ldap://ldap.acme.example"]}
    assert refused(clear) == []
    assert refused(clear, **NOT_IN_DEV) == ["[0].urls"]
    assert refused({**clear, "startTls": True}, **NOT_IN_DEV) == []


def test_a_realm_of_somebody_elses_gets_none() -> None:
    existing = {"createRealm": False, "adminClientId": "x", "adminClientSecret": "operators-own-client"}
    keycloak = {"url": "https://id.x.io", "existing": existing}
    assert any("ldap" in key or key == "" for key in refused(LDAP, keycloak=keycloak))


def test_distinguished_names_are_one_however_they_are_written() -> None:
    for one, other in (
        (r"CN=ML\, Admins,DC=x", r"cn = ml\2c admins , dc=X"),
        ("cn=B\u00fcro,dc=x", r"CN=b\C3\BCRO,dc=x".replace("RO", "ro")),
        (r"cn=svc\ ,dc=x", r"cn=svc\20,dc=x"),
    ):
        assert dn.parts(one) == dn.parts(other)
    assert dn.parts(r"cn=svc\ ,dc=x") != dn.parts("cn=svc,dc=x")
    assert dn.leads_below("CN=ml, OU=Groups, DC=x", "ou=groups,dc=x")
    for place in ("ou=other,dc=x", "cn=ml,ou=groups,dc=x", "ou=groups,dc=x,dc=y"):
        assert not dn.leads_below("cn=ml,ou=groups,dc=x", place)
    for none in ("", "people", "ou=a;dc=b", "dc=a,,dc=b", "ou=x,y", "a=", "a=b+c=d", r"cn=a\zb"):
        with pytest.raises(ValueError, match=r"part|backslash"):
            dn.parts(none)


def test_filters_are_told_from_what_is_none() -> None:
    for good in (
        "(a=b)",
        "(&(a=b)(c=*))",
        "(!(a=b))",
        "(|(a=b)(&(c=d)(e>=f)))",
        r"(a=\28x\29)",
        "(a:1.2.3:=cn=x,dc=y)",
    ):
        assert dn.is_filter(good), good
    for bad in ("a=b", "(a=b)(c=d)", "(a=b))", "(=)", "(cn=a(b)c)", "()", "(&)", "(!(a=b)(c=d))", "((a=b))", ""):
        assert not dn.is_filter(bad), bad
    assert not dn.is_filter("(!" * 100_000)
