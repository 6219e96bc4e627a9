"""What follows from the settings: published ports, defaults by environment, loopback names, versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.stack import stack_spec
from problems import StackError
from settings import allows_direct_access_grants, is_loopback, published_port, wants_sample_users
from settings.catalogue import load_versions
from settings.versions import known_versions, selection, unsupported
from tests.samples import settings, write_pem

PROXY = {"tls": {"proxy": True}}


@pytest.mark.parametrize(
    ("mlflow", "port"),
    [
        ({}, 5000),
        ({"url": "http://localhost:8500"}, 8500),
        ({"url": "http://127.0.0.1:8500"}, 8500),
        ({"url": "http://[::1]:8500"}, 8500),
        ({"url": "http://localhost"}, 80),
        ({"url": "http://localhost:80"}, 80),
        ({"url": "http://localhost:8500", "port": 9000}, 9000),
        # Whoever ends TLS in front has the port of the URL.
        ({"url": "https://mlflow.example.com", **PROXY}, 5000),
        ({"url": "https://mlflow.localhost:8443", **PROXY}, 5000),
        ({"url": "https://mlflow.example.com", "port": 9000, **PROXY}, 9000),
    ],
)
def test_the_published_port_is_where_a_browser_or_the_proxy_connects(mlflow: dict[str, Any], port: int) -> None:
    assert published_port(settings({"mlflow": mlflow}), "mlflow") == port


@pytest.mark.parametrize(
    ("url", "port"), [("https://mlflow.example.com", 443), ("https://mlflow.example.com:8443", 8443)]
)
def test_a_server_with_a_certificate_of_its_own_listens_where_its_url_says(url: str, port: int, tmp_path: Path) -> None:
    pem = write_pem(tmp_path)
    tls = {"certificateFile": pem["certificate"], "keyFile": pem["key"]}
    assert published_port(settings({"mlflow": {"url": url, "tls": tls}}), "mlflow") == port


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://localhost:5000/", "http://localhost:5000"),
        ("http://localhost:80", "http://localhost"),
        ("http://LOCALHOST:5000", "http://localhost:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_url_has_one_spelling(url: str, normal: str) -> None:
    """Redirect URIs and issuers are compared letter by letter, and browsers leave default ports out."""
    assert settings({"mlflow": {"url": url}}).mlflow.url == normal


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_password_grant_and_sample_users_are_for_development(environment: str) -> None:
    found = settings({"environment": environment})
    assert allows_direct_access_grants(found) == wants_sample_users(found) == (environment == "dev")
    spec = stack_spec(found)
    assert {user.username for user in spec.realm.users} == ({"alice", "bob"} if environment == "dev" else set())
    assert {client.direct_access_grants for client in spec.realm.clients} == {environment == "dev"}


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_setting_overrules_the_environment(environment: str, wanted: bool) -> None:
    realm = {"directAccessGrants": wanted, "sampleUsers": wanted}
    found = settings({"environment": environment, "realm": realm})
    assert allows_direct_access_grants(found) is wants_sample_users(found) is wanted


def test_a_persons_first_password_is_temporary_outside_development() -> None:
    realm = {"users": [{"username": "carol"}]}
    for environment, temporary in (("dev", False), ("prod", True)):
        users = stack_spec(settings({"environment": environment, "realm": realm})).realm.users
        assert [user.temporary for user in users if user.username == "carol"] == [temporary]


@pytest.mark.parametrize("host", ["localhost", "mlflow.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "10.0.0.1", "example", "0.0.0.0", "::", "notlocalhost"])
def test_names_that_may_mean_another_machine(host: str) -> None:
    assert not is_loopback(host)


def test_every_known_plugin_version_can_be_used() -> None:
    for version in known_versions("mlflow"):
        assert unsupported("mlflow", version) is None
        stack_spec(settings({"mlflow": {"pluginVersion": version}}))


def test_the_default_plugin_is_that_of_the_versions_file() -> None:
    assert settings().mlflow.plugin_version == load_versions().images["mlflow"].default


@pytest.mark.parametrize("version", ["", "5", "x.y", "-1", "11", "11.0", "5.0.0rc1"])
def test_any_other_text_is_refused_with_the_versions_there_are(version: str) -> None:
    reason = unsupported("mlflow", version)
    assert reason is not None
    assert known_versions("mlflow")[0] in reason


def test_an_image_follows_the_version_in_the_settings() -> None:
    older, newer = (settings({"postgres": {"version": version}}) for version in ("15", "17"))
    images = [{w.name: w.image for w in stack_spec(found).workloads} for found in (older, newer)]
    assert {name for name in images[0] if images[0][name] != images[1][name]} == {"postgres"}
    assert selection(older)["postgres"] == "15"
    assert selection(settings())["postgres"] is None


@pytest.mark.parametrize(
    ("realm", "same"),
    [
        (
            {"serviceAccounts": [{"clientId": "Pipe"}, {"clientId": "pipe"}]},
            "serviceAccounts[0].clientId and mlflow-sso:realm.serviceAccounts[1].clientId = service-account-pipe: "
            "expected each user",
        ),
        (
            {"serviceAccounts": [{"clientId": "pipe"}], "users": [{"username": "service-account-pipe"}]},
            "users[0].username and mlflow-sso:realm.serviceAccounts[0].clientId = service-account-pipe: "
            "expected each user",
        ),
        (
            {"users": [{"username": "service-account-mlflow"}]},
            "users[0].username and mlflow-sso:realm.clientId = service-account-mlflow: expected each user",
        ),
        (
            {"users": [{"username": "x", "email": "x@test"}, {"username": "y", "email": "X@Test"}]},
            "users[0].email and mlflow-sso:realm.users[1].email = x@test: expected each address",
        ),
        (
            {"users": [{"username": "x", "email": "alice@example.com"}]},
            "sampleUsers and mlflow-sso:realm.users[0].email = alice@example.com: expected each address",
        ),
    ],
)
def test_what_is_one_to_keycloak_is_named_before_anything_is_created(realm: dict[str, Any], same: str) -> None:
    with pytest.raises(StackError) as refused:
        stack_spec(settings({"environment": "dev", "realm": realm}))
    assert f"mlflow-sso:realm.{same} once" in str(refused.value)


def test_a_user_is_named_whom_keycloak_takes_for_another_one() -> None:
    users = [{"username": "x@test", "email": "own@test"}, {"username": "y", "email": "X@test"}]
    named = r"realm.users\[0\].username and mlflow-sso:realm.users\[1\].email = x@test: expected no user whose name is "
    with pytest.raises(StackError, match=named):
        stack_spec(settings({"realm": {"users": users}}))
    stack_spec(settings({"realm": {"users": [{"username": "x@test", "email": "X@test"}]}}))


@pytest.mark.parametrize("value", ["a\nb", "a b", "https://registry.example.com", "a:port", "-a", "/a", "a@b", "a//b"])
def test_what_is_no_registry_is_refused(value: str) -> None:
    with pytest.raises(StackError, match=r"kubernetes\.registry"):
        settings({"platform": "kubernetes", "kubernetes": {"registry": value}})


@pytest.mark.parametrize(
    "value", ["r.example.com", "r.example.com/", "r:5000/a_b/c-d", "[::1]:5000/ml", "localhost:5000", "10.0.0.1:5000/x"]
)
def test_a_registry_is_one_with_a_port_and_a_path(value: str) -> None:
    assert settings({"platform": "kubernetes", "kubernetes": {"registry": value}}).kubernetes.registry == value


@pytest.mark.parametrize(
    "quota", [{"limits\nx": "1"}, {"limits.memory": "8 Gi"}, {"pods": "many"}, {"": "1"}, {"cpu": "1\n"}, {"cpu": "-1"}]
)
def test_a_quota_that_is_none_is_refused(quota: dict[str, str]) -> None:
    with pytest.raises(StackError, match=r"kubernetes\.quota"):
        settings({"platform": "kubernetes", "kubernetes": {"quota": quota}})


def test_what_is_empty_is_none() -> None:
    storage = {"className": "", "sharedClassName": ""}
    kubernetes = settings({"platform": "kubernetes", "kubernetes": {"registry": "", "storage": storage}}).kubernetes
    assert (kubernetes.registry, kubernetes.storage.class_name, kubernetes.storage.shared_class_name) == (None,) * 3


def test_a_quota_takes_what_kubernetes_takes() -> None:
    quota = {
        "memory": "+8Gi",
        "requests.cpu": "1E-1",
        "x": "500u",
        "y": 1e21,
        "limits.memory": "8Gi",
        "pods": 20,
        "cpu": "1500m",
        "count/jobs.batch": "5",
        "requests.nvidia.com/gpu": 1.0,
    }
    taken = settings({"platform": "kubernetes", "kubernetes": {"quota": quota}}).kubernetes.quota
    assert taken["pods"] == "20"


@pytest.mark.parametrize("place", ["env", "secretEnv"])
@pytest.mark.parametrize("name", ["A B", "A=B", "OIDC_ISSUER=https://else.test", "A\nB", "1A", "", "a-b"])
def test_a_variable_that_ends_early_is_refused(name: str, place: str) -> None:
    with pytest.raises(StackError, match="expected a name of letters, digits and _") as refused:
        stack_spec(settings({"mlflow": {place: {name: "x"}}}))
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("realm", "message"),
    [
        ({"clientId": "admin-cli"}, r"realm\.clientId = admin-cli: expected another id"),
        ({"cliClientId": "mlflow-realm"}, r"realm\.cliClientId = mlflow-realm: expected another id"),
        (
            {"serviceAccounts": [{"clientId": "broker"}]},
            r"serviceAccounts\[0\]\.clientId = broker: expected another id",
        ),
    ],
)
def test_no_client_has_the_id_of_one_that_keycloak_makes(realm: dict[str, Any], message: str) -> None:
    with pytest.raises(StackError, match=message):
        stack_spec(settings({"realm": realm}))


def test_the_certificate_of_a_keycloak_that_is_there_is_not_asked_for() -> None:
    there = {"adminClientId": "a", "adminClientSecret": "b"}
    assert settings({"keycloak": {"url": "https://sso.example.com", "existing": there}}).keycloak.existing
    with pytest.raises(StackError, match=r"keycloak\.tls: expected certificateFile and keyFile, or proxy"):
        settings({"keycloak": {"url": "https://sso.example.com"}})
