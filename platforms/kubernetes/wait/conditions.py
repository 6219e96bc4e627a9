"""Waits for what other controllers of the cluster make of a stack's objects, by the conditions they report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from platforms.kubernetes.kinds import KINDS
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.objects.external_secrets import workload_secrets
from platforms.kubernetes.plan import KubernetesPlan, Manifest


@dataclass(frozen=True)
class Condition:
    """A condition that an object has to have.

    state: what it is called in words. hint: what to look at when it does not come.
    """

    kind: str
    name: str
    type: str
    state: str
    hint: str
    seconds: int = 60


def waypoint(plan: KubernetesPlan) -> list[Condition]:
    """What istiod makes of the waypoint; nothing without one."""
    if not plan.guarded:
        return []
    hint = f"istioctl waypoint status -n {plan.namespace}; is istiod running with the ambient profile?"
    return [Condition("Gateway", plan.options.mesh.waypoint, "Programmed", "programmed", hint)]


def fetched(plan: KubernetesPlan) -> list[Condition]:
    """What the External Secrets Operator makes of each ExternalSecret; nothing without them."""
    if plan.options.external_secrets is None:
        return []
    made = [manifest for w in plan.workloads for manifest in workload_secrets(plan, w).values()]
    names = [plan.options.oauth_secret, *(manifest["metadata"]["name"] for manifest in made)]
    return [
        Condition(
            "ExternalSecret", name, "Ready", "fetched", f"kubectl describe externalsecret {name} -n {plan.namespace}"
        )
        for name in names
    ]


def wait(
    plan: KubernetesPlan,
    conditions: list[Condition],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every condition holds. Raises KubernetesError with each that does not in its time."""
    cluster, start = Kubectl(plan.options.context), clock()
    left = conditions
    while True:
        found = {one: _found(cluster, plan, one) for one in left}
        left = [one for one in left if found[one].get("status") != "True"]
        late = [one for one in left if clock() - start > one.seconds]
        if late:
            raise KubernetesError("\n".join(_failure(one, found[one]) for one in late))
        if not left:
            return
        sleep(1)


def _found(cluster: Kubectl, plan: KubernetesPlan, wanted: Condition) -> Manifest:
    made = cluster.get(KINDS[wanted.kind].resource, wanted.name, plan.namespace) or {}
    conditions = made.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == wanted.type), {})


def _failure(wanted: Condition, found: Manifest) -> str:
    reason = found.get("message") or "no word from its controller"
    return f"{wanted.kind} {wanted.name} is not {wanted.state} after {wanted.seconds} s: {reason}\nNext: {wanted.hint}"
