"""NetworkPolicies: nothing may speak to anything, but for what the workloads declare."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from platforms.kubernetes.dns import Addresses, dns
from platforms.kubernetes.plan import AMBIENT_PROBES, DEFAULT_DENY, HBONE_PORT, KubernetesPlan, Manifest
from platforms.workload import Account, Port, Service, Workload

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def default_deny(plan: KubernetesPlan) -> Manifest:
    """Every pod of the stack (of the namespace, where that is the stack's own) starts with no connection at all."""
    chosen = {} if plan.options.create_namespace else {"matchLabels": plan.labels()}
    return policy(plan, DEFAULT_DENY, chosen, [], [])


def workload_policy(plan: KubernetesPlan, workload: Workload) -> Manifest:
    """Its callers in, its callees and name lookups out. In the mesh the same pairs tunnel through HBONE as well."""
    # What a waypoint guards is reached through it alone.
    direct = [name for name in workload.callers if workload not in plan.guarded]
    ingress = [
        {"from": [_pods(plan, name)], "ports": _tunnelled(plan, plan.called_ports(workload, name))} for name in direct
    ]
    if workload.entrances:
        ports = _tunnelled(plan, [port for port, _ in workload.entrances])
        ingress += [_from_namespace(name, ports) for name in plan.outside_callers()]
    read = [port for port in workload.ports if port.metrics]
    if read:
        ingress += [_from_namespace(name, _tunnelled(plan, read)) for name in plan.options.scrapers]
    egress = lookups(plan) if plan.callees(workload) or workload.outside else []
    egress += [
        {"to": [_pods(plan, w.name)], "ports": _tunnelled(plan, plan.called_ports(w, workload.name))}
        for w in plan.callees(workload)
        if w not in plan.guarded
    ]
    if any(w in plan.guarded for w in plan.callees(workload)):
        egress.append({"to": [_waypoint(plan)], "ports": _tcp([HBONE_PORT])})
    egress += _outside(workload)
    if plan.mesh:
        probed = _numbers([port for port in workload.ports if port.number in _probed(workload)])
        ingress += [{"from": [{"ipBlock": {"cidr": AMBIENT_PROBES}}], "ports": probed}] if probed else []
        if workload.reserved:
            ingress.append({"from": [_waypoint(plan)], "ports": _tcp([HBONE_PORT])})
    return policy(plan, workload.name, {"matchLabels": plan.selector(workload.name)}, ingress, egress)


def waypoint_pods(plan: KubernetesPlan) -> dict[str, str]:
    """The label that istiod gives the pods of a waypoint."""
    return {"gateway.networking.k8s.io/gateway-name": plan.options.mesh.waypoint}


def _waypoint(plan: KubernetesPlan) -> Manifest:
    return {"podSelector": {"matchLabels": waypoint_pods(plan)}}


def waypoint_policy(plan: KubernetesPlan) -> Manifest:
    """The waypoint takes HBONE from those who may send requests, and passes it on to what it guards."""
    mesh = plan.options.mesh
    hbone = [{"protocol": "TCP", "port": HBONE_PORT}]
    reserved = [workload.reserved for workload in plan.guarded if workload.reserved]
    senders = [sender.namespace for r in reserved for sender in r.senders if isinstance(sender, Account)]
    sources = dict.fromkeys((*senders, *plan.outside_callers()))
    callers = [_pods(plan, name) for name in dict.fromkeys(name for w in plan.guarded for name in w.callers)]
    guarded = [{"podSelector": {"matchLabels": plan.selector(w.name)}} for w in plan.guarded]
    istiod = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: mesh.system_namespace}}}
    peers = [*({"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}} for name in sources), *callers]
    return policy(
        plan,
        mesh.waypoint,
        {"matchLabels": waypoint_pods(plan)},
        [
            # A rule that names nobody is one for everybody.
            *([{"from": peers, "ports": hbone}] if peers else []),
            {"from": [{"ipBlock": {"cidr": AMBIENT_PROBES}}], "ports": [{"protocol": "TCP", "port": 15021}]},
        ],
        [
            *lookups(plan),
            {"to": guarded, "ports": hbone},
            {"to": [istiod], "ports": [{"protocol": "TCP", "port": 15012}]},
        ],
    )


def _outside(workload: Workload) -> list[Manifest]:
    """The ways out. A NetworkPolicy knows no host names: what has a name is opened by its port alone."""
    networks: dict[str, set[int]] = {}
    for outside in workload.outside:
        networks.setdefault(_network(outside.host), set()).add(outside.port)
    return [
        {**({"to": [{"ipBlock": {"cidr": network}}]} if network else {}), "ports": _tcp(sorted(ports))}
        for network, ports in sorted(networks.items())
    ]


def _network(host: str) -> str:
    """An address or a network as a CIDR; empty for a name."""
    try:
        network = ip_network(host)
    except ValueError:
        return ""
    return str(network)


def _probed(workload: Workload) -> set[int]:
    """The ports that the kubelet asks from outside the container."""
    if not isinstance(workload.runs, Service):
        return set()
    return {check.port for check in (workload.runs.probe.http, workload.runs.probe.live) if check}


def _from_namespace(name: str, ports: list[Manifest]) -> Manifest:
    return {"from": [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}}], "ports": ports}


def _pods(plan: KubernetesPlan, name: str) -> Manifest:
    return {"podSelector": {"matchLabels": plan.selector(name)}}


def _tunnelled(plan: KubernetesPlan, ports: Iterable[Port]) -> list[Manifest]:
    """These ports; in the mesh what is sent to them comes through HBONE, and its node's proxy knows the port meant."""
    return _numbers(ports) + (_tcp([HBONE_PORT]) if plan.mesh else [])


def _numbers(ports: Iterable[Port]) -> list[Manifest]:
    return _tcp([port.number for port in ports])


def lookups(plan: KubernetesPlan) -> list[Manifest]:
    """The ways to whoever answers for names, in the cluster at hand and in any other of the common ones."""
    return [
        {
            "to": [
                {"ipBlock": {"cidr": place.cidr}}
                if isinstance(place, Addresses)
                else {
                    "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: place.namespace}},
                    "podSelector": {"matchLabels": dict(place.labels)} if place.labels else {},
                }
                for place in places
            ],
            "ports": [{"protocol": protocol, "port": port} for port in ports for protocol in ("UDP", "TCP")],
        }
        for ports, places in dns(plan.options.dns).items()
    ]


def _tcp(numbers: Iterable[int]) -> list[Manifest]:
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
