"""A wrong value is named once, and nothing is said of values that nobody wrote: of every key, alone and in pairs."""

from __future__ import annotations

import copy
import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from components.rules import RULES
from problems import StackError
from settings import PROJECT, parse
from settings.reference import rows
from tests.contract.kubernetes_samples import FETCHED, KEPT, OPERATED, OUTSIDE, SCALED
from tests.samples import elsewhere, everything

TYPES = {row.key: row.type for row in rows()}
# What a list of groups needs in an entry, for another key of it to be the only wrong one.
ENTRIES: dict[str, dict[str, Any]] = {
    "mlflow.egress": {"host": "hooks.example.com", "port": 443},
    "keycloak.egress": {"host": "ldap.example.com", "port": 636},
    "realm.users": {"username": "somebody"},
    "realm.serviceAccounts": {"clientId": "some-client"},
    "realm.ldap": {
        "name": "acme",
        "urls": ["ldaps://ldap.acme.example"],
        "usersDn": "dc=acme,dc=example",
        "groupsDn": "dc=acme,dc=example",
    },
    "realm.identityProviders": {
        "alias": "google",
        "kind": "google",
        "clientId": "keycloak",
        "clientSecret": "operators-own-google",
    },
}
SAML = {
    "entityId": "https://id.example.com/saml",
    "loginUrl": "https://id.example.com/login",
    "metadataUrl": "https://id.example.com/metadata",
}
STORES = {"gcs": {"bucket": "models"}, "azure": {"account": "models", "container": "runs"}}
INGRESS = {**OUTSIDE, "kubernetes": {"ingress": {"issuer": "letsencrypt", "annotations": {"a": "b"}}}}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Stacks that are right: most keys stand in one of them, beside others that a rule holds them against."""
    cluster = {"fetched": FETCHED, "kept": KEPT, "operated": OPERATED, "scaled": SCALED, "ingress": INGRESS}
    config = {
        "plain": {},
        "everything": everything(tmp_path_factory.mktemp("pem")),
        "elsewhere": elsewhere(),
        "mail": {
            "realm": {
                "mail": {"host": "mail.example.com", "sender": "ml@example.com"},
                "sessionLimit": {"perPerson": 3},
            }
        },
        "saml": {"realm": {"identityProviders": [{"alias": "saml", "kind": "saml", "saml": dict(SAML)}]}},
        "open": {
            "docker": {"bindAddress": "0.0.0.0"},
            "mlflow": {"url": "https://m.example.com", "tls": {"proxy": True, "trustedProxies": ["10.0.0.7"]}},
            "keycloak": {"url": "https://k.example.com", "tls": {"proxy": True, "trustedProxies": ["10.0.0.7"]}},
        },
        **{name: {"platform": "kubernetes", **one} for name, one in cluster.items()},
        **{name: {"mlflow": {name: store}} for name, store in STORES.items()},
        **{
            f"{name} kept": {"platform": "kubernetes", "mlflow": {name: {**store, "existingSecret": {"name": "cloud"}}}}
            for name, store in STORES.items()
        },
    }
    for one in config.values():
        assert named(one) == []
    # Copies that share no group with each other, nor two groups of one.
    return {name: json.loads(json.dumps(one)) for name, one in config.items()}


def named(config: dict[str, Any]) -> list[str]:
    """The keys that are named as wrong, each as often as it is."""
    given = {f"{PROJECT}:{key}": value for key, value in copy.deepcopy(config).items()}
    try:
        parse(given, "test", Path("/"), rules=RULES)
    except StackError as error:
        return sorted(problem.where.replace(f"{PROJECT}:", "") for problem in error.problems)
    return []


def wrong(key: str) -> object:
    """A value that the type of a key does not take."""
    kind = TYPES[key]
    return 5 if kind.startswith(("list", "group", "map")) else ["wrong"]


def put(config: dict[str, Any], key: str, value: object) -> str | None:
    """Put a value in its place and return how that is named; None where its group lacks what it requires."""
    node: Any = config
    *groups, last = key.split(".")
    path = ""
    for group in groups:
        name = group.removesuffix("[]")
        path = f"{path}.{name}" if path else name
        if group.endswith("[]"):
            entries = node.setdefault(name, [dict(ENTRIES[path])])
            if not isinstance(entries, list) or not entries:
                return None
            node, path = entries[0], f"{path}[0]"
        else:
            if name not in node and required(re.sub(r"\[\d+\]", "[]", path)):
                return None
            node = node.setdefault(name, {})
        if not isinstance(node, dict):
            return None
    node[last.removesuffix("[]")] = value
    return f"{path}.{last}" if path else last


@cache
def required(group: str) -> bool:
    """Whether a group that is there has to hold some key."""
    pattern = re.compile(re.escape(group) + r"\.[^.\[]+")
    defaults = {row.key: row.default for row in rows()}
    inner = [key for key in TYPES if pattern.fullmatch(key)]
    known = {"postgres.external", "kubernetes.ingress"}
    login = group.startswith("postgres.external.")
    return group in known or login or any(defaults[key] == "required" for key in inner)


def cases(bases: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (base, key)
        for base, right in bases.items()
        for key in TYPES
        if put(copy.deepcopy(right), key, wrong(key)) and not contradicted(json.dumps(right), key.rpartition(".")[0])
    ]


@cache
def contradicted(base: str, group: str) -> bool:
    """Whether a stack cannot have this group at all: any value in it is another mistake."""
    config = json.loads(base)
    if group.partition(".")[0] == "kubernetes" and config.get("platform") != "kubernetes":
        return True
    if group.startswith("realm.identityProviders") and "sessionLimit" in config.get("realm", {}):
        return True
    at: Any = config
    for part in group.split("."):
        at = at.get(part, {}) if isinstance(at, dict) else {}
    return not at and "[]" not in group and bool(put(config, group, {}) and named(config))


def test_every_key_of_a_wrong_type_is_named_once_and_no_other_is(bases: dict[str, dict[str, Any]]) -> None:
    found = cases(bases)
    assert {key for _, key in found} == set(TYPES)
    failed = {}
    for base, key in found:
        config = copy.deepcopy(bases[base])
        expected = put(config, key, wrong(key))
        if named(config) != [expected]:
            failed[f"{base}: {expected}"] = named(config)
    assert failed == {}


def test_of_two_wrong_keys_each_is_named_once_and_no_other_is(bases: dict[str, dict[str, Any]]) -> None:
    chance = random.Random(5)  # noqa: S311
    failed, checked = {}, 0
    every = cases(bases)
    for base, right in bases.items():
        keys = [key for where, key in every if where == base]
        for _ in range(400):
            pair = chance.sample(keys, 2)
            if pair[0].startswith(pair[1]) or pair[1].startswith(pair[0]):
                continue
            config = copy.deepcopy(right)
            expected = [put(config, key, wrong(key)) for key in pair]
            if None in expected:
                continue
            checked += 1
            if named(config) != sorted(str(key) for key in expected):
                failed[f"{base}: {expected}"] = named(config)
    assert checked > 2500
    assert failed == {}


# Values of the right type that are refused for what they say.
SAYS: dict[str, list[object]] = {
    "mlflow.url": ["http://localhost:5000/api", "localhost:5000", "http://10.0.0.5", "http://[::1"],
    "keycloak.url": ["http://localhost:8080/auth", "ftp://localhost"],
    "keycloak.adminUrl": ["http://sso.example.com", "x"],
    "keycloak.existing.internalUrl": ["http://[", "keycloak:8080"],
    "mlflow.egress[].host": ["x y", "http://hooks.example.com", "", "10.0.0.0/255.0.0.0"],
    "mlflow.egress[].port": [0, "https"],
    "mlflow.s3.endpointUrl": ["minio:9000", "http://["],
    "mlflow.pluginVersion": ["6.0.0", "latest"],
    "mlflow.workers": [0, 65, "many", 1.5],
    "mlflow.memoryMib": [1],
    "mlflow.tls.trustedProxies": [["10.0.0.7", 5], [None]],
    "postgres.version": ["9"],
    "realm.users[].username": ["A B", "", "-x"],
    "realm.users[].groups": [["nosuch"], ["nosuch", "neither"], [""]],
    "realm.serviceAccounts[].clientId": ["", "a b"],
    "realm.groups.admins": [[], [""], ["ok", "a,b"]],
    "realm.lifetimes.ssoIdleSeconds": [0, "soon"],
    "realm.passwordPolicy": ["lenght(12)", "length(12), digits(1)", ""],
    "realm.identityProviders[].alias": ["A B", ""],
    "realm.identityProviders[].groups": [{"x": "nosuch"}],
    "realm.ldap[].name": ["A B", ""],
    "realm.ldap[].urls": [["https://ldap.acme.example"], []],
    "realm.ldap[].usersDn": ["people", ""],
    "realm.ldap[].userFilter": ["objectClass=*", "(a=b))"],
    "realm.ldap[].groups": [{"x": "nosuch"}],
    "realm.languages": [["german"], ["de", "E N"]],
    "realm.texts": [{"german": {"a": "x"}}, {"en": {}}, {"en": {"a b": "x"}}, {"en": {"a": ""}}, {"fr": {"a": "x"}}],
    "realm.terms": ["everybody"],
    "realm.themes.login": ["../acme", ""],
    "realm.sessionLimit.perPerson": [0, 1001, "few"],
    "realm.mail.sender": ["nobody", ""],
    "realm.events.days": [0, "week"],
    "realm.scope": ["openid,email", "email"],
    "docker.bindAddress": ["eth0"],
    "environment": ["test"],
    "platform": ["kubernets"],
    "kubernetes.gateway.name": ["Not_A_Label"],
    "kubernetes.storage.sharedAccess": ["RWX"],
    "kubernetes.callers": [["ok", "Not_A_Label"]],
    "redis.external.host": ["x y"],
    "postgres.external.mlflow.username": [""],
    "mlflow.secretEnv": [{"A": ["x"]}, {"A": {"name": "a", "value": "x"}}, {"A": {"name": "NOT OK"}}],
}


def test_a_value_that_is_refused_for_what_it_says_is_named_once(bases: dict[str, dict[str, Any]]) -> None:
    failed, checked = {}, 0
    for base, right in bases.items():
        for key, values in SAYS.items():
            for value in values:
                config = copy.deepcopy(right)
                place = put(config, key, value)
                if place is None or contradicted(json.dumps(right), key.rpartition(".")[0]):
                    continue
                checked += 1
                found = named(config)
                if len(found) != 1 or not found[0].startswith(place):
                    failed[f"{base}: {place} = {json.dumps(value)}"] = found
    assert checked > 200
    assert failed == {}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # As the first report had them.
        ({"mlflow": {"url": "https://m.example.com/a/../b", "tls": {"proxy": True}}}, ["mlflow.url"]),
        ({"realm": {"users": [{"username": "A B"}]}}, ["realm.users[0].username"]),
        # What stands beside a wrong entry of a list is looked at too.
        (
            {"realm": {"users": [{"username": "A B"}, {"username": "carol", "groups": ["nosuch"]}, 5]}},
            ["realm.users[0].username", "realm.users[1].groups", "realm.users[2]"],
        ),
        (
            {"realm": {"users": [{"groups": ["nosuch"]}, {"username": "bob"}]}},
            ["realm.users[0].groups", "realm.users[0].username", "realm.users[1].username and realm.sampleUsers"],
        ),
        ({"realm": {"groups": {"admins": ["", "x"], "users": ["x", "y/z"]}}},
         ["realm.groups", "realm.groups.admins[0]", "realm.groups.users[1]"]),
        # A file that is wrong in two ways is named for the first.
        ({"platform": "kubernetes", "kubernetes": {"ingress": {"clusterIssuer": "ca"}},
          "mlflow": {"url": "https://m.example.com", "tls": {"certificateFile": "no.pem", "keyFile": 5}}},
         ["keycloak.url", "mlflow.tls.certificateFile", "mlflow.tls.keyFile"]),
        # A name that was meant for another key is no value of that key.
        ({"mlflow": {"s3": {"buket": "models"}}}, ["mlflow.s3.buket"]),
        ({"mlflow": {"ulr": "https://m.example.com", "tls": {"proxy": True}}}, ["mlflow.ulr"]),
        ({"mlflow": {"tls": {"certificatFile": "a.crt", "keyFile": "/dev/null"}}},
         ["mlflow.tls.certificatFile", "mlflow.tls.keyFile"]),
        # Contradictions are told beside what has nothing to do with them, and each once.
        ({"realm": {"lifetimes": {"bogus": 1, "ssoIdleSeconds": 9, "ssoMaxSeconds": 8, "accessTokenSeconds": 1}}},
         ["realm.lifetimes", "realm.lifetimes.bogus"]),
        ({"realm": {"lifetimes": {"ssoIdleSeconds": "x", "ssoMaxSeconds": 1000}}}, ["realm.lifetimes.ssoIdleSeconds"]),
        ({"mlflow": {"tls": {"certificateFile": "/dev/null", "keyFile": 5}}},
         ["mlflow.tls", "mlflow.tls.certificateFile", "mlflow.tls.keyFile"]),
        ({"mlflow": {"url": "https://m.example.com", "tls": {"certificateFile": "no.pem"}}},
         ["mlflow.tls", "mlflow.tls.certificateFile"]),
        ({"redis": {"external": {"host": "cache", "password": ["x"], "existingSecret": {"name": "x"}}}},
         ["redis.external.existingSecret", "redis.external.password"]),
        ({"environment": "test", "realm": {"users": [{"username": "bob"}]}}, ["environment"]),
        ({"environment": "prod", "realm": {"sampleUsers": "x", "users": [{"username": "bob"}]}}, ["realm.sampleUsers"]),
        ({"platform": "kubernets", "kubernetes": {"namespace": "x"}, "mlflow": {"replicas": 3}}, ["platform"]),
        ({"realm": "x", "keycloak": "y"}, ["keycloak", "realm"]),
        # What the stack sets itself is known without the values that are wrong.
        ({"mlflow": {"workers": "x", "pluginVersion": "6.0.0", "env": {"OIDC_ISSUER": "x", "A": "b", "B": 5, "1C": "x"},
                     "secretEnv": {"A": "x", "OIDC_SCOPE": {"name": "NOT OK"}}},
          "environment": "test", "caBundle": "no.pem", "keycloak": 5},
         ["caBundle", "environment", "keycloak", "mlflow.env.1C", "mlflow.env.B", "mlflow.env.OIDC_ISSUER",
          "mlflow.pluginVersion", "mlflow.secretEnv.A", "mlflow.secretEnv.OIDC_SCOPE",
          "mlflow.secretEnv.OIDC_SCOPE.name", "mlflow.workers"]),
        ({"mlflow": {"s3": {"bucket": "", "endpointUrl": "x"}, "env": {"MLFLOW_SERVER_ALLOWED_HOSTS": "x"}}},
         ["mlflow.env.MLFLOW_SERVER_ALLOWED_HOSTS", "mlflow.s3.bucket", "mlflow.s3.endpointUrl"]),
        # Names that are one to Keycloak, beside one that is none.
        ({"realm": {"users": [{"username": "x", "email": "A@b"}, {"username": "X Y", "email": "a@b"}],
                    "serviceAccounts": [{"clientId": "P"}, {"clientId": "p"}]}},
         ["realm.serviceAccounts[0].clientId and realm.serviceAccounts[1].clientId",
          "realm.users[0].email and realm.users[1].email", "realm.users[1].username"]),
        ({"realm": {"users": [{"username": ""}, {"username": ""}]}},
         ["realm.users[0].username", "realm.users[1].username"]),
        # A group that contradicts others does so whatever is wrong in it.
        ({"kubernetes": {"namespace": "A_B"}}, ["kubernetes", "kubernetes.namespace"]),
        ({"mlflow": {"replicas": 2, "maxReplicas": 3, "workers": "x"}, "keycloak": {"replicas": 2}},
         ["keycloak.replicas", "mlflow.maxReplicas", "mlflow.replicas", "mlflow.workers"]),
        ({"mlflow": {"url": "https://m.example.com", "tls": {"trustedProxies": [5]}}},
         ["mlflow.tls", "mlflow.tls.trustedProxies[0]"]),
        ({"mlflow": {"s3": {"bucket": "", "accessKeyId": "x"}}}, ["mlflow.s3.bucket", "mlflow.s3.secretAccessKey"]),
        ({"mlflow": {"s3": {"bucket": "b", "accessKeyId": "x"}, "secretEnv": 5}}, ["mlflow.secretEnv"]),
        ({"mlflow": {"gcs": {"bucket": "", "anonymous": True}}}, ["mlflow.gcs.bucket", "mlflow.gcs.endpointUrl"]),
        ({"mlflow": {"azure": {"account": "", "container": "runs", "endpointUrl": "http://a:1"}}},
         ["mlflow.azure.account", "mlflow.azure.accountKey"]),
        ({"mlflow": {"azure": {"account": "abc", "container": "runs", "endpointUrl": "http://a", "accountKey": [1]}}},
         ["mlflow.azure.accountKey"]),
        ({"platform": "kubernetes", "keycloak": {"existing": 5, "url": "https://k.example.com"},
          "kubernetes": {"gateway": {"name": "public", "namespace": "gateways"}, "dns": {"labels": {"a": "b"}}}},
         ["keycloak.existing", "kubernetes.dns.namespace", "mlflow.url"]),
    ],
)  # fmt: skip
def test_no_rule_speaks_about_what_was_refused(config: dict[str, Any], expected: list[str]) -> None:
    assert named(config) == expected


def test_a_route_over_http_is_one_mistake() -> None:
    served = {
        "platform": "kubernetes",
        "mlflow": {"url": "http://localhost:5000"},
        "keycloak": {"url": "https://sso.example.com"},
        "kubernetes": {"gateway": {"name": "public", "namespace": "gateways"}},
    }
    assert named(served) == ["mlflow.url"]


def test_whatever_is_written_is_taken_or_refused_in_one_message(bases: dict[str, dict[str, Any]]) -> None:
    """Any number of wrong values, of any shape, in any place: no other error, and no key twice."""
    chance = random.Random(7)  # noqa: S311
    junk: list[Any] = [
        None,
        True,
        -1,
        1.5,
        "",
        "x",
        "http://[",
        "\0",
        [],
        {},
        [None],
        [[]],
        [{}],
        {"": 1},
        {"name": {}},
        {"x": []},
    ]
    for _ in range(1500):
        config = copy.deepcopy(chance.choice(list(bases.values())))
        for key in chance.sample(sorted(TYPES), chance.randint(1, 6)):
            put(config, key, copy.deepcopy(chance.choice(junk)))
        found = named(config)
        assert len(found) == len(set(found)), config
