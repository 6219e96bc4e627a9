"""The mesh's objects: what the waypoint and the node's proxy are told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.contract.kubernetes_samples import OUTSIDE, SCALED, every, of_kind, plan

pytestmark = pytest.mark.usefixtures("components")


def test_the_waypoint_may_run_where_pods_are_restricted() -> None:
    gateway = of_kind(every({}), "Gateway")["waypoint"]
    assert gateway["spec"]["gatewayClassName"] == "istio-waypoint"
    assert gateway["metadata"]["labels"]["istio.io/waypoint-for"] == "service"
    (listener,) = gateway["spec"]["listeners"]
    assert (listener["port"], listener["protocol"]) == (15008, "HBONE")
    options = of_kind(every({}), "ConfigMap")[gateway["spec"]["infrastructure"]["parametersRef"]["name"]]
    patch = yaml.safe_load(options["data"]["deployment"])
    assert patch["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"


def test_what_reserves_requests_is_behind_the_waypoint_and_nothing_else_is() -> None:
    services = of_kind(every({}), "Service")
    behind = [name for name, s in services.items() if "istio.io/use-waypoint" in s["metadata"]["labels"]]
    assert behind == [workload.name for workload in plan({}).workloads if workload.reserved]
    assert "mlflow" in behind
    assert "istio.io/ingress-use-waypoint" not in services["mlflow"]["metadata"]["labels"]
    routed = of_kind(every(SCALED), "Service")["mlflow"]["metadata"]["labels"]
    assert routed["istio.io/ingress-use-waypoint"] == "true"


def test_nobody_goes_round_the_waypoint() -> None:
    policy = of_kind(every({}), "AuthorizationPolicy")["mlflow-connections"]["spec"]
    assert policy["action"] == "ALLOW"
    principals = [p for rule in policy["rules"] for source in rule["from"] for p in source["source"]["principals"]]
    assert principals == [f"cluster.local/ns/{plan({}).namespace}/sa/waypoint"]


@pytest.mark.parametrize("config", [{}, SCALED])
def test_each_port_takes_its_declared_callers_alone(config: dict[str, Any]) -> None:
    policies = of_kind(every(config), "AuthorizationPolicy")
    for workload in plan(config).workloads:
        if workload.reserved or not workload.ports:
            continue
        spec = policies[f"{workload.name}-connections"]["spec"]
        assert spec["selector"]["matchLabels"]["mlflow-sso.component"] == workload.name
        pairs = {
            (principal.rpartition("/")[2], port)
            for rule in spec["rules"]
            for principal in rule["from"][0]["source"].get("principals", ())
            for port in rule["to"][0]["operation"]["ports"]
        }
        assert pairs == {(caller, str(port.number)) for port in workload.ports for caller in port.callers}
        for rule in spec["rules"]:
            read = {"methods", "paths", "hosts"} & set(rule["to"][0]["operation"])
            assert not read, "the node's proxy reads no request"


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
