"""Waits for a stack's workloads on a cluster, and tells early and exactly why one will not come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from platforms.kubernetes.kinds import KINDS, kind_of, resources
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.objects.runners import runner
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.labels import LABEL_COMPONENT
from platforms.workload import Workload

# Reasons of a waiting container that time alone will not mend.
_HOPELESS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
# A Secret or a claim may come a moment after its pod, and a pull may succeed at the second try.
_GRACE_SECONDS = 20
Progress = Callable[[str, str, bool], None]


def wait_ready(
    plan: KubernetesPlan,
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every workload serves in its newest form.

    progress: called with a workload's name, its state, and whether it is ready. Raises KubernetesError.
    """
    cluster = Kubectl(plan.options.context)
    start = clock()
    told: dict[str, str] = {}
    waiting = {w.name: (w, serves) for w in plan.workloads if (serves := runner(plan, w).serves)}
    while True:
        found = _look(cluster, plan)
        for name, (workload, serves) in list(waiting.items()):
            own = [item for item in found if item["metadata"].get("labels", {}).get(LABEL_COMPONENT) == name]
            controller = next((item for item in own if kind_of(item) is plan.keeper(workload)), None)
            if controller is not None and serves(controller):
                progress(name, "ready", True)
                del waiting[name]
                continue
            waited = clock() - start
            state, hopeless = _state(controller or {}, own)
            if (hopeless and waited > _GRACE_SECONDS) or waited > workload.service.wait_seconds:
                raise KubernetesError(_failure(cluster, plan, workload, state, waited))
            if told.get(name) != state:
                told[name] = state
                progress(name, state, False)
        if not waiting:
            return
        sleep(1)


def _look(cluster: Kubectl, plan: KubernetesPlan) -> Sequence[Manifest]:
    labels = ",".join(f"{key}={value}" for key, value in plan.labels().items())
    keepers = dict.fromkeys(plan.keeper(workload) for workload in plan.workloads)
    kinds = resources((*keepers, KINDS["Pod"]))
    found: Sequence[Manifest] = cluster.json("get", kinds, "-n", plan.namespace, "-l", labels)["items"]
    return found


def _state(controller: Manifest, own: Sequence[Manifest]) -> tuple[str, bool]:
    """What a workload waits for in a few words, and whether time alone will not mend it.

    controller: what keeps its pods, empty where it is not there yet. own: all of it that was looked for.
    """
    conditions = controller.get("status", {}).get("conditions", [])
    refused = next((c for c in conditions if c["type"] == "ReplicaFailure" and c["status"] == "True"), None)
    if refused:
        return f"pod refused: {refused['message']}", True
    pods = [item for item in own if item["kind"] == "Pod" and "deletionTimestamp" not in item["metadata"]]
    phase = controller.get("status", {}).get("phase")
    if not pods:
        return phase or "no pod yet", False
    pod = max(pods, key=lambda item: str(item["metadata"]["creationTimestamp"]))
    unscheduled = next((c for c in pod["status"].get("conditions", []) if c.get("reason") == "Unschedulable"), None)
    if unscheduled:
        return f"not scheduled: {unscheduled.get('message', '')}", False
    for container in pod["status"].get("containerStatuses", []):
        waiting = container["state"].get("waiting")
        if waiting:
            reason = waiting.get("reason", "waiting")
            message = f": {waiting['message']}" if waiting.get("message") else ""
            looping = reason == "CrashLoopBackOff" and container["restartCount"] >= 3
            return f"{reason}{message}", looping or reason in _HOPELESS
        restarts = container["restartCount"]
        return "starting" + (f" (restarted {restarts} times)" if restarts else ""), False
    return "being placed", False


def _failure(cluster: Kubectl, plan: KubernetesPlan, workload: Workload, state: str, waited: float) -> str:
    parts = [f"{workload.name} is not ready after {waited:.0f} s: {state}."]
    selector = ",".join(f"{key}={value}" for key, value in plan.selector(workload.name).items())
    for title, words in (
        ("Its last lines", ("logs", "-n", plan.namespace, "-l", selector, "--tail=15")),
        ("Its last events", ("get", "events", "-n", plan.namespace, "--sort-by=.lastTimestamp")),
    ):
        try:
            lines = cluster.run(*words, timeout=20).strip().splitlines()
        except KubernetesError:
            continue
        if title.endswith("events"):
            lines = [line for line in lines if f"/{workload.name}" in line and "Normal" not in line][-5:]
        if lines:
            parts.append(f"{title}:\n" + "\n".join(lines))
    parts.append(
        f"Next: kubectl describe pods -n {plan.namespace} -l {selector}; when the cause is mended, run the same "
        "command again."
    )
    return "\n".join(parts)
