"""Programs in the cluster: the URLs at which they reach MLflow and get tokens, and who of them may."""

from __future__ import annotations

from typing import Any

import pytest

from components.stack import stack_spec
from platforms.kubernetes.plan import HBONE_PORT, Manifest
from problems import StackError
from tests.contract.kubernetes_policies import allows
from tests.contract.kubernetes_samples import KEPT, SCALED, every, labels_of_pods, of_kind, plan, rendered, settings
from tests.samples import settings as on_docker
from tests.samples import write_pem

pytestmark = pytest.mark.usefixtures("components")

PATH = "/realms/mlflow/protocol/openid-connect/token"
CALLING = {"callers": ["jobs", "pipelines/trainer"]}


def outputs(config: dict[str, Any]) -> dict[str, Any]:
    return stack_spec(settings(config)).outputs(plan(config).inside)


def shared(config: dict[str, Any]) -> dict[str, str]:
    found = of_kind([*rendered(config).secrets], "Secret")["mlflow-oauth-secret"]["stringData"]
    return dict(found)


@pytest.mark.parametrize("config", [{}, SCALED, KEPT], ids=["loopback", "by a Gateway", "in a namespace of others"])
def test_urls_are_those_of_services_and_the_issuer_stays_public(config: dict[str, Any]) -> None:
    told, place = outputs(config), plan(config).namespace
    services = of_kind(every(config), "Service")
    for name, workload in (("cluster_mlflow_url", "mlflow"), ("cluster_token_url", "keycloak")):
        port = next(p for w in plan(config).workloads if w.name == workload for p, _ in w.entrances)
        assert told[name].startswith(f"http://{workload}.{place}.svc:{port.number}")
        assert port.number in [one["port"] for one in services[workload]["spec"]["ports"]]
    assert told["cluster_token_url"].endswith(PATH)
    assert told["token_url"] == told["issuer_url"] + "/protocol/openid-connect/token"
    assert told["issuer_url"] == stack_spec(settings(config)).keycloak.issuer


def test_pods_are_told_a_token_url_that_they_reach() -> None:
    """A loopback URL leads each pod to itself; a public one is for pods of every namespace."""
    assert shared({})["OIDC_TOKEN_URL"] == shared({})["OIDC_CLUSTER_TOKEN_URL"] == outputs({})["cluster_token_url"]
    assert shared(SCALED)["OIDC_TOKEN_URL"] == "https://sso.example.com" + PATH
    assert shared(SCALED)["OIDC_CLUSTER_TOKEN_URL"] == outputs(SCALED)["cluster_token_url"]


def test_nothing_is_told_where_there_is_no_such_url(tmp_path: Any) -> None:
    assert not [name for name in stack_spec(on_docker()).outputs() if name.startswith("cluster_")]
    existing = {"adminClientId": "a", "adminClientSecret": "b"}
    elsewhere = {"keycloak": {"url": "https://sso.example.com", "existing": existing, "tls": {"proxy": True}}}
    told = outputs(elsewhere)
    assert "cluster_token_url" not in told
    assert "cluster_mlflow_url" in told
    assert stack_spec(settings(elsewhere)).shared("x.svc")["OIDC_TOKEN_URL"].parts == (
        "https://sso.example.com" + PATH,
    )
    pem = write_pem(tmp_path)
    tls = {"certificateFile": pem["certificate"], "keyFile": pem["key"]}
    encrypted = {"keycloak": {"url": "https://sso.example.com:8443", "tls": tls}}
    assert "cluster_token_url" not in outputs(encrypted), "its certificate names the public host alone"


def connects(config: dict[str, Any], namespace: str, workload: str, port: int) -> bool:
    manifests = every(config)
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    labels, own = labels_of_pods(manifests)[workload], plan(config).namespace
    return allows(policies, "Ingress", labels, {"app": "job"}, namespace, own, port)


@pytest.mark.parametrize("mesh", [True, False])
def test_declared_callers_reach_what_the_urls_name_and_nothing_else(mesh: bool) -> None:
    callers = CALLING["callers"] if mesh else ["jobs"]
    config = {"kubernetes": {"callers": callers, "mesh": {"enabled": mesh}}}
    for workload, port in (("mlflow", 5000), ("keycloak", 8080)):
        for namespace in [caller.partition("/")[0] for caller in callers]:
            assert connects(config, namespace, workload, port)
        assert not connects(config, "elsewhere", workload, port)
    assert not connects(config, "jobs", "keycloak", 9000)
    assert not connects(config, "jobs", "postgres", 5432)
    if mesh:
        assert connects(config, "pipelines", "keycloak", HBONE_PORT)


def sources(policy: Manifest) -> list[dict[str, Any]]:
    return [one["source"] for rule in policy["spec"]["rules"] for one in rule.get("from", [{"source": {}}])]


def test_in_the_mesh_an_account_lets_no_other_of_its_namespace_in() -> None:
    policies = of_kind(every({"kubernetes": CALLING}), "AuthorizationPolicy")
    account = "cluster.local/ns/pipelines/sa/trainer"
    for name in ("keycloak-connections", "mlflow-requests"):
        found = sources(policies[name])
        assert {"principals": [account]} in found
        assert {"namespaces": ["jobs"]} in found
        assert not [one for one in found if "pipelines" in one.get("namespaces", ())]
    # Whoever is none of these is refused: each rule says who.
    assert all(rule.get("from") for rule in policies["mlflow-requests"]["spec"]["rules"])
    own = plan({}).namespace
    # The stack's own programs, but for those that may not call it.
    assert [one for one in sources(policies["mlflow-requests"]) if one.get("namespaces") == [own]]


def test_a_namespace_that_may_call_as_a_whole_is_not_narrowed_by_an_account() -> None:
    config = {"kubernetes": {"callers": ["jobs/one", "jobs"]}}
    assert every(config) == every({"kubernetes": {"callers": ["jobs"]}})


def test_an_account_without_the_mesh_is_refused_by_its_key() -> None:
    with pytest.raises(StackError) as caught:
        settings({"kubernetes": {"callers": ["jobs", "pipelines/trainer"], "mesh": {"enabled": False}}})
    assert [(p.where, p.value) for p in caught.value.problems] == [
        ("mlflow-sso:kubernetes.callers[1]", "pipelines/trainer")
    ]
    with pytest.raises(StackError):
        settings({"kubernetes": {"callers": ["jobs/"]}})
