"""Why a pod does not run, restarts, waits, does not serve or is refused, in the cluster's own words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from platforms.kubernetes.kinds import kind_of
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.look.instances import container_of, placed, status_of
from platforms.kubernetes.plan import Manifest
from platforms.running import Trouble

# Seconds for which a failure that is over still counts: a pod keeps its numbers for as long as it lives.
RECENT = 1800
# Seconds that a start may take before a program that does not serve is a finding.
STARTING = 120
RESTARTS = 3
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_BEING_MADE = ("ContainerCreating", "PodInitializing")
_QUOTA = re.compile(r"exceeded quota: ([^,]+)")


@dataclass(frozen=True)
class Owner:
    """Whose pods are looked at, through which cluster, and when (seconds since the epoch)."""

    cluster: Kubectl
    stack: str
    now: float

    def command(self, *words: str) -> str:
        """A kubectl command as an operator types it."""
        return shlex.join(self.cluster.words(*words))

    def up(self) -> str:
        return f"stackctl up --stack {self.stack}"

    def last_words(self, pod: Manifest, *, before: bool) -> str:
        """The last line of a program; before: of the run before this one."""
        where = ("-n", str(pod["metadata"]["namespace"]), str(pod["metadata"]["name"]))
        options = ("-c", str(container_of(pod)["name"]), "--tail=5", *(("--previous",) if before else ()))
        try:
            lines = self.cluster.run("logs", *where, *options, timeout=20).strip().splitlines()
        except KubernetesError:
            # The run before is not kept for ever.
            return self.last_words(pod, before=False) if before else "nothing"
        return lines[-1].strip()[-200:] if lines else "nothing"


class Events:
    """Warnings of a cluster, by the object they are about. The cluster forgets them after an hour or so."""

    def __init__(self, found: Sequence[Manifest]) -> None:
        self._found = sorted(found, key=_when)

    def last(self, kind: str, namespace: str, name: str, reasons: Collection[str] = ()) -> str:
        """The newest message about an object, with its reason; `name` may end with an asterisk."""
        for event in reversed(self._found):
            about = event["involvedObject"]
            named = str(about.get("name", ""))
            fits = named.startswith(name[:-1]) if name.endswith("*") else named == name
            same = fits and about.get("kind") == kind and about.get("namespace") == namespace
            if same and (not reasons or event.get("reason") in reasons):
                return f"{event.get('reason')}: {one_line(str(event.get('message', '')))}"
        return ""


def _when(event: Manifest) -> float:
    series = event.get("series") or {}
    shown = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return seconds(shown or event["metadata"].get("creationTimestamp"))


def seconds(shown: str | None) -> float:
    """A time as the API writes it (RFC 3339), in seconds since the epoch; 0 when there is none."""
    return datetime.fromisoformat(shown).timestamp() if shown else 0.0


def one_line(text: str, most: int = 300) -> str:
    return " ".join(text.split())[:most]


def pod_troubles(pod: Manifest, events: Events, owner: Owner) -> Iterator[Trouble]:
    name, namespace = placed(pod), str(pod["metadata"]["namespace"])
    conditions = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        yield _unscheduled(pod, one_line(scheduled.get("message", scheduled.get("reason", ""))), events, owner)
        return
    status = status_of(pod)
    state = status.get("state", {})
    waiting = state.get("waiting", {})
    reason = waiting.get("reason", "")
    ended = state.get("terminated") or status.get("lastState", {}).get("terminated") or {}
    recent = owner.now - seconds(ended.get("finishedAt")) < RECENT
    restarts = int(status.get("restartCount", 0))
    if reason in _IMAGE:
        cause = "no node has this image, and the registry that its name stands for does not give it"
        said = one_line(waiting.get("message", ""))
        evidence = f"{name}: {reason} of {container_of(pod)['image']}{': ' + said if said else ''}"
        yield Trouble("image-unavailable", evidence, cause, owner.up())
    elif ended.get("reason") == "OOMKilled" and recent:
        limit = container_of(pod).get("resources", {}).get("limits", {}).get("memory", "its node")
        evidence = f"{name}: OOMKilled, {restarts} restarts, exit code {ended.get('exitCode')}"
        cause = f"a process in it needed more than the limit of {limit}, and the kernel ended it"
        yield Trouble("container-out-of-memory", evidence, cause)
    elif reason == "CrashLoopBackOff" or "terminated" in state or (restarts >= RESTARTS and recent):
        shown = reason or ("terminated" if "terminated" in state else "running")
        evidence = f"{name}: {shown}, {restarts} restarts, last exit code {ended.get('exitCode')}"
        probe = events.last("Pod", namespace, str(pod["metadata"]["name"]), ("Unhealthy",))
        evidence += f"; {probe}" if probe else ""
        last = owner.last_words(pod, before="running" in state)
        cause = f"its program ends soon after each start, or is ended; it last said: {last}"
        yield Trouble("container-restarting", evidence, cause)
    elif reason and reason not in _BEING_MADE:
        cause = f"the node cannot start it: {one_line(waiting.get('message', reason))}"
        yield Trouble("container-not-running", f"{name}: {reason}", cause)
    elif "running" not in state:
        held = events.last("Pod", namespace, str(pod["metadata"]["name"]))
        if held:
            cause = "its node cannot give it a volume or a network"
            fix = owner.command("describe", "pod", "-n", namespace, str(pod["metadata"]["name"]))
            yield Trouble("pod-pending", f"{name}: {reason or 'Pending'}; {held}", cause, fix)
    elif not status.get("ready") and _is_late(status, owner):
        said = events.last("Pod", namespace, str(pod["metadata"]["name"]), ("Unhealthy",)) or "not ready"
        cause = f"its program runs and does not serve; it last said: {owner.last_words(pod, before=False)}"
        fix = owner.command("delete", "pod", "-n", namespace, str(pod["metadata"]["name"]))
        yield Trouble("container-unhealthy", f"{name}: {said}", cause, fix)


def _is_late(status: Manifest, owner: Owner) -> bool:
    """Whether a program that is not ready has served before, or has had time enough to start."""
    started = seconds(status["state"]["running"].get("startedAt"))
    return bool(status.get("started")) or owner.now - started > STARTING


def _unscheduled(pod: Manifest, message: str, events: Events, owner: Owner) -> Trouble:
    namespace = str(pod["metadata"]["namespace"])
    claims = [
        str(volume["persistentVolumeClaim"]["claimName"])
        for volume in pod["spec"].get("volumes", ())
        if "persistentVolumeClaim" in volume
    ]
    said = [(c, text) for c in claims if (text := events.last("PersistentVolumeClaim", namespace, c))]
    evidence = f"{placed(pod)}: not scheduled: {message}" + "".join(f"; claim {c}: {text}" for c, text in said)
    if said or "persistentvolumeclaim" in message.lower() or "persistent volume" in message:
        cause = "a volume that it claims is not there, or is on a node where the pod cannot go"
        fix = owner.command("describe", "persistentvolumeclaims", "-n", namespace, *([c for c, _ in said] or claims))
    else:
        cause = "no node has what it asks for, or all that have are closed to it"
        fix = owner.command("describe", "nodes")
    return Trouble("pod-pending", evidence, cause, fix)


def controller_troubles(
    controller: Manifest, pods: Sequence[Manifest], events: Events, owner: Owner
) -> Iterator[Trouble]:
    """Why pods that should be there were never made."""
    kind, name = str(controller["kind"]), placed(controller)
    wanted = int(controller["spec"].get("replicas", 1))
    if wanted == 0:
        cause = "somebody scaled it to none"
        yield Trouble("container-not-running", f"{kind} {name}: 0 replicas are wanted", cause)
        return
    said = refusal(controller, events) if len(pods) < wanted or _stuck(controller) else ""
    if said:
        yield refused(f"{kind} {name}", said, str(controller["metadata"]["namespace"]), owner)
    elif not pods:
        cause = "it was made a moment ago, or the cluster's controllers do not run"
        fix = owner.command("describe", kind.lower(), "-n", *name.split("/"))
        yield Trouble("container-not-running", f"{kind} {name}: it has no pod, and no event says why", cause, fix)


def job_troubles(cron: Manifest, runs: Sequence[Manifest], events: Events, owner: Owner) -> Iterator[Trouble]:
    """Whether the newest run of a job came to a good end, and whether a next one can come.

    runs: its Jobs, in any order; a cluster keeps the last good and the last failed one.
    """
    namespace, name = str(cron["metadata"]["namespace"]), placed(cron)
    ended = [(job, c) for job in runs for c in job.get("status", {}).get("conditions", ()) if c["status"] == "True"]
    newest = max(ended, key=lambda pair: seconds(pair[0]["metadata"]["creationTimestamp"]), default=None)
    if newest is not None and newest[1]["type"] in ("Failed", "FailureTarget"):
        job, condition = newest
        said = f"{condition.get('reason', 'Failed')}: {one_line(condition.get('message', ''))}"
        cause = "its program ended with an error, or took longer than it may"
        fix = owner.command("logs", f"job/{job['metadata']['name']}", "-n", namespace)
        yield Trouble("job-failed", f"{placed(job)}: {said}", cause, fix)
    kind = kind_of(cron).name
    refusals = events.last(kind, namespace, str(cron["metadata"]["name"]), ("FailedCreate", "FailedNeedsStart"))
    if refusals:
        yield refused(f"{kind} {name}", refusals, namespace, owner)


def _stuck(controller: Manifest) -> bool:
    return any(
        c["type"] == "ReplicaFailure" and c["status"] == "True"
        for c in controller.get("status", {}).get("conditions", ())
    )


def refusal(controller: Manifest, events: Events) -> str:
    """What the cluster said when it did not take a pod; empty when it said nothing."""
    conditions = controller.get("status", {}).get("conditions", ())
    failed = next((c for c in conditions if c["type"] == "ReplicaFailure" and c["status"] == "True"), None)
    if failed is not None:
        return one_line(str(failed.get("message", "")))
    namespace, name = str(controller["metadata"]["namespace"]), str(controller["metadata"]["name"])
    kind = kind_of(controller)
    about, pattern = (kind.through, f"{name}-*") if kind.through else (kind.name, name)
    return events.last(about, namespace, pattern, ("FailedCreate",))


def refused(what: str, said: str, namespace: str, owner: Owner) -> Trouble:
    quota = _QUOTA.search(said)
    if quota is not None:
        cause = f"the ResourceQuota {quota[1]} has no room for it; the stack's own quota is kubernetes.quota"
        fix = owner.command("edit", "resourcequota", quota[1], "-n", namespace)
        return Trouble("pod-refused", f"{what}: {said}", cause, fix)
    if "violates PodSecurity" in said:
        cause = "the namespace enforces a Pod Security Standard that this pod, as it was changed, does not keep"
        return Trouble("pod-refused", f"{what}: {said}", cause)
    return Trouble("pod-refused", f"{what}: {said}", "an admission rule of the cluster forbids it")


def is_starting(pod: Manifest, owner: Owner) -> bool:
    """Whether a pod was made a moment ago and nothing has gone wrong with it yet."""
    states = [s.get("state", {}) for s in pod.get("status", {}).get("containerStatuses", [])]
    fine = all(state.get("waiting", {}).get("reason", _BEING_MADE[0]) in _BEING_MADE for state in states)
    return fine and owner.now - seconds(pod["metadata"].get("creationTimestamp")) < STARTING


def not_ready(pods: Sequence[Manifest]) -> str:
    """What pods wait for, for those that are no workload of the stack."""
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses", []):
            waiting = status.get("state", {}).get("waiting", {})
            if waiting:
                message = one_line(waiting.get("message", ""))
                return f"{pod['metadata']['name']}: {waiting.get('reason')}{': ' + message if message else ''}"
    return ", ".join(f"{p['metadata']['name']}: {p.get('status', {}).get('phase', 'unknown')}" for p in pods)
