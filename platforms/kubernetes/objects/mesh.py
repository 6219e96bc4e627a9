"""Istio ambient: mutual TLS everywhere, and a waypoint in front of what only some may ask for.

Identities are SPIFFE names without their scheme, as AuthorizationPolicy takes them. Policies on a Service are
enforced by the waypoint, which reads requests; policies on pods by the node's proxy, which sees connections.
Without both, a caller could go round the waypoint by a pod's own address.
"""

from __future__ import annotations

from typing import Any

import yaml

from platforms.kubernetes.objects.network import waypoint_policy
from platforms.kubernetes.plan import HBONE_PORT, KubernetesPlan, Manifest, content_name
from platforms.workload import Workload

SECURITY_API = "security.istio.io/v1"
GATEWAY_API = "gateway.networking.k8s.io/v1"
WAYPOINT_CLASS = "istio-waypoint"
# The label that sends a Service's requests through a waypoint.
USE_WAYPOINT = "istio.io/use-waypoint"
# Added to the Deployment that istiod makes for the waypoint: Pod Security `restricted` asks for it, and
# without it no pod of the waypoint is ever admitted.
_WAYPOINT_PATCH = {"spec": {"template": {"spec": {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}}}}


def shared_objects(plan: KubernetesPlan) -> list[Manifest]:
    """Strict mutual TLS in the namespace, and the waypoint with what it needs to run there."""
    if not plan.mesh:
        return []
    objects = [_strict(plan)]
    if plan.guarded:
        options = _waypoint_options(plan)
        objects += [options, _waypoint(plan, options["metadata"]["name"]), waypoint_policy(plan)]
    return objects


def workload_objects(plan: KubernetesPlan, workload: Workload) -> list[Manifest]:
    """Who may connect to its pods, and for a guarded workload also what each may ask."""
    if not plan.mesh or not workload.ports:
        return []
    policies = [_connections(plan, workload)]
    return [*policies, _requests(plan, workload)] if workload.reserved else policies


def operated_objects(plan: KubernetesPlan, workload: Workload, status_port: int) -> list[Manifest]:
    """What lets an operator outside the mesh ask for the state of a workload's instances at a port."""
    if not plan.mesh:
        return []
    return [_operator_traffic(plan, workload, status_port), _operator_connections(plan, workload, status_port)]


def service_labels(plan: KubernetesPlan, workload: Workload) -> dict[str, str]:
    """What sends a Service's traffic through the waypoint, that of a gateway too."""
    if workload not in plan.guarded:
        return {}
    labels = {USE_WAYPOINT: plan.options.mesh.waypoint}
    return labels | {"istio.io/ingress-use-waypoint": "true"} if plan.outside_callers() else labels


def identity(plan: KubernetesPlan, namespace: str, account: str) -> str:
    return f"{plan.options.mesh.trust_domain}/ns/{namespace}/sa/{account}"


def _strict(plan: KubernetesPlan) -> Manifest:
    spec: Manifest = {"mtls": {"mode": "STRICT"}}
    if not plan.options.create_namespace:
        # The namespace may hold other programs; their rules are not the stack's to make.
        spec["selector"] = {"matchLabels": plan.labels()}
    return {
        "apiVersion": SECURITY_API,
        "kind": "PeerAuthentication",
        "metadata": plan.metadata(plan.scoped),
        "spec": spec,
    }


def _waypoint_options(plan: KubernetesPlan) -> Manifest:
    data = {"deployment": yaml.safe_dump(_WAYPOINT_PATCH)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": plan.metadata(content_name(f"{plan.options.mesh.waypoint}-options", data)),
        "immutable": True,
        "data": data,
    }


def _waypoint(plan: KubernetesPlan, options: str) -> Manifest:
    return {
        "apiVersion": GATEWAY_API,
        "kind": "Gateway",
        "metadata": plan.metadata(plan.options.mesh.waypoint, **{"istio.io/waypoint-for": "service"}),
        "spec": {
            "gatewayClassName": WAYPOINT_CLASS,
            "infrastructure": {"parametersRef": {"group": "", "kind": "ConfigMap", "name": options}},
            "listeners": [
                {
                    "name": "mesh",
                    "port": HBONE_PORT,
                    "protocol": "HBONE",
                    "allowedRoutes": {"namespaces": {"from": "Same"}},
                }
            ],
        },
    }


def _connections(plan: KubernetesPlan, workload: Workload) -> Manifest:
    """At the node's proxy: a guarded workload takes its waypoint alone, any other its declared callers."""
    rules: list[Any] = []
    if workload.reserved:
        waypoint = identity(plan, plan.namespace, plan.options.mesh.waypoint)
        rules.append({"from": [{"source": {"principals": [waypoint]}}]})
    else:
        # HBONE reaches every port of a pod, so what each caller may connect to is told apart here.
        for callers in dict.fromkeys(port.callers for port in workload.ports if port.callers):
            ports = [str(port.number) for port in workload.ports if port.callers == callers]
            principals = [identity(plan, plan.namespace, name) for name in callers]
            rules.append({"from": [{"source": {"principals": principals}}], "to": [{"operation": {"ports": ports}}]})
        if workload.entrances and plan.outside_callers():
            ports = [str(port.number) for port, _ in workload.entrances]
            rules.append({"from": _outside_sources(plan), "to": [{"operation": {"ports": ports}}]})
    read = [str(port.number) for port in workload.ports if port.metrics]
    if read and plan.options.scrapers:
        source = {"namespaces": list(plan.options.scrapers)}
        rules.append({"from": [{"source": source}], "to": [{"operation": {"ports": read}}]})
    spec = {"selector": {"matchLabels": plan.selector(workload.name)}, "action": "ALLOW", "rules": rules}
    return _policy(plan, f"{workload.name}-connections", workload, spec)


def _outside_sources(plan: KubernetesPlan) -> list[Any]:
    """The callers outside the stack: whole namespaces, and single accounts of others."""
    accounts = [identity(plan, place, name) for place, name in plan.calling_accounts()]
    whole = [{"source": {"namespaces": list(plan.open_namespaces())}}] if plan.open_namespaces() else []
    return [*whole, *([{"source": {"principals": accounts}}] if accounts else [])]


def _operator_traffic(plan: KubernetesPlan, workload: Workload, status_port: int) -> Manifest:
    """An operator outside the mesh asks for the state of its instances, in TLS of its own."""
    return {
        "apiVersion": SECURITY_API,
        "kind": "PeerAuthentication",
        "metadata": plan.metadata(f"{workload.name}-instances", workload.name),
        "spec": {
            "selector": {"matchLabels": plan.selector(workload.name)},
            "mtls": {"mode": "STRICT"},
            "portLevelMtls": {str(status_port): {"mode": "PERMISSIVE"}},
        },
    }


def _operator_connections(plan: KubernetesPlan, workload: Workload, status_port: int) -> Manifest:
    """Beside the callers: the instances among themselves, and whoever the NetworkPolicy lets ask for their state."""
    ports = [str(port.number) for port in workload.ports]
    members = [{"source": {"principals": [identity(plan, plan.namespace, workload.name)]}}]
    rules = [
        {"from": members, "to": [{"operation": {"ports": ports}}]},
        {"to": [{"operation": {"ports": [str(status_port)]}}]},
    ]
    spec = {"selector": {"matchLabels": plan.selector(workload.name)}, "action": "ALLOW", "rules": rules}
    return _policy(plan, f"{workload.name}-instances", workload, spec)


def _requests(plan: KubernetesPlan, workload: Workload) -> Manifest:
    """At the waypoint: the reserved requests from their senders, everything else outside the reserved paths.

    The callers of all guarded workloads come to one waypoint; it turns away those of the others alone.
    """
    reserved = workload.reserved
    assert reserved is not None
    senders = [
        identity(plan, plan.namespace, sender)
        if isinstance(sender, str)
        else identity(plan, sender.namespace, sender.name)
        for sender in reserved.senders
    ]
    near = dict.fromkeys(name for guarded in plan.guarded for name in guarded.callers)
    strangers = [identity(plan, plan.namespace, name) for name in near if name not in workload.callers]
    source: Manifest = {"from": [{"source": {"notPrincipals": strangers}}]} if strangers else {}
    if plan.calling_accounts():
        # Not every pod of their namespaces may call, which the NetworkPolicy of the waypoint cannot tell.
        own = {"namespaces": [plan.namespace], **({"notPrincipals": strangers} if strangers else {})}
        known = [{"source": {"principals": senders}}] if senders else []
        source = {"from": [*_outside_sources(plan), {"source": own}, *known]}
    intake = {"methods": list(reserved.methods), "paths": list(reserved.paths)}
    spec = {
        "targetRefs": [{"group": "", "kind": "Service", "name": workload.name}],
        "action": "ALLOW",
        "rules": [
            *([{"from": [{"source": {"principals": senders}}], "to": [{"operation": intake}]}] if senders else []),
            {**source, "to": [{"operation": {"notPaths": list(reserved.paths)}}]},
        ],
    }
    return _policy(plan, f"{workload.name}-requests", workload, spec)


def _policy(plan: KubernetesPlan, name: str, workload: Workload, spec: Manifest) -> Manifest:
    metadata = plan.metadata(name, workload.name)
    return {"apiVersion": SECURITY_API, "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
