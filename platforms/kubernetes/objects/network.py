"""NetworkPolicies: nothing may speak to anything, but for what the workloads declare."""

from __future__ import annotations

from typing import Any

from platforms.kubernetes.plan import AMBIENT_PROBES, HBONE_PORT, KubernetesPlan, Manifest
from platforms.workload import Workload

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
# The Service of cluster DNS carries this label in every common distribution (CoreDNS and its forerunner).
DNS = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}


def default_deny(plan: KubernetesPlan) -> Manifest:
    """Every pod of the stack (of the namespace, where that is the stack's own) starts with no connection at all."""
    chosen = {} if plan.options.create_namespace else {"matchLabels": plan.labels()}
    return policy(plan, "default-deny", chosen, [], [])


def workload_policy(plan: KubernetesPlan, workload: Workload) -> Manifest:
    """Its callers in, its callees and name lookups out. In the mesh the same pairs tunnel through HBONE as well."""
    ingress = [_from([{"podSelector": {"matchLabels": plan.selector(name)}}], plan, workload) for name in
               workload.callers]  # fmt: skip
    if workload.published:
        ingress += [
            _from([{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}}], plan, workload, published=True)
            for name in plan.outside_callers()
        ]
    egress: list[Manifest] = [DNS] if plan.callees(workload) or workload.outside else []
    egress += [
        {"to": [{"podSelector": {"matchLabels": plan.selector(w.name)}}], "ports": _ports(plan, w)}
        for w in plan.callees(workload)
    ]
    # A NetworkPolicy knows no host names: what is outside is opened by port.
    outside = sorted({port for _, port in workload.outside})
    if outside:
        egress.append({"ports": [{"protocol": "TCP", "port": port} for port in outside]})
    if plan.mesh:
        ingress.append({"from": [{"ipBlock": {"cidr": AMBIENT_PROBES}}], "ports": _ports(plan, workload, hbone=False)})
        if workload.reserved:
            waypoint = {"podSelector": {"matchLabels": waypoint_pods(plan)}}
            ingress.append({"from": [waypoint], "ports": [{"protocol": "TCP", "port": HBONE_PORT}]})
    return policy(plan, workload.name, {"matchLabels": plan.selector(workload.name)}, ingress, egress)


def waypoint_pods(plan: KubernetesPlan) -> dict[str, str]:
    """The label that istiod gives the pods of a waypoint."""
    return {"gateway.networking.k8s.io/gateway-name": plan.options.mesh.waypoint}


def waypoint_policy(plan: KubernetesPlan) -> Manifest:
    """The waypoint takes HBONE from those who may send requests, and passes it on to what it guards."""
    mesh = plan.options.mesh
    hbone = [{"protocol": "TCP", "port": HBONE_PORT}]
    sources = dict.fromkeys((mesh.collector_namespace, *plan.outside_callers()))
    guarded = [{"podSelector": {"matchLabels": plan.selector(w.name)}} for w in plan.guarded]
    istiod = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: mesh.system_namespace}}}
    return policy(
        plan,
        mesh.waypoint,
        {"matchLabels": waypoint_pods(plan)},
        [
            {
                "from": [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}} for name in sources],
                "ports": hbone,
            },
            {"from": [{"ipBlock": {"cidr": AMBIENT_PROBES}}], "ports": [{"protocol": "TCP", "port": 15021}]},
        ],
        [
            DNS,
            {"to": guarded, "ports": hbone},
            {"to": [istiod], "ports": [{"protocol": "TCP", "port": 15012}]},
        ],
    )


def _from(peers: list[Any], plan: KubernetesPlan, workload: Workload, *, published: bool = False) -> Manifest:
    return {"from": peers, "ports": _ports(plan, workload, published=published)}


def _ports(plan: KubernetesPlan, workload: Workload, *, published: bool = False, hbone: bool = True) -> list[Manifest]:
    numbers = [p.number for p in (workload.published if published else workload.ports)]
    if plan.mesh and hbone:
        numbers.append(HBONE_PORT)
    return [{"protocol": "TCP", "port": number} for number in numbers]


def policy(
    plan: KubernetesPlan, name: str, chosen: Manifest, ingress: list[Manifest], egress: list[Manifest]
) -> Manifest:
    spec: Manifest = {"podSelector": chosen, "policyTypes": ["Ingress", "Egress"]}
    spec |= {"ingress": ingress} if ingress else {}
    spec |= {"egress": egress} if egress else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": plan.metadata(name),
        "spec": spec,
    }
