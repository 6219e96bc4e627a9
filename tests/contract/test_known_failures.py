"""The eleven ways in which MLflow behind Keycloak usually fails to come up: none of them can be configured here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest

from components.identity import CLIENT_SECRET
from components.postgres import password_variable
from components.realm.document import realm_import
from components.realm.spec import GROUPS_MAPPER_TYPE
from components.stack import StackSpec, stack_spec
from platforms.secrets import SecretText
from platforms.workload import Workload
from problems import StackError
from settings import ROOT, Settings
from tests.contract.engine import run
from tests.contract.targets import Target
from tests.samples import settings

pytestmark = pytest.mark.usefixtures("components")

# What MLflow and Keycloak tell browsers, or compare with what browsers send. All else is for containers.
FOR_BROWSERS = {
    "mlflow": {"OIDC_ISSUER", "OIDC_REDIRECT_URI", "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"},
    "keycloak": {"KC_HOSTNAME"},
}
# What is told by variables whom it calls; the image of another program may know it.
TOLD_BY_VARIABLES = ("keycloak", "mlflow")
ADDRESS = re.compile(r"(?:@|//|^|,)([A-Za-z0-9.-]+):(\d+)\b")


def workload(spec: StackSpec, name: str) -> Workload:
    return next(w for w in spec.workloads if w.name == name)


def plain(text: SecretText) -> str:
    """The text with its secrets left out."""
    return "".join(text.fold(str, lambda _: "", lambda _: ""))


def imported(spec: StackSpec) -> dict[str, Any]:
    return realm_import(spec.realm, lambda secret: f"<{secret.name}>")


def mlflow_env_refused(name: str, value: str = "x") -> str:
    messages = []
    for place in ("env", "secretEnv"):
        with pytest.raises(StackError) as caught:
            stack_spec(settings({"mlflow": {place: {name: value}}}))
        messages.append(str(caught.value))
        assert f"mlflow-sso:mlflow.{place}.{name}" in messages[-1]
    return messages[0]


# 1. The password of a database in two places.


@pytest.mark.parametrize("separate", [False, True])
def test_1_a_database_password_is_one_secret_for_server_and_client(separate: bool) -> None:
    spec = stack_spec(settings({"postgres": {"separateKeycloak": separate}}))
    server = workload(spec, "postgres")
    keycloak_server = workload(spec, "postgres-keycloak" if separate else "postgres")
    mlflow, keycloak = workload(spec, "mlflow"), workload(spec, "keycloak")
    for client, variable, host, role in (
        (mlflow, "MLFLOW_BACKEND_STORE_URI", server, "mlflow"),
        (mlflow, "OIDC_USERS_DB_URI", server, "oidc"),
        (keycloak, "KC_DB_PASSWORD", keycloak_server, "keycloak"),
    ):
        assert client.secret_env[variable].secrets == host.secret_env[password_variable(role)].secrets
        assert role in host.env["STACK_DATABASES"].split(",")
    assert plain(mlflow.secret_env["MLFLOW_BACKEND_STORE_URI"]).startswith(
        "postgresql+psycopg2://mlflow:@postgres:5432"
    )
    assert keycloak.env["KC_DB_USERNAME"] == "keycloak"


@pytest.mark.parametrize(
    "name", ["MLFLOW_BACKEND_STORE_URI", "OIDC_USERS_DB_URI", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"]
)
def test_1_a_second_database_address_is_refused(name: str) -> None:
    mlflow_env_refused(name, "postgresql://other")


def test_1_both_sides_get_the_same_value(target: Target, sample: Settings) -> None:
    made = target.deploy(sample, "test")
    servers = [env for name, env in ((n, m.env) for n, m in made.items()) if name.startswith("postgres")]
    for name, variable in (("MLFLOW_PASSWORD", "MLFLOW_BACKEND_STORE_URI"), ("OIDC_PASSWORD", "OIDC_USERS_DB_URI")):
        for password in (env[name] for env in servers if name in env):
            assert f":{password}@" in made["mlflow"].env[variable]


# 2. A health check that needs curl.


def test_2_no_probe_needs_what_the_image_lacks(target: Target, sample: Settings) -> None:
    for name, made in target.deploy(sample, "test").items():
        words = re.findall(r"[\w-]+", " ".join(made.probe))
        assert not {"curl", "wget", "nc"} & set(words), f"{name}: {made.probe}"


def test_2_no_image_brings_a_health_check_of_its_own() -> None:
    dockerfiles = sorted((ROOT / "images").glob("*/Dockerfile"))
    assert len(dockerfiles) >= 5
    for dockerfile in dockerfiles:
        assert "HEALTHCHECK" not in dockerfile.read_text(), dockerfile


# 3. "HTTPS required" in development.


def test_3_a_realm_on_http_asks_for_no_https() -> None:
    spec = stack_spec(settings({"keycloak": {"url": "http://localhost:8080"}}))
    assert imported(spec)["sslRequired"] == "none"
    assert run(settings()).of_type("keycloak:index/realm:Realm")["realm"].inputs["sslRequired"] == "none"


def test_3_a_realm_on_https_asks_for_it(samples: dict[str, Settings]) -> None:
    sample = samples["everything"]
    assert imported(stack_spec(sample))["sslRequired"] == "external"
    assert run(sample).of_type("keycloak:index/realm:Realm")["realm"].inputs["sslRequired"] == "external"


@pytest.mark.parametrize("part", ["mlflow", "keycloak"])
def test_3_http_is_refused_where_keycloak_or_a_browser_would_object(part: str) -> None:
    with pytest.raises(StackError, match=rf'{part}\.url = "http://box\.example\.com:9999": expected https'):
        settings({part: {"url": "http://box.example.com:9999"}})


# 4. An internal hostname shown to a browser.


def test_4_whatever_a_browser_sees_is_on_a_public_url(sample: Settings) -> None:
    spec = stack_spec(sample)
    mlflow = workload(spec, "mlflow")
    allowed = (sample.mlflow.url, sample.keycloak.url)
    shown = [mlflow.env["OIDC_ISSUER"], mlflow.env["OIDC_REDIRECT_URI"], *_client_urls(spec)]
    shown += [str(value) for name, value in spec.outputs().items() if name.endswith("_url")]
    assert len(shown) >= 8
    for url in shown:
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        assert origin in allowed, url
        assert urlsplit(url).hostname not in {w.name for w in spec.workloads}


def test_4_keycloak_tells_browsers_its_public_url_and_containers_the_same_issuer() -> None:
    spec = stack_spec(settings({"keycloak": {"url": "http://localhost:28080"}}))
    keycloak = workload(spec, "keycloak")
    assert keycloak.env["KC_HOSTNAME"] == "http://localhost:28080"
    assert keycloak.env["KC_HOSTNAME_BACKCHANNEL_DYNAMIC"] == "true"
    env = workload(spec, "mlflow").env
    assert env["OIDC_ISSUER"] == "http://localhost:28080/realms/mlflow"
    assert env["OIDC_DISCOVERY_URL"] == "http://keycloak:8080/realms/mlflow/.well-known/openid-configuration"


@pytest.mark.parametrize("name", ["OIDC_REDIRECT_URI", "OIDC_ISSUER", "OIDC_DISCOVERY_URL"])
def test_4_another_url_is_refused(name: str) -> None:
    mlflow_env_refused(name, "http://keycloak:8080")


def _client_urls(spec: StackSpec) -> list[str]:
    """Every URL of the server's client, in both written forms of the realm."""
    urls: list[str] = []
    for client in imported(spec)["clients"]:
        if client["clientId"] == spec.realm.audience:
            urls += [client["rootUrl"], *client["redirectUris"], *client["webOrigins"]]
            urls += client["attributes"]["post.logout.redirect.uris"].split("##")
    return urls


def test_4_both_written_forms_of_the_client_have_the_same_urls(sample: Settings) -> None:
    spec = stack_spec(sample)
    client = run(sample).of_type("keycloak:openid/client:Client")[f"client-{spec.realm.audience}"].inputs
    urls = [client["rootUrl"], *client["validRedirectUris"], *client["webOrigins"]]
    assert urls + client["validPostLogoutRedirectUris"] == _client_urls(spec)
    assert not [url for url in _client_urls(spec) if "*" in url]


# 5. localhost between containers.


def test_5_containers_call_each_other_by_name_on_ports_that_listen(target: Target, sample: Settings) -> None:
    workloads = {w.name: w for w in target.workloads(sample, "test")}
    called = set()
    for name, made in target.deploy(sample, "test").items():
        for variable, value in made.env.items():
            if variable in FOR_BROWSERS.get(name, ()):
                continue
            assert "localhost" not in value, f"{name}: {variable}"
            assert "127.0.0.1" not in value, f"{name}: {variable}"
            for host, port in ADDRESS.findall(value):
                if (host, int(port)) in {(way.host, way.port) for way in workloads[name].outside}:
                    continue
                assert host in workloads, f"{name}: {variable} calls {host}"
                assert int(port) in {p.number for p in workloads[host].ports}
                assert name in workloads[host].callers
                called.add((name, host))
        assert not [word for word in made.args if "localhost" in word]
    # Whoever may call does: no caller is allowed in vain.
    allowed = {(caller, w.name) for w in workloads.values() for caller in w.callers}
    assert called <= allowed
    assert {(caller, name) for caller, name in allowed if caller in TOLD_BY_VARIABLES} <= called


# 6. Client id or secret mismatch.


@pytest.mark.parametrize("client_id", ["mlflow", "tracking-server"])
def test_6_client_id_and_secret_are_one_in_realm_mlflow_and_outputs(client_id: str) -> None:
    sample = settings({"realm": {"clientId": client_id}})
    spec = stack_spec(sample)
    mlflow = workload(spec, "mlflow")
    in_import = {c["clientId"]: c for c in imported(spec)["clients"]}[client_id]
    in_engine = run(sample).of_type("keycloak:openid/client:Client")[f"client-{client_id}"]
    assert mlflow.env["OIDC_CLIENT_ID"] == mlflow.env["OIDC_AUDIENCE"] == client_id
    assert in_engine.inputs["clientId"] == spec.outputs()["client_id"] == client_id
    (secret,) = mlflow.secret_env["OIDC_CLIENT_SECRET"].secrets
    assert secret == CLIENT_SECRET == spec.realm.server.secret == spec.outputs()["client_secret"]
    assert in_import["secret"] == f"<{secret.name}>"
    assert plain(mlflow.secret_env["OIDC_CLIENT_SECRET"]) == ""


def test_6_the_value_is_the_same_on_both_sides(target: Target, sample: Settings) -> None:
    in_realm = run(sample).of_type("keycloak:openid/client:Client")[f"client-{sample.realm.client_id}"]
    secret = target.deploy(sample, "test")["mlflow"].env["OIDC_CLIENT_SECRET"]
    assert secret == in_realm.inputs["clientSecret"]
    assert in_realm.inputs["accessType"] == "CONFIDENTIAL"


@pytest.mark.parametrize("name", ["OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_AUDIENCE"])
def test_6_another_is_refused(name: str) -> None:
    mlflow_env_refused(name)


# 7. OIDC_SCOPE in the plural or with commas.


@pytest.mark.parametrize("scope", ["openid email profile", "openid", "openid   offline_access"])
def test_7_the_scope_is_one_variable_with_spaces(scope: str) -> None:
    env = workload(stack_spec(settings({"realm": {"scope": scope}})), "mlflow").env
    assert env["OIDC_SCOPE"].split(" ") == scope.split()
    assert [name for name in env if "SCOPE" in name] == ["OIDC_SCOPE"]


@pytest.mark.parametrize("scope", ["openid,email,profile", "openid, email", "openid;email", "email profile", "", " "])
def test_7_other_spellings_of_the_scope_are_refused(scope: str) -> None:
    with pytest.raises(StackError, match=r"mlflow-sso:realm\.scope.*expected .*scope"):
        settings({"realm": {"scope": scope}})


@pytest.mark.parametrize("name", ["OIDC_SCOPE", "OIDC_SCOPES"])
def test_7_the_plural_is_refused(name: str) -> None:
    assert "OIDC_SCOPE" in mlflow_env_refused(name, "openid")


# 8. A session or cache type without its store.


def test_8_the_cache_has_its_store(target: Target, sample: Settings) -> None:
    made = target.deploy(sample, "test")
    env = made["mlflow"].env
    assert env["CACHE_BACKEND"] == "redis"
    host = urlsplit(env["CACHE_REDIS_URL"]).hostname
    external = sample.redis.external
    if external is None:
        assert host == "redis"
        assert "mlflow" in made["redis"].reached_by
    else:
        assert host == external.host
    assert "SESSION_TYPE" not in env


@pytest.mark.parametrize("name", ["SESSION_TYPE", "CACHE_TYPE", "CACHE_BACKEND", "CACHE_REDIS_URL", "REDIS_URL"])
def test_8_another_type_or_store_is_refused(name: str) -> None:
    mlflow_env_refused(name, "redis")


# 9. Redis host, port or database wrong.


def test_9_every_variable_names_the_same_redis(target: Target, sample: Settings) -> None:
    made = target.deploy(sample, "test")
    env = made["mlflow"].env
    url = urlsplit(env["CACHE_REDIS_URL"])
    assert (url.hostname, str(url.port), url.path) == (env["REDIS_HOST"], env["REDIS_PORT"], f"/{env['REDIS_DB']}")
    assert env["REDIS_DB"] == str(sample.redis.db)
    assert f"{url.hostname}:{url.port}" in env["WAIT_FOR"].split(",")
    if sample.redis.external is None:
        (port,) = next(w for w in target.workloads(sample, "test") if w.name == "redis").ports
        assert url.port == port.number
        assert url.password == made["redis"].env["REDIS_PASSWORD"] == made["redis"].env["REDISCLI_AUTH"]
        assert url.scheme == "redis"
    else:
        assert url.scheme == "rediss"


@pytest.mark.parametrize("db", [-1, 16, "first"])
def test_9_a_database_that_redis_lacks_is_refused(db: object) -> None:
    with pytest.raises(StackError, match=r"mlflow-sso:redis\.db"):
        settings({"redis": {"db": db}})


@pytest.mark.parametrize("name", ["REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"])
def test_9_another_redis_is_refused(name: str) -> None:
    mlflow_env_refused(name, "1")


# 10. No groups claim.


def test_10_every_client_puts_the_claim_that_mlflow_reads_into_every_token(sample: Settings) -> None:
    spec = stack_spec(sample)
    claim = workload(spec, "mlflow").env["OIDC_GROUPS_ATTRIBUTE"]
    # Nobody logs in with these.
    without = {
        *spec.realm.closed,
        spec.realm.groups_client,
        *([spec.realm.people.client_id] if spec.realm.people else []),
    }
    for client in imported(spec)["clients"]:
        if client["clientId"] in without:
            continue
        (mapper,) = [m for m in client["protocolMappers"] if m["protocolMapper"] == GROUPS_MAPPER_TYPE]
        _is_whole(mapper["config"], claim)
    done = run(sample)
    clients = done.of_type("keycloak:openid/client:Client")
    mappers = done.of_type("keycloak:index/genericProtocolMapper:GenericProtocolMapper")
    closed = {f"client-{client_id}" for client_id in without}
    open_ones = {f"id-of-{name}" for name in clients if name not in closed}
    assert {m.inputs["clientId"] for m in mappers.values()} == open_ones
    for mapper in mappers.values():
        assert mapper.inputs["protocolMapper"] == GROUPS_MAPPER_TYPE
        _is_whole(mapper.inputs["config"], claim)


def _is_whole(config: Mapping[str, str], claim: str) -> None:
    assert (config["claim.name"], config["multivalued"], config["jsonType.label"]) == (claim, "true", "String")
    for kind in ("id.token", "access.token", "userinfo.token", "introspection.token"):
        assert config[f"{kind}.claim"] == "true", kind


def test_10_another_claim_is_refused() -> None:
    mlflow_env_refused("OIDC_GROUPS_ATTRIBUTE", "roles")


# 11. Group names that do not match.

ADMINS = (["mlflow-admins"], ["ML Admins"], ["a", "b"], ["Größe & Co."])
USERS = (["mlflow-users"], ["researchers", "students"], ["$HOME users"])


@pytest.mark.parametrize(("admins", "users"), list(product(ADMINS, USERS)))
def test_11_group_names_are_the_same_in_the_realm_and_in_mlflow(admins: list[str], users: list[str]) -> None:
    member = {"username": "carol", "groups": [users[-1], admins[0]]}
    account = {"clientId": "pipeline", "groups": [users[-1]]}
    groups = {"admins": admins, "users": users}
    sample = settings({"realm": {"groups": groups, "users": [member], "serviceAccounts": [account]}})
    spec = stack_spec(sample)
    env = workload(spec, "mlflow").env
    # The plugin splits at commas and strips each name.
    assert [name.strip() for name in env["OIDC_ADMIN_GROUP_NAME"].split(",")] == admins
    assert [name.strip() for name in env["OIDC_GROUP_NAME"].split(",")] == users
    document = imported(spec)
    made = {group["name"] for group in document["groups"]}
    assert made == {*admins, *users}
    memberships = {user["username"]: user["groups"] for user in document["users"]}
    assert memberships["alice"] == [f"/{admins[0]}"]
    assert memberships["bob"] == [f"/{users[0]}"]
    assert memberships["carol"] == [f"/{users[-1]}", f"/{admins[0]}"]
    assert memberships["service-account-pipeline"] == [f"/{users[-1]}"]
    assert {path.removeprefix("/") for paths in memberships.values() for path in paths} <= made


def test_11_the_engine_makes_those_groups_and_memberships(sample: Settings) -> None:
    spec = stack_spec(sample)
    done = run(sample)
    made = done.of_type("keycloak:index/group:Group")
    assert [group.inputs["name"] for group in made.values()] == list(
        dict.fromkeys(g.inputs["name"] for g in made.values())
    )
    env = workload(spec, "mlflow").env
    in_mlflow = {*env["OIDC_GROUP_NAME"].split(","), *env["OIDC_ADMIN_GROUP_NAME"].split(",")}
    assert {group.inputs["name"] for group in made.values()} == in_mlflow
    for membership in done.of_type("keycloak:index/userGroups:UserGroups").values():
        assert {group.removeprefix("id-of-group-") for group in membership.inputs["groupIds"]} <= in_mlflow


@pytest.mark.parametrize(
    "groups",
    [
        {"admins": ["same"], "users": ["same"]},
        {"admins": []},
        {"users": [""]},
        {"users": ["  "]},
        {"users": ["a,b"]},
        {"users": ["/a"]},
        {"users": ["a\nb"]},
        {"users": ["what?"]},
        {"users": [".."]},
    ],
)
def test_11_names_that_cannot_match_are_refused(groups: dict[str, list[str]]) -> None:
    with pytest.raises(StackError, match=r"mlflow-sso:realm\.groups"):
        settings({"realm": {"groups": groups, "sampleUsers": False}})


def test_11_a_member_of_a_group_that_is_not_there_is_refused() -> None:
    with pytest.raises(StackError, match=r"realm\.users\[0\]\.groups = mlflow-user: expected one of mlflow-admins, "):
        settings({"realm": {"users": [{"username": "carol", "groups": ["mlflow-user"]}]}})


@pytest.mark.parametrize("name", ["OIDC_GROUP_NAME", "OIDC_ADMIN_GROUP_NAME", "OIDC_GROUPS_NAME"])
def test_11_other_names_beside_the_settings_are_refused(name: str) -> None:
    mlflow_env_refused(name, "others")
