"""Are the objects around the pods there, as they are defined, and does the mesh take them as they are meant?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platforms.kubernetes.kinds import Compared, kind_of
from platforms.kubernetes.look.troubles import Events, Owner, is_starting, not_ready, one_line, refusal
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.objects.mesh import USE_WAYPOINT, WAYPOINT_CLASS
from platforms.kubernetes.plan import AMBIENT, DATAPLANE_MODE, KubernetesPlan, Manifest
from platforms.running import Trouble

# Put on a pod by Istio's agent on its node once the pod's traffic is redirected.
_REDIRECTED = "ambient.istio.io/redirection"
_MEANING = {
    "network-policy": "connections that the stack needs are closed, or ones that it forbids are open",
    "mesh-policy": "the mesh lets in callers that it should not, or keeps out some that it should let in",
    "waypoint": "nothing reads the requests that only the trace collector may send",
    "object-outdated": "what depends on it fails, or is not protected by it",
}


@dataclass(frozen=True)
class Found:
    """What a namespace holds of a stack.

    objects: all that carry the stack's labels. pods: of its workloads. made: the Deployments and pods that
    the mesh made for its waypoint.
    """

    namespace: Manifest
    objects: Sequence[Manifest]
    pods: Sequence[Manifest]
    made: Sequence[Manifest]

    def of(self, kind: str) -> dict[str, Manifest]:
        return {str(m["metadata"]["name"]): m for m in self.objects if m["kind"] == kind}


def object_troubles(plan: KubernetesPlan | None, found: Found, events: Events, owner: Owner) -> Iterator[Trouble]:
    """plan: the stack as it is defined; without it only what the cluster itself says is told."""
    if plan is not None:
        yield from _differences(plan, found)
        yield from _outside_the_mesh(plan, found, owner)
    for gateway in found.of("Gateway").values():
        if gateway["spec"].get("gatewayClassName") == WAYPOINT_CLASS:
            yield from _waypoint(gateway, found, events, owner)
    for policy in found.of("AuthorizationPolicy").values():
        yield from _not_accepted(policy, owner)


def _differences(plan: KubernetesPlan, found: Found) -> Iterator[Trouble]:
    for wanted in every_object(plan):
        kind, name = kind_of(wanted), str(wanted["metadata"]["name"])
        if not kind.looked_for and name != plan.options.oauth_secret:
            continue
        there = found.of(kind.name).get(name)
        if there is None:
            cause = f"somebody removed it; without it {_MEANING[kind.finding]}"
            yield Trouble(kind.finding, f"{kind.name} {plan.namespace}/{name} is not there", cause)
        elif kind.compared is not Compared.NO:
            exact = kind.compared is Compared.EXACT
            differs = list(_differing(wanted["spec"], there.get("spec", {}), exact=exact))
            if differs:
                cause = f"somebody changed it, or the settings changed after the last up: {_MEANING[kind.finding]}"
                evidence = f"{kind.name} {plan.namespace}/{name} differs from its definition in {', '.join(differs)}"
                yield Trouble(kind.finding, evidence, cause)


def _differing(wanted: Mapping[str, Any], there: Mapping[str, Any], *, exact: bool) -> Iterator[str]:
    for key in dict.fromkeys((*wanted, *(there if exact else ()))):
        same = wanted.get(key) == there.get(key) if exact else covers(there.get(key), wanted.get(key))
        if not same:
            yield f"spec.{key}"


def covers(there: object, wanted: object) -> bool:
    """Whether a value is what was wanted, but for what a server has added to it."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(covers(there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(covers(a, b) for a, b in zip(there, wanted, strict=True))
        )
    return there == wanted


def _outside_the_mesh(plan: KubernetesPlan, found: Found, owner: Owner) -> Iterator[Trouble]:
    if not plan.mesh:
        return
    labels = found.namespace.get("metadata", {}).get("labels", {})
    labelled = labels.get(DATAPLANE_MODE) == AMBIENT
    if plan.options.create_namespace and not labelled:
        evidence = f"namespace {plan.namespace} has no label {DATAPLANE_MODE}={AMBIENT}"
        cause = "somebody took it away; pods that are made from now on speak without mutual TLS"
        yield Trouble("not-in-mesh", evidence, cause)
    else:
        bare = [p["metadata"]["name"] for p in found.pods if _REDIRECTED not in p["metadata"].get("annotations", {})]
        if bare:
            evidence = f"pods without the annotation {_REDIRECTED}: {', '.join(sorted(bare))}"
            cause = "Istio's agent (istio-cni, ztunnel) does not run on their node; their traffic is not encrypted"
            fix = owner.command("get", "daemonsets,pods", "-n", plan.options.mesh.system_namespace, "-o", "wide")
            yield Trouble("not-in-mesh", evidence, cause, fix)
    for workload in plan.guarded:
        service = found.of("Service").get(workload.name)
        wanted = plan.options.mesh.waypoint
        if service is not None and service["metadata"].get("labels", {}).get(USE_WAYPOINT) != wanted:
            evidence = f"Service {plan.namespace}/{workload.name} has no label {USE_WAYPOINT}={wanted}"
            cause = "somebody took it away; requests go round the waypoint, and the policy on it binds nobody"
            yield Trouble("not-in-mesh", evidence, cause)


def _waypoint(gateway: Manifest, found: Found, events: Events, owner: Owner) -> Iterator[Trouble]:
    namespace, name = str(gateway["metadata"]["namespace"]), str(gateway["metadata"]["name"])
    conditions = {c["type"]: c for c in gateway.get("status", {}).get("conditions", [])}
    described = owner.command("describe", "gateways.gateway.networking.k8s.io", name, "-n", namespace)
    for kind in ("Accepted", "Programmed"):
        said = conditions.get(kind, {})
        # A controller that has not come by yet leaves Unknown there (Gateway API, GatewayConditionType).
        if said.get("status") == "True":
            continue
        shown = f"{said.get('reason', '')}: {one_line(said.get('message', ''))}" if said else "no word of a controller"
        refused = said.get("status") == "False"
        cause = "istiod refuses it as it is" if refused else "istiod does not run, or not with its ambient profile"
        yield Trouble("waypoint", f"Gateway {namespace}/{name} is not {kind}; {shown}", cause, described)
        return
    deployments = [item for item in found.made if item["kind"] == "Deployment"]
    pods = [item for item in found.made if item["kind"] == "Pod" and "deletionTimestamp" not in item["metadata"]]
    ready = sum(int(item.get("status", {}).get("readyReplicas", 0)) for item in deployments)
    if ready or (pods and all(is_starting(pod, owner) for pod in pods)):
        return
    said_of = [refusal(item, events) for item in deployments]
    state = not_ready(pods) or next(filter(None, said_of), "it has no pod")
    evidence = f"Gateway {namespace}/{name} is Programmed, and no pod of it is ready; {state}"
    cause = "its proxy cannot start; in a mesh that works, requests to what it guards fail"
    fix = owner.command("describe", "pods", "-n", namespace, "-l", f"gateway.networking.k8s.io/gateway-name={name}")
    yield Trouble("waypoint", evidence, cause, fix)


def _not_accepted(policy: Manifest, owner: Owner) -> Iterator[Trouble]:
    """What istiod says of a policy; it says nothing of one whose kind of target it does not look after."""
    namespace, name = str(policy["metadata"]["namespace"]), str(policy["metadata"]["name"])
    conditions = policy.get("status", {}).get("conditions", [])
    refused = [c for c in conditions if c["type"].endswith("Accepted") and c["status"] == "False"]
    fix = owner.command("describe", "authorizationpolicies.security.istio.io", name, "-n", namespace)
    for condition in refused:
        said = f"{condition.get('reason', '')}: {one_line(condition.get('message', ''))}"
        cause = "the mesh does not enforce it: its rules mean nothing there, or its Service is bound to no waypoint"
        yield Trouble("mesh-policy", f"AuthorizationPolicy {namespace}/{name} is not accepted; {said}", cause, fix)
    if policy["spec"].get("targetRefs") and not any(c["type"] == "WaypointAccepted" for c in conditions):
        evidence = f"AuthorizationPolicy {namespace}/{name} has no condition WaypointAccepted"
        yield Trouble("mesh-policy", evidence, "istiod has not seen it, or is older than 1.26", fix)
