"""The mesh's objects: what the waypoint and the node's proxy are told."""

from __future__ import annotations

import yaml

from tests.contract.kubernetes_samples import OUTSIDE, SCALED, every, of_kind, plan


def test_the_waypoint_may_run_where_pods_are_restricted() -> None:
    gateway = of_kind(every({}), "Gateway")["waypoint"]
    assert gateway["spec"]["gatewayClassName"] == "istio-waypoint"
    assert gateway["metadata"]["labels"]["istio.io/waypoint-for"] == "service"
    (listener,) = gateway["spec"]["listeners"]
    assert (listener["port"], listener["protocol"]) == (15008, "HBONE")
    options = of_kind(every({}), "ConfigMap")[gateway["spec"]["infrastructure"]["parametersRef"]["name"]]
    patch = yaml.safe_load(options["data"]["deployment"])
    assert patch["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"


def test_mlflow_alone_is_behind_the_waypoint() -> None:
    services = of_kind(every({}), "Service")
    assert [n for n, s in services.items() if "istio.io/use-waypoint" in s["metadata"]["labels"]] == ["mlflow"]
    assert "istio.io/ingress-use-waypoint" not in services["mlflow"]["metadata"]["labels"]
    routed = of_kind(every(SCALED), "Service")["mlflow"]["metadata"]["labels"]
    assert routed["istio.io/ingress-use-waypoint"] == "true"


def test_nobody_goes_round_the_waypoint() -> None:
    policy = of_kind(every({}), "AuthorizationPolicy")["mlflow-connections"]["spec"]
    assert policy["action"] == "ALLOW"
    principals = [p for rule in policy["rules"] for source in rule["from"] for p in source["source"]["principals"]]
    assert principals == [f"cluster.local/ns/{plan({}).namespace}/sa/waypoint"]


def test_stores_take_their_declared_callers_alone() -> None:
    policies = of_kind(every({}), "AuthorizationPolicy")
    for workload in plan({}).workloads:
        if workload.reserved:
            continue
        spec = policies[f"{workload.name}-connections"]["spec"]
        assert spec["selector"]["matchLabels"]["mlflow-sso.component"] == workload.name
        (rule,) = spec["rules"]
        found = [p.rpartition("/")[2] for p in rule["from"][0]["source"]["principals"]]
        assert found == list(workload.callers)
        assert rule["to"][0]["operation"]["ports"] == [str(p.number) for p in workload.ports]
        assert not {"methods", "paths", "hosts"} & set(rule["to"][0]["operation"]), "the node's proxy reads no request"


def test_names_and_identities_are_settings() -> None:
    mesh = {
        "waypoint": "guard",
        "trustDomain": "corp.example",
        "collectorNamespace": "tracing",
        "collectorAccount": "gateway-collector",
    }
    policies = of_kind(every({"kubernetes": {"mesh": mesh}}), "AuthorizationPolicy")
    first = policies["mlflow-requests"]["spec"]["rules"][0]
    assert first["from"][0]["source"]["principals"] == ["corp.example/ns/tracing/sa/gateway-collector"]
    passing = policies["mlflow-connections"]["spec"]["rules"][0]["from"][0]["source"]["principals"]
    assert passing[0].endswith("/sa/guard")


def test_mutual_tls_is_strict_for_the_stack_and_not_for_its_neighbours() -> None:
    own = of_kind(every({}), "PeerAuthentication").popitem()[1]["spec"]
    assert own == {"mtls": {"mode": "STRICT"}}
    shared = of_kind(every(OUTSIDE), "PeerAuthentication").popitem()[1]["spec"]
    assert shared["selector"]["matchLabels"]["mlflow-sso.stack"] == "test"
