"""Bad input: one message that names every wrong key, its value, where it stands and what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from problems import StackError
from settings import PROJECT, from_engine, parse
from tests.samples import elsewhere, settings, write_pem


def refused(config: dict[str, Any], root: Path = Path("/")) -> str:
    with pytest.raises(StackError) as caught:
        settings(config, root=root)
    return str(caught.value)


def merged(group: str, **keys: Any) -> dict[str, Any]:
    config = elsewhere()
    config[group] = {**config.get(group, {}), **keys}
    return config


ONE_BY_ONE: list[tuple[str, dict[str, Any], str]] = [
    ("unknown key, near a known one", {"mlflow": {"ulr": "x"}}, 'mlflow.ulr = "x": unknown key; did you mean url?'),
    ("unknown key, near none", {"redis": {"qqqq": 1}}, "redis.qqqq = 1: unknown key; expected one of version, db, "),
    ("unknown group", {"mlfow": {"port": 1}}, "mlfow: unknown key; did you mean mlflow?"),
    ("unknown key in a list", {"realm": {"users": [{"username": "x", "group": ["a"]}]}}, "users[0].group: unknown"),
    ("text for a number", {"mlflow": {"workers": "many"}}, 'mlflow.workers = "many": input should be a valid int'),
    ("number out of range", {"mlflow": {"port": 70000}}, "mlflow.port = 70000: input should be less than"),
    ("text for a boolean", {"redis": {"persistent": "maybe"}}, 'redis.persistent = "maybe": input should be a'),
    ("text for a group", {"images": "here"}, 'images = "here": expected keys with values below it'),
    ("nothing for a group", {"mlflow": None}, "mlflow = null: expected keys with values below it"),
    ("text for a list", {"realm": {"groups": {"admins": "a"}}}, 'groups.admins = "a": expected a list'),
    ("a truth for a number", {"mlflow": {"port": True}}, "mlflow.port = true: expected a number, not true or false"),
    ("half an address", {"redis": {"external": {"host": "10.1.2"}}}, 'redis.external.host = "10.1.2": expected a host'),
    ("a host with a port", {"redis": {"external": {"host": "db:6379"}}}, 'redis.external.host = "db:6379": expected a'),
    ("a zone", {"redis": {"external": {"host": "fe80::1%eth0"}}}, 'redis.external.host = "fe80::1%eth0": expected a'),
    ("a name with a gap", {"redis": {"external": {"host": "a..b"}}}, 'redis.external.host = "a..b": expected a host'),
    ("another spelling", {"redis": {"max_memory_mib": 9}}, "unknown key; did you mean maxMemoryMib"),
    ("unknown choice", {"environment": "test"}, "environment = \"test\": input should be 'dev', 'staging' or 'prod'"),
    ("two equal ports", {"mlflow": {"url": "http://localhost:8080"}}, "port 8080: expected two ports"),
    ("two equal ports by key", {"mlflow": {"port": 99}, "keycloak": {"port": 99}}, "port 99: expected two ports"),
    ("no scheme", {"mlflow": {"url": "localhost:5000"}}, 'mlflow.url = "localhost:5000": expected a URL such as http'),
    ("no scheme, dotted", {"keycloak": {"url": "id.example.com"}}, 'keycloak.url = "id.example.com": expected a URL'),
    ("another scheme", {"mlflow": {"url": "ftp://localhost"}}, 'mlflow.url = "ftp://localhost": expected a URL'),
    ("a path", {"keycloak": {"url": "http://localhost:8080/auth"}}, "expected a URL such as"),
    ("credentials", {"keycloak": {"url": "http://a@localhost:8080"}}, "without path, query or credentials"),
    ("a path that MLflow has", {"mlflow": {"url": "http://localhost:5000/api/x"}}, "another path than /api"),
    ("a path with dots", {"mlflow": {"url": "http://localhost:5000/a/../b"}}, "expected a path of letters, digits"),
    ("a path with escapes", {"mlflow": {"url": "http://localhost:5000/a%2fb"}}, "expected a path of letters, digits"),
    ("a path and a query", {"mlflow": {"url": "http://localhost:5000/a?b"}}, "without query or credentials"),
    ("no port number", {"mlflow": {"url": "http://localhost:many"}}, "mlflow.url"),
    ("http in public", {"mlflow": {"url": "http://10.0.0.5:5000"}}, 'mlflow.url = "http://10.0.0.5:5000": expected'),
    ("https without a way", {"mlflow": {"url": "https://a.example"}}, "mlflow.tls: expected certificateFile and "),
    ("empty group name", {"realm": {"groups": {"admins": [""]}}}, "groups.admins[0]: string should have"),
    ("no group", {"realm": {"groups": {"users": []}}}, "realm.groups.users: tuple should have at least 1 item"),
    ("equal groups", {"realm": {"groups": {"admins": ["a"], "users": ["a"]}}}, "expected each group once; twice: a"),
    ("unknown group name", {"realm": {"users": [{"username": "x", "groups": ["y"]}]}}, "users[0].groups = y: expected"),
    ("a sample user", {"realm": {"users": [{"username": "bob"}]}}, "username and mlflow-sso:realm.sampleUsers = bob:"),
    ("a user twice", {"realm": {"users": [{"username": "x"}, {"username": "x"}]}}, "].username = x: expected each"),
    ("a client twice", {"realm": {"clientId": "one", "cliClientId": "one"}}, "and mlflow-sso:realm.cliClientId = one:"),
    ("a user without name", {"realm": {"users": [{"groups": []}]}}, "realm.users[0].username: required, and not given"),
    ("plugin 6", {"mlflow": {"pluginVersion": "6.2.0"}}, "mlflow.pluginVersion = 6.2.0: 6.x has neither"),
    ("plugin below 5", {"mlflow": {"pluginVersion": "4.0.1"}}, "mlflow.pluginVersion = 4.0.1: older than 5"),
    ("plugin unknown", {"mlflow": {"pluginVersion": "12.0.0"}}, "mlflow.pluginVersion = 12.0.0: expected one of "),
    ("plugin no version", {"mlflow": {"pluginVersion": "latest"}}, "mlflow.pluginVersion = latest: expected one of "),
    ("Postgres unknown", {"postgres": {"version": 9}}, "postgres.version = 9: expected one of 17, 15"),
    ("Redis unknown", {"redis": {"version": "1"}}, "redis.version = 1: expected one of 8.0"),
    ("Keycloak unknown", {"keycloak": {"version": "25"}}, "keycloak.version = 25: expected one of 26."),
    ("CA that is not there", {"caBundle": "no/such.pem"}, "caBundle = no/such.pem: expected a readable PEM"),
    ("realm master", {"realm": {"name": "master"}}, "realm.name = master: expected another name"),
    ("bind address in public", {"docker": {"bindAddress": "0.0.0.0"}}, "bindAddress = 0.0.0.0: expected 127"),
    ("bind address no address", {"docker": {"bindAddress": "eth0"}}, 'docker.bindAddress = "eth0": expected an IP'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "expected"), [case[1:] for case in ONE_BY_ONE], ids=[case[0] for case in ONE_BY_ONE]
)
def test_it_is_refused_with_key_value_and_what_was_expected(config: dict[str, Any], expected: str) -> None:
    message = refused(config)
    assert expected in message
    assert message.startswith(
        "1 setting is wrong in stack test (Pulumi.test.yaml); nothing was created.\n  - mlflow-sso:"
    )


LIFETIMES: list[tuple[dict[str, int], str]] = [
    ({"ssoIdleSeconds": 7200, "ssoMaxSeconds": 3600}, "ssoIdleSeconds (7200) <= ssoMaxSeconds (3600)"),
    ({"accessTokenSeconds": 3601}, "accessTokenSeconds (3601) <= ssoIdleSeconds (1800)"),
    ({"offlineIdleSeconds": 60}, "offlineIdleSeconds (60) >= ssoIdleSeconds (1800)"),
]


@pytest.mark.parametrize(("lifetimes", "expected"), LIFETIMES)
def test_a_lifetime_that_contradicts_another_is_refused_with_both(lifetimes: dict[str, int], expected: str) -> None:
    assert f"mlflow-sso:realm.lifetimes: expected {expected}" in refused({"realm": {"lifetimes": lifetimes}})


def test_every_contradiction_of_lifetimes_is_named_at_once() -> None:
    all_wrong = {"accessTokenSeconds": 500, "ssoIdleSeconds": 400, "ssoMaxSeconds": 300, "offlineIdleSeconds": 200}
    message = refused({"realm": {"lifetimes": all_wrong}})
    for part in ("accessTokenSeconds (500)", "ssoMaxSeconds (300)", "offlineIdleSeconds (200)"):
        assert part in message


@pytest.mark.parametrize("seconds", [0, -1, "soon", 1.5])
def test_a_lifetime_is_a_whole_number_of_seconds(seconds: object) -> None:
    message = refused({"realm": {"lifetimes": {"accessTokenSeconds": seconds}}})
    assert "mlflow-sso:realm.lifetimes.accessTokenSeconds = " in message


def test_all_mistakes_are_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    message = refused(
        {
            "environment": "test",
            "mlflow": {"url": "localhost:5000", "pluginVersion": "6.1.0", "workers": "x", "colour": 1},
            "keycloak": {"url": "http://id.example.com", "memoryMib": 1},
            "realm": {
                "groups": {"admins": ["same"], "users": ["same"]},
                "lifetimes": {"ssoIdleSeconds": 9, "ssoMaxSeconds": 8},
                "scope": "openid,email",
                "users": [{"username": "A B"}],
            },
            "redis": {"db": 99},
            "docker": {"bindAddress": "eth0"},
            "caBundle": "empty.pem",
        },
        tmp_path,
    )
    for key in (
        *("environment", "mlflow.url", "mlflow.pluginVersion", "mlflow.workers", "mlflow.colour", "keycloak.url"),
        *("keycloak.memoryMib", "realm.groups", "realm.lifetimes", "realm.scope", "realm.users[0].username"),
        *("redis.db", "docker.bindAddress", "caBundle"),
    ):
        assert f"  - {PROJECT}:{key}" in message, key
    lines = message.splitlines()
    assert lines[0].startswith(f"{len(lines) - 1} settings are wrong")
    assert "Traceback" not in message


def test_a_mistake_is_named_once() -> None:
    message = refused({"mlflow": {"workers": "x"}, "redis": {"db": "y"}, "postgres": {"nope": 1}})
    lines = message.splitlines()[1:]
    assert len(lines) == len(set(lines)) == 3


@pytest.mark.parametrize("name", ["aws:region", "mlflow:url", "url"])
def test_a_key_outside_the_namespace_is_refused(name: str) -> None:
    with pytest.raises(StackError, match=rf"{name}.*: unknown; expected mlflow-sso:<key>"):
        parse({name: "x"}, "test")


@pytest.mark.parametrize("name", ["docker:host", "keycloak:url", "pulumi:tags", "random:x", "kubernetes:context"])
def test_the_keys_of_providers_are_theirs(name: str) -> None:
    assert parse({name: "x"}, "test", Path("/")) == settings()


# Files that are named.


def test_a_file_that_is_no_pem_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    assert "caBundle = ca.pem: expected a PEM file with a -----BEGIN line" in refused({"caBundle": "ca.pem"}, tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.der").write_bytes(b"\x30\x82\xff\xfe")
    assert "caBundle = ca.der: expected a readable PEM file (not text)" in refused({"caBundle": "ca.der"}, tmp_path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    assert "expected a readable PEM file (Is a directory)" in refused({"caBundle": "certs"}, tmp_path)


def test_both_tls_files_are_named_when_both_are_missing(tmp_path: Path) -> None:
    tls = {"certificateFile": "a.crt", "keyFile": "a.key"}
    message = refused({"mlflow": {"url": "https://localhost:5000", "tls": tls}}, tmp_path)
    assert "mlflow.tls.certificateFile = a.crt: expected a readable" in message
    assert "mlflow.tls.keyFile = a.key: expected a readable" in message


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    pem = write_pem(tmp_path)
    tls = {"certificateFile": pem["certificate"]}
    message = refused({"mlflow": {"url": "https://localhost:5000", "tls": tls}}, tmp_path)
    assert "mlflow-sso:mlflow.tls: expected certificateFile and keyFile together" in message


def test_tls_without_https_is_refused() -> None:
    message = refused({"mlflow": {"tls": {"proxy": True}}})
    assert "mlflow.tls: expected an https url with it; the url is http://localhost:5000" in message


# Between settings.


def test_external_postgres_needs_keycloaks_database_unless_keycloak_is_there_too() -> None:
    config = elsewhere()
    del config["keycloak"], config["realm"]
    config["mlflow"] = {}
    assert "postgres.external.keycloak: expected Keycloak's database and login" in refused(config)


def test_master_is_never_made() -> None:
    message = refused(merged("realm", name="master"))
    assert "keycloak.existing.createRealm = true: expected false" in message


def test_external_and_separate_servers_contradict() -> None:
    assert "mlflow-sso:postgres: expected external or separateKeycloak" in refused(
        merged("postgres", separateKeycloak=True)
    )


# Secrets.

HIDDEN = "never-to-be-shown"
SECRETS: list[dict[str, Any]] = [
    {"realm": {"users": [{"username": "x", "password": [HIDDEN]}]}},
    {"realm": {"users": [{"username": "x", "password": {"value": HIDDEN}}]}},
    {"realm": {"users": [{"username": "x", "pasword": HIDDEN}]}},
    {"realm": {"users": [{"username": "NOT OK", "password": HIDDEN}]}},
    {"realm": {"serviceAccounts": [{"clientId": "x", "secret": HIDDEN}]}},
    {"realm": {"clientSecret": HIDDEN}},
    {"redis": {"password": HIDDEN}},
    {"redis": {"external": {"host": "x", "pass": HIDDEN}}},
    {"redis": {"external": {"host": "x y", "password": HIDDEN}}},
    {"keycloak": {"existing": {"adminClientId": "x", "adminClientSecrt": HIDDEN}}},
    {"keycloak": {"adminPassword": HIDDEN}},
    {"mlflow": {"s3": {"bucket": "b", "secretKey": HIDDEN}}},
    {"mlflow": {"secret_key": HIDDEN, "workers": "x"}},
    {"mlflow": {"env": {"OPENAI_API_KEY": [HIDDEN]}}},
    {"mlflow": {"secretEnv": {"PLAIN": {"value": HIDDEN}}}},
    {"mlflow": {"secretEnv": HIDDEN}},
    {"mlflow": {"secretEnvs": {"PLAIN": HIDDEN}}},
    {"postgres": {"external": {"host": "x", "mlflow": f"postgresql://u:{HIDDEN}@x"}}},
    {"postgres": {"external": f"postgresql://u:{HIDDEN}@x"}},
    {"keycloak": {"url": f"https://admin:{HIDDEN}@id.example.com"}},
    {"apiToken": HIDDEN},
]


@pytest.mark.parametrize("config", SECRETS, ids=[str(i) for i in range(len(SECRETS))])
def test_a_secret_is_never_shown(config: dict[str, Any]) -> None:
    assert HIDDEN not in refused(config)


@pytest.mark.parametrize("name", ["aws:secretKey", "mlflow:clientSecret", "password"])
def test_a_secret_under_a_foreign_key_is_never_shown(name: str) -> None:
    with pytest.raises(StackError) as caught:
        from_engine({name: HIDDEN}, "test")
    assert HIDDEN not in str(caught.value)
    assert f"{name} = [secret]" in str(caught.value)


def test_settings_show_no_secret() -> None:
    found = settings(elsewhere())
    assert "operators-own" not in repr(found)
    assert "operators-own" not in str(found.model_dump())
    assert "operators-own" not in found.model_dump_json()


@pytest.mark.parametrize("part", ["mlflow", "keycloak"])
def test_what_other_machines_reach_believes_no_headers_but_its_proxys(part: str) -> None:
    tls = {"proxy": True, "trustedProxies": ["10.0.0.7"]}
    config: dict[str, Any] = {
        "docker": {"bindAddress": "0.0.0.0"},
        "mlflow": {"url": "https://mlflow.example.com", "tls": tls},
        "keycloak": {"url": "https://login.example.com", "tls": tls},
    }
    settings(config)
    config[part] = {**config[part], "tls": {"proxy": True}}
    assert f"mlflow-sso:{part}.tls.trustedProxies: expected the proxy's addresses" in refused(config)
    # On loopback nobody else gets there.
    settings({**config, "docker": {"bindAddress": "127.0.0.1"}})


def test_no_proxy_is_asked_for_in_front_of_a_keycloak_that_is_there() -> None:
    existing = {"adminClientId": "p", "adminClientSecret": "s"}
    settings(
        {
            "docker": {"bindAddress": "0.0.0.0"},
            "mlflow": {"url": "https://mlflow.example.com", "tls": {"proxy": True, "trustedProxies": ["10.0.0.7"]}},
            "keycloak": {"url": "https://login.example.com", "tls": {"proxy": True}, "existing": existing},
        }
    )
