"""Postgres run by the CloudNativePG operator: what it is asked for, and what is left to nobody else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import pytest

from platforms.kubernetes.objects import cloudnativepg
from platforms.kubernetes.plan import HBONE_PORT, Manifest
from problems import StackError
from tests.contract.kubernetes_policies import allows
from tests.contract.kubernetes_samples import OPERATED, controllers, every, labels_of_pods, of_kind, plan, settings

pytestmark = pytest.mark.usefixtures("components")

ONE_SERVER: dict[str, Any] = {"kubernetes": {"cloudNativePg": {}}}
MEMBER = {"cnpg.io/cluster": "postgres"}


def cluster(name: str = "postgres", config: dict[str, Any] | None = None) -> Manifest:
    return of_kind(every(config or OPERATED), "Cluster")[name]


def test_it_asks_for_what_the_api_requires() -> None:
    """The required fields of postgresql.cnpg.io/v1, and the forms that its documentation gives."""
    for name, made in of_kind(every(OPERATED), "Cluster").items():
        assert made["apiVersion"] == "postgresql.cnpg.io/v1"
        spec = made["spec"]
        assert spec["instances"] == 2
        assert spec["storage"] == {"size": "20Gi", "storageClass": "fast"}
        assert spec["imageName"].startswith("registry.example.com/ml/mlflow-sso/postgres-seeded:17-")
        assert (spec["postgresUID"], spec["postgresGID"]) == (60901, 60901)
        first = spec["bootstrap"]["initdb"]
        assert first["database"] == first["owner"]
        assert spec["enableSuperuserAccess"] is False
        assert all(role["name"] and role["passwordSecret"]["name"] for role in spec["managed"]["roles"])
        (service,) = spec["managed"]["services"]["additional"]
        assert (service["selectorType"], service["serviceTemplate"]["metadata"]["name"]) == ("rw", name)
        assert "selector" not in service["serviceTemplate"]["spec"]
        assert spec["smartShutdownTimeout"] < spec["stopDelay"]
        assert all(isinstance(value, str) for value in spec["postgresql"]["parameters"].values())


def test_quantities_are_spelt_as_the_operator_spells_them() -> None:
    """It writes back "1" for "1000m", which the engine would take for a change at every `up`."""
    for given, memory in ((512, "512Mi"), (2048, "2Gi")):
        found = cluster("postgres", {**ONE_SERVER, "postgres": {"memoryMib": given}})["spec"]["resources"]
        assert found == {"limits": {"memory": memory, "cpu": "1"}, "requests": {"memory": memory, "cpu": "100m"}}


def test_less_weight_is_less_of_the_cores_with_the_operator_too() -> None:
    (server,) = (w for w in plan(ONE_SERVER).workloads if w.name == "postgres")
    light = replace(server, resources=replace(server.resources, cpus=2.0, weight=0.25))
    (made,) = (m for m in cloudnativepg.objects(plan(ONE_SERVER), light, defaultdict(str)) if m["kind"] == "Cluster")
    assert made["spec"]["resources"]["requests"]["cpu"] == "50m"
    assert made["spec"]["resources"]["limits"]["cpu"] == "2"


def test_the_operator_makes_what_the_stack_would_have_made() -> None:
    manifests = every(OPERATED)
    for kind in ("StatefulSet", "Service", "PersistentVolumeClaim", "ServiceAccount", "PodDisruptionBudget"):
        assert not {"postgres", "postgres-keycloak", "postgres-data"} & set(of_kind(manifests, kind)), kind
    assert cluster()["spec"]["enablePDB"] is True
    alone = cluster("postgres", {"kubernetes": {"cloudNativePg": {"instances": 1}}})["spec"]
    assert alone["enablePDB"] is False, "its node could never be drained"
    assert "synchronous" not in alone["postgresql"], "there is no replica to wait for"
    assert cluster()["spec"]["postgresql"]["synchronous"]["dataDurability"] == "preferred"


def test_each_role_logs_in_to_its_own_database_by_tls_alone() -> None:
    spec = cluster("postgres", ONE_SERVER)["spec"]
    assert spec["postgresql"]["pg_hba"] == [
        "hostssl keycloak keycloak all scram-sha-256",
        "hostssl mlflow mlflow all scram-sha-256",
        "hostssl oidc oidc all scram-sha-256",
        "host all all all reject",
    ]
    made = [spec["bootstrap"]["initdb"]["owner"], *(role["name"] for role in spec["managed"]["roles"])]
    assert made == ["keycloak", "mlflow", "oidc"]
    for role in spec["managed"]["roles"]:
        assert set(role) == {"name", "login", "passwordSecret"}, "nothing but a login"
    statements = spec["bootstrap"]["initdb"]["postInitSQL"]
    assert 'CREATE ROLE "oidc" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION' in statements
    assert 'CREATE DATABASE "oidc" OWNER "oidc" TEMPLATE template0' in statements
    every_one = [*statements, *spec["bootstrap"]["initdb"]["postInitApplicationSQL"]]
    for name in made:
        assert f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC' in every_one


def test_it_and_the_programs_are_given_the_same_passwords() -> None:
    secrets = of_kind(every(ONE_SERVER), "Secret")
    spec = cluster("postgres", ONE_SERVER)["spec"]
    names = {role["name"]: role["passwordSecret"]["name"] for role in spec["managed"]["roles"]}
    names["keycloak"] = spec["bootstrap"]["initdb"]["secret"]["name"]
    for role, name in names.items():
        kubernetes_validate.validate(secrets[name], "1.34", strict=True)
        assert secrets[name]["type"] == "kubernetes.io/basic-auth"
        password = secrets[name]["stringData"]["password"]
        assert secrets[name]["stringData"] == {"username": role, "password": password}
        reader = "keycloak" if role == "keycloak" else "mlflow"
        (own,) = [s for n, s in secrets.items() if n.startswith(f"{reader}-secrets-")]
        assert any(password in value for value in own["stringData"].values())
    assert "superuser" not in str([s["stringData"].keys() for s in secrets.values()]).lower()


def test_programs_verify_the_server_against_the_operators_ca() -> None:
    for workload, servers in (("mlflow", {"postgres"}), ("keycloak", {"postgres-keycloak"})):
        controller = controllers(every(OPERATED))[workload]
        kubernetes_validate.validate(controller, "1.34", strict=True)
        pod = controller["spec"]["template"]["spec"]
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        volumes = {v["name"]: v["secret"] for v in pod["volumes"] if v["name"].endswith("-ca")}
        assert {v["secretName"] for v in volumes.values()} == {f"{server}-ca" for server in servers}
        for name, secret in volumes.items():
            assert secret["items"] == [{"key": "ca.crt", "path": "ca.crt"}], "never the key of the CA"
            assert mounts[name] == f"/etc/{secret['secretName']}"
    chosen = {w.name: w for w in plan(OPERATED).workloads}
    urls = [chosen["keycloak"].env["KC_DB_URL"].removeprefix("jdbc:")]
    urls += ["".join(chosen["mlflow"].secret_env["OIDC_USERS_DB_URI"].fold(str, str, str))]
    for url, server in zip(urls, ("postgres-keycloak", "postgres"), strict=True):
        assert f"{server}:5432" in url
        query = parse_qs(urlsplit(url).query)
        assert query == {"sslmode": ["verify-full"], "sslrootcert": [f"/etc/{server}-ca/ca.crt"]}


def test_exactly_the_callers_the_instances_and_the_operator_connect() -> None:
    stack, manifests = plan(ONE_SERVER), every(ONE_SERVER)
    policies, own = list(of_kind(manifests, "NetworkPolicy").values()), stack.namespace
    instance = cluster("postgres", ONE_SERVER)["spec"]["inheritedMetadata"]["labels"] | MEMBER
    job = {**MEMBER, "cnpg.io/jobRole": "join"}
    callers = stack.named("postgres").callers
    assert {"keycloak", "mlflow"} <= set(callers)

    def reaches(mine: dict[str, str], theirs: dict[str, str], port: int, namespace: str = own) -> bool:
        into = allows(policies, "Ingress", theirs, mine, namespace, own, port)
        out = namespace != own or allows(policies, "Egress", mine, theirs, own, own, port)
        return into and out

    for name, labels in labels_of_pods(manifests).items():
        assert reaches(labels, instance, 5432) == (name in callers), name
        assert not reaches(labels, instance, 8000), name
    for member in (instance, job):
        assert reaches(member, instance, 5432)
        assert reaches(member, instance, 8000)
        assert reaches(member, instance, HBONE_PORT)
        assert allows(policies, "Egress", member, {}, "default", own, 6443), "the API server"
    for port in (5432, 8000):
        assert reaches({}, instance, port, "cnpg-system")
        assert not reaches({"app": "stranger"}, instance, port, "elsewhere")
        assert not reaches({"app": "stranger"}, instance, port)


def test_in_the_mesh_only_the_state_of_instances_is_asked_for_from_outside() -> None:
    manifests = every(ONE_SERVER)
    peer = of_kind(manifests, "PeerAuthentication")["postgres-instances"]["spec"]
    assert peer["mtls"] == {"mode": "STRICT"}
    assert peer["portLevelMtls"] == {"8000": {"mode": "PERMISSIVE"}}
    policies = of_kind(manifests, "AuthorizationPolicy")
    members, state = policies["postgres-instances"]["spec"]["rules"]
    assert [p.rpartition("/")[2] for p in members["from"][0]["source"]["principals"]] == ["postgres"]
    assert members["to"] == [{"operation": {"ports": ["5432"]}}]
    assert state == {"to": [{"operation": {"ports": ["8000"]}}]}
    callers = policies["postgres-connections"]["spec"]["rules"][0]
    named = tuple(p.rpartition("/")[2] for p in callers["from"][0]["source"]["principals"])
    assert named == plan(ONE_SERVER).named("postgres").callers
    without = {"kubernetes": {"cloudNativePg": {}, "mesh": {"enabled": False}}}
    assert "istio" not in str(every(without))


def test_passwords_may_come_from_a_store_elsewhere() -> None:
    config = {"kubernetes": {"cloudNativePg": {}, "externalSecrets": {"store": "vault"}}}
    found = of_kind(every(config), "ExternalSecret")
    spec = cluster("postgres", config)["spec"]
    for role in spec["managed"]["roles"]:
        template = found[role["passwordSecret"]["name"]]["spec"]["target"]["template"]
        assert template["type"] == "kubernetes.io/basic-auth"
        assert template["data"]["username"] == role["name"]
        assert template["metadata"]["labels"]["cnpg.io/reload"] == "true"


def test_another_image_brings_its_own_user() -> None:
    config = {"kubernetes": {"cloudNativePg": {"image": "registry.example.com/postgresql:17.6-minimal"}}}
    spec = cluster("postgres", config)["spec"]
    assert spec["imageName"] == "registry.example.com/postgresql:17.6-minimal"
    assert not {"postgresUID", "postgresGID"} & set(spec)


def test_a_volume_of_the_operators_cannot_be_a_claim_of_ones_own() -> None:
    config = {"kubernetes": {"cloudNativePg": {}, "storage": {"claims": {"postgres-data": "mine"}}}}
    (problem,) = plan(config).check()
    assert "mlflow-artifacts" in str(problem)
    assert "postgres-data" not in str(problem).partition("expected one of")[2]


@pytest.mark.parametrize("tag", ["postgresql", "postgresql:latest", "postgresql:v17"])
def test_the_operator_has_to_find_the_major_version(tag: str) -> None:
    with pytest.raises(StackError, match=r"kubernetes\.cloudNativePg\.image"):
        settings({"kubernetes": {"cloudNativePg": {"image": tag}}})


def test_there_is_nothing_to_run_beside_an_external_server() -> None:
    login = {"database": "x", "username": "x", "password": "y"}
    external = {"host": "db.example.com", "keycloak": login, "mlflow": login, "oidc": login}
    with pytest.raises(StackError, match=r"cloudNativePg: expected none with mlflow-sso:postgres\.external"):
        settings({"postgres": {"external": external}, "kubernetes": {"cloudNativePg": {}}})
