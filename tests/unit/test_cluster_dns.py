"""Name lookups under default deny, wherever a cluster's DNS is: what is open, and what the preflight finds."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from components.stack import stack_spec
from platforms.kubernetes import dns
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.plan import Manifest
from platforms.running import Answer, Instance
from problems import StackError
from settings.kubernetes import Dns
from stackctl.doctor.checks_names import name_lookup
from tests.contract.kubernetes_policies import selects
from tests.contract.kubernetes_samples import OPERATED, SAMPLES, SCALED, every, labels_of_pods, of_kind, plan
from tests.contract.kubernetes_samples import settings as on_kubernetes
from tests.samples import settings
from tests.unit.doctor import FakeRunning, ids, observed

KUBE_DNS = ({"k8s-app": "kube-dns"}, "kube-system")
# Clusters that people have: the pods or the address that a query reaches, and the port there.
CLUSTERS: Mapping[str, tuple[tuple[dict[str, str], str] | str, int]] = {
    "kubeadm, kind, k3s, EKS, AKS": (KUBE_DNS, 53),
    "Gardener": (KUBE_DNS, 8053),
    "NodeLocal DNSCache": ("169.254.20.10", 53),
    "NodeLocal DNSCache with Cilium": (({"k8s-app": "node-local-dns"}, "kube-system"), 53),
    "OpenShift": (({"dns.operator.openshift.io/daemonset-dns": "default"}, "openshift-dns"), 5353),
}


def opens(
    policies: list[Manifest], mine: dict[str, str], answering: tuple[dict[str, str], str] | str, port: int
) -> bool:
    """Whether both protocols may go out from a pod to who answers."""
    rules = [rule for p in policies if selects(p["spec"]["podSelector"], mine) for rule in p["spec"].get("egress", ())]

    def reaches(peer: Manifest) -> bool:
        if isinstance(answering, str):
            return "ipBlock" in peer and ip_address(answering) in ip_network(peer["ipBlock"]["cidr"])
        labels, namespace = answering
        there = selects(
            peer.get("namespaceSelector", {"matchLabels": {"x": "y"}}), {"kubernetes.io/metadata.name": namespace}
        )
        return "ipBlock" not in peer and there and selects(peer.get("podSelector", {}), labels)

    open_ports = {
        (one["protocol"], one["port"])
        for rule in rules
        if any(map(reaches, rule.get("to", ())))
        for one in rule["ports"]
    }
    return {("UDP", port), ("TCP", port)} <= open_ports


@pytest.mark.parametrize("config", [*SAMPLES.values(), OPERATED], ids=[*SAMPLES, "operated"])
@pytest.mark.parametrize("kind", CLUSTERS)
def test_who_calls_somebody_looks_names_up_in_every_common_cluster(kind: str, config: dict[str, Any]) -> None:
    stack, manifests = plan(config), every(config)
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    for workload in stack.workloads:
        labels = labels_of_pods(manifests).get(workload.name, stack.selector(workload.name))
        if stack.callees(workload) or workload.outside:
            assert opens(policies, labels, *CLUSTERS[kind]), workload.name
    if stack.guarded:
        waypoint = {"gateway.networking.k8s.io/gateway-name": "waypoint"}
        assert opens(policies, waypoint, *CLUSTERS[kind])


def test_nothing_but_dns_is_opened_with_it() -> None:
    policies = list(of_kind(every({}), "NetworkPolicy").values())
    labels = labels_of_pods(every({}))["mlflow"]
    assert not opens(policies, labels, ({"app": "else"}, "kube-system"), 53)
    assert not opens(policies, labels, KUBE_DNS, 9153)
    assert not opens(policies, labels, "169.254.169.254", 53)
    assert not opens(policies, labels, "10.96.0.10", 53)


def test_another_dns_is_told_by_a_setting() -> None:
    told = {"addresses": ["10.96.0.10"], "namespace": "dns", "labels": {"app": "unbound"}, "port": 1053}
    config = {**SCALED, "kubernetes": {**SCALED["kubernetes"], "dns": told}}
    policies = list(of_kind(every(config), "NetworkPolicy").values())
    labels = labels_of_pods(every(config))["keycloak"]
    assert opens(policies, labels, "10.96.0.10", 1053)
    assert opens(policies, labels, ({"app": "unbound", "more": "x"}, "dns"), 1053)
    assert not opens(policies, labels, ({"app": "else"}, "dns"), 1053)


@pytest.mark.parametrize(
    ("told", "where"),
    [({"labels": {"a": "b"}}, "dns.namespace"), ({"addresses": ["10.0.0.300"]}, "dns.addresses[0]"),
     ({"addresses": ["dns.example.com"]}, "dns.addresses[0]"), ({"port": 0}, "dns.port")],
)  # fmt: skip
def test_what_names_no_dns_is_refused(told: dict[str, Any], where: str) -> None:
    with pytest.raises(StackError) as caught:
        on_kubernetes({"kubernetes": {"dns": told}})
    assert [problem.where for problem in caught.value.problems] == [f"mlflow-sso:kubernetes.{where}"]


# What the preflight finds.


def service(name: str = "kube-dns", selector: dict[str, str] | None = None) -> Manifest:
    chosen = {"k8s-app": "kube-dns"} if selector is None else selector
    return {"metadata": {"name": name, "namespace": "kube-system"}, "spec": {"selector": chosen}}


def cache(*words: str) -> Manifest:
    container = {"args": list(words)}
    return {"metadata": {"name": "node-local-dns"}, "spec": {"template": {"spec": {"containers": [container]}}}}


def found(monkeypatch: pytest.MonkeyPatch, told: dict[str, Any] | None = None, **there: Any) -> list[str]:
    """The preflight's words about a cluster. there: what a kind's list holds; None: this user may not see it."""
    port: int = there.pop("port", 53)
    slices = [{"ports": [{"name": "dns", "port": port}, {"name": "metrics", "port": 9153}]}]
    lists: dict[str, Any] = {"services": [service()], "daemonsets": [], "endpointslices": slices, "namespace": None}
    lists |= {"networkpolicies": None, **there}

    def listed(_: Kubectl, *words: str, **__: Any) -> Any:
        if lists[words[1]] is None:
            raise KubernetesError("forbidden")
        return {"items": lists[words[1]]}

    monkeypatch.setattr(Kubectl, "json", listed)
    monkeypatch.setattr(Kubectl, "get", lambda _, kind, *__: lists[kind.partition(".")[0]])
    return [str(problem) for problem in dns.check(Kubectl(), Dns.model_validate(told or {}), "ml")]


def test_common_clusters_need_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch) == []
    assert found(monkeypatch, port=8053) == []
    assert found(monkeypatch, daemonsets=[cache("-localip", "169.254.20.10", "-conf", "/etc/Corefile")]) == []
    assert found(monkeypatch, services=[], namespace={"metadata": {"name": "openshift-dns"}}) == []


@pytest.mark.parametrize("words", [("-localip", "169.254.20.10,10.96.0.10"), ("--localip=169.254.20.10,10.96.0.10",)])
def test_a_cache_that_stands_in_for_kube_dns_is_told_of_with_the_address_to_name(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (told,) = found(monkeypatch, daemonsets=[cache(*words)])
    assert told.startswith("kubernetes.dns.addresses: expected 10.96.0.10 among them: node-local-dns answers there")
    assert found(monkeypatch, {"addresses": ["10.96.0.10"]}, daemonsets=[cache(*words)]) == []
    assert found(monkeypatch, {"addresses": ["10.96.0.0/28"]}, daemonsets=[cache(*words)]) == []


def test_pods_of_other_labels_or_ports_are_told_of_with_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = found(monkeypatch, services=[service("coredns", {"app": "coredns"})])
    assert told == (
        "kubernetes.dns: expected {namespace: kube-system, labels: {app: coredns}}: these pods are behind coredns"
    )
    named = {"namespace": "kube-system", "labels": {"app": "coredns"}}
    assert found(monkeypatch, named, services=[service("coredns", {"app": "coredns"})]) == []
    (other,) = found(monkeypatch, port=10053)
    assert "labels: {k8s-app: kube-dns}, port: 10053}: kube-dns answers there" in other
    other_port: dict[str, Any] = {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}, "port": 10053}
    assert found(monkeypatch, other_port, port=10053) == []


def test_a_cluster_without_any_is_told_of_unless_the_settings_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = found(monkeypatch, services=[])
    assert told.startswith("kubernetes.dns: expected {namespace, labels} or {addresses}")
    assert found(monkeypatch, {"addresses": ["10.1.2.3"]}, services=[]) == []


def test_a_stack_that_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may work for a reason that nobody here sees; where it does not, the doctor finds it."""
    policy = {"metadata": {"name": "default-deny"}}
    assert found(monkeypatch, services=[]) != []
    assert found(monkeypatch, services=[], networkpolicies=policy) == []


@pytest.mark.parametrize("hidden", ["services", "daemonsets"])
def test_what_this_user_may_not_see_is_no_fault(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, **{hidden: None}) == []


# What the doctor finds.


def test_a_program_that_finds_nobody_by_name_is_found() -> None:
    spec = stack_spec(settings())
    instances = [Instance(f"x-{w.name}", w.name, True, w.image) for w in spec.workloads]
    deaf = FakeRunning({"getent": Answer(2, "", "")})
    told = list(name_lookup(observed(*instances, running=deaf, spec=spec)))
    assert [(one.id, one.evidence.partition(":")[0]) for one in told] == [
        ("name-lookup", "x-keycloak"),
        ("name-lookup", "x-mlflow"),
    ]
    assert ids(name_lookup(observed(*instances, spec=spec))) == []
    # A program that is away has no name on Docker; that is another finding.
    away = [Instance(i.name, i.component, i.component in ("mlflow", "keycloak"), i.image) for i in instances]
    told = list(name_lookup(observed(*away, running=deaf, spec=spec)))
    assert [one.evidence.partition(":")[0] for one in told] == ["x-mlflow"], "it calls keycloak, which runs"
