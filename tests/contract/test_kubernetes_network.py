"""Who may connect to whom: the NetworkPolicies, read as the API defines them, against what workloads declare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from platforms.kubernetes.objects.network import waypoint_policy
from platforms.kubernetes.plan import HBONE_PORT
from platforms.workload import Port, Protocol, Reserved
from tests.contract.kubernetes_policies import allows
from tests.contract.kubernetes_samples import OUTSIDE, SAMPLES, SCALED, every, labels_of_pods, of_kind, plan

pytestmark = pytest.mark.usefixtures("components")

ELSEWHERE = {"app": "stranger"}


@pytest.fixture(params=SAMPLES, ids=str)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(SAMPLES[request.param])


def test_exactly_the_declared_callers_connect(config: dict[str, Any]) -> None:
    stack, manifests = plan(config), every(config)
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    labels, own = labels_of_pods(manifests), stack.namespace
    for callee in stack.workloads:
        for caller in stack.workloads:
            if caller is callee and caller.name not in callee.callers:
                continue
            for port in callee.ports:
                out = allows(policies, "Egress", labels[caller.name], labels[callee.name], own, own, port.number)
                into = allows(policies, "Ingress", labels[callee.name], labels[caller.name], own, own, port.number)
                # What a waypoint guards is reached through it alone.
                direct = caller.name in port.callers and callee not in stack.guarded
                assert into == direct, f"{caller.name} -> {callee.name}:{port.number}"
                assert out == into or (out and port.number in [way.port for way in caller.outside])
        for port in callee.ports:
            assert not allows(policies, "Ingress", labels[callee.name], ELSEWHERE, own, own, port.number)
            assert not allows(policies, "Ingress", labels[callee.name], ELSEWHERE, "elsewhere", own, port.number)


def test_the_namespaces_of_gateways_reach_published_ports_alone() -> None:
    for config, namespace in ((SCALED, "gateways"), (OUTSIDE, "ingress-nginx")):
        stack, manifests = plan(config), every(config)
        policies = list(of_kind(manifests, "NetworkPolicy").values())
        for workload in stack.workloads:
            labels = labels_of_pods(manifests)[workload.name]
            for port in workload.ports:
                found = allows(policies, "Ingress", labels, ELSEWHERE, namespace, stack.namespace, port.number)
                assert found == (port.entrance is not None)


def test_what_a_program_uses_outside_is_open_and_nothing_else_is() -> None:
    manifests = every(OUTSIDE)
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    labels = labels_of_pods(manifests)["mlflow"]
    for port in (5432, 6380, 9443):
        assert allows(policies, "Egress", labels, {}, "elsewhere", "shared", port)
    assert not allows(policies, "Egress", labels, {}, "elsewhere", "shared", 443)


def test_in_the_mesh_mlflow_is_tunnelled_to_through_the_waypoint_alone() -> None:
    manifests = every({})
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    labels = labels_of_pods(manifests)["mlflow"]
    own = plan({}).namespace
    waypoint = {"gateway.networking.k8s.io/gateway-name": "waypoint"}
    assert allows(policies, "Ingress", labels, waypoint, own, own, HBONE_PORT)
    assert allows(policies, "Egress", waypoint, labels, own, own, HBONE_PORT)
    assert allows(policies, "Ingress", waypoint, ELSEWHERE, "otel-collector", own, HBONE_PORT)
    assert not allows(policies, "Ingress", labels, ELSEWHERE, "otel-collector", own, HBONE_PORT)
    assert not allows(policies, "Ingress", labels, waypoint, own, own, 5000)


def test_without_the_mesh_there_is_no_trace_of_it() -> None:
    text = str(every({"kubernetes": {"mesh": {"enabled": False}}}))
    assert "istio" not in text
    assert str(HBONE_PORT) not in text


@pytest.mark.parametrize("name", ["default-deny", "mlflow", "postgres"])
def test_no_rule_of_the_stack_takes_the_place_of_another_one(name: str) -> None:
    problems = plan({"kubernetes": {"mesh": {"waypoint": name}}}).check()
    expected = f"kubernetes.mesh.waypoint = {name}: expected a name that no program and no policy of the stack has"
    assert [str(problem) for problem in problems] == [expected]
    assert plan({"kubernetes": {"mesh": {"waypoint": name, "enabled": False}}}).check() == []


def test_no_workload_has_the_name_of_the_rule_that_opens_nothing() -> None:
    one = plan({})
    renamed = replace(one, workloads=(replace(one.named("redis"), name="default-deny"),))
    assert [str(problem) for problem in renamed.check()] == [
        "workload default-deny: expected another name: a policy has this one"
    ]


@pytest.mark.parametrize(
    "claims", [{"mlflow-artifacts": "postgres-data"}, dict.fromkeys(("mlflow-artifacts", "postgres-data"), "x")]
)
def test_two_volumes_are_not_on_one_claim(claims: dict[str, str]) -> None:
    (problem,) = plan({"kubernetes": {"storage": {"claims": claims}}}).check()
    assert str(problem).startswith(f"kubernetes.storage.claims = {claims['mlflow-artifacts']}: expected a claim for")


def test_a_waypoint_that_nobody_may_use_lets_nobody_in() -> None:
    """A rule without anybody in it would be one for everybody."""
    one = plan({})
    server = one.named("mlflow")
    alone = replace(server, ports=(Port("http", 5000, Protocol.HTTP),), reserved=Reserved(("POST",), ("/x",)))
    rules = waypoint_policy(replace(one, workloads=(alone,)))["spec"]["ingress"]
    assert [rule for rule in rules if not rule["from"]] == []
    assert [port["port"] for rule in rules for port in rule["ports"]] == [15021]
