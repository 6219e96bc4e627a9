"""Finds and removes what a stack left on a cluster: by its labels, and with the namespace that it made."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from platforms.kubernetes.kinds import kind_of, served
from platforms.kubernetes.kubectl import Kubectl, KubernetesError, owned
from platforms.kubernetes.plan import Manifest
from platforms.kubernetes.seen import Unseen, labelled, selector, teller
from platforms.labels import stack_labels

# A namespace goes when all its pods have stopped; the slowest is given 35 s.
GONE_SECONDS = 180
STOP_SECONDS = 60


@dataclass(frozen=True)
class Place:
    """Where a stack is, as it was written down when it was brought up.

    server: the API server's URL, so that another cluster is never taken for this one.
    created: whether the namespace is the stack's own.
    """

    context: str | None
    server: str
    namespace: str
    created: bool


def find(cluster: Kubectl, namespace: str, project: str, stack: str, unseen: Unseen = lambda _: None) -> list[Manifest]:
    """Every object in the namespace that carries the stack's labels and belongs to no other object.

    unseen: is told of the kinds that this user may not list.
    """
    groups = cluster.groups() | {""}
    kinds = [kind for kind in served(groups) if kind.namespaced]
    found = labelled(cluster, kinds, namespace, selector(project, stack), unseen=unseen)
    return [item for item in found if not owned(item, groups)]


def prune(
    cluster: Kubectl,
    namespace: str,
    project: str,
    stack: str,
    kept: Collection[tuple[str, str]],
    told: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Remove what an earlier form of the stack made and this one does not name, data excepted.

    kept: (kind, name) of every object of this form. told: is given a line for people about what this user may not see.
    Returns what was removed.
    """
    stale = [
        _shown(item)
        for item in find(cluster, namespace, project, stack, teller(told, stack))
        if (item["kind"], item["metadata"]["name"]) not in kept and not kind_of(item).data
    ]
    if stale:
        cluster.run("delete", "-n", namespace, "--ignore-not-found", "--wait=false", *stale)
    return stale


def remove(
    place: Place,
    project: str,
    stack: str,
    progress: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Remove every object of the stack with its claims, and its own namespace. Raises KubernetesError."""
    cluster = Kubectl(place.context)
    if cluster.server() != place.server:
        raise KubernetesError(
            f"kubectl speaks to {cluster.server()}, but stack {stack} is at {place.server}; nothing was changed. "
            "Next: set KUBECONFIG or the context as they were at `up`"
        )
    found = cluster.get("namespace", place.namespace)
    if found is None:
        return
    own = place.created and found["metadata"].get("labels", {}).items() >= stack_labels(project, stack).items()
    if own:
        _stop(cluster, place.namespace, project, stack)
        cluster.run("delete", "namespace", place.namespace, "--wait=false", "--ignore-not-found")
    start, told, unseen = clock(), "", teller(progress, stack)
    while True:
        if own:
            found = cluster.get("namespace", place.namespace)
            left = [] if found is None else _reasons(found)
            done = found is None
        else:
            items = find(cluster, place.namespace, project, stack, unseen)
            left = [f"{item['kind']}/{item['metadata']['name']}" for item in items]
            fresh = [_shown(item) for item in items if "deletionTimestamp" not in item["metadata"]]
            if fresh:
                cluster.run("delete", "-n", place.namespace, "--wait=false", "--ignore-not-found", *fresh)
            done = not items
        if done:
            return
        waited = clock() - start
        if waited > GONE_SECONDS:
            raise KubernetesError(
                f"namespace {place.namespace} still holds something after {waited:.0f} s: {'; '.join(left)}\n"
                f"Next: kubectl get namespace {place.namespace} -o yaml tells which controller has to let go"
            )
        if left and told != "; ".join(left):
            told = "; ".join(left)
            progress(f"waiting for {told}")
        sleep(1)


def _shown(item: Manifest) -> str:
    """An object as `kubectl` takes it."""
    return f"{kind_of(item).resource}/{item['metadata']['name']}"


def _stop(cluster: Kubectl, namespace: str, project: str, stack: str) -> None:
    """End what runs before its namespace goes.

    A namespace with pods in it is looked at again only after half of their longest grace; one without, at once.
    A waypoint's Deployment goes with its Gateway, without which nobody makes it again.
    """
    # What is not seen goes with the namespace.
    running = [_shown(item) for item in find(cluster, namespace, project, stack) if kind_of(item).makes_pods]
    if running:
        # What does not end in time ends with the namespace.
        with suppress(KubernetesError):
            cluster.run(
                "delete", "-n", namespace, "--ignore-not-found", "--cascade=foreground",
                f"--timeout={STOP_SECONDS}s", *running, timeout=STOP_SECONDS + 20,
            )  # fmt: skip


def _reasons(namespace: Manifest) -> list[str]:
    """What a namespace that is going still waits for (its status conditions)."""
    conditions = namespace.get("status", {}).get("conditions", [])
    return [c["message"] for c in conditions if c.get("status") == "True"] or ["its pods to stop"]
