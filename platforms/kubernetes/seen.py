"""What a cluster holds of a stack, as far as this user may look: rights are often given kind by kind."""

from __future__ import annotations

from collections.abc import Callable, Collection

from platforms.kubernetes.kinds import KINDS, Kind, resources
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.plan import Manifest
from platforms.labels import stack_labels

# How kubectl tells of a question that the user has no right to ask (API reference, reason of a Status).
_FORBIDDEN = "(Forbidden)"
# The data of every stack: whoever does not see it would take it for gone.
DATA = tuple(kind for kind in KINDS.values() if kind.data and not kind.addition)
Unseen = Callable[[Collection[Kind]], None]


def labelled(
    cluster: Kubectl,
    kinds: Collection[Kind],
    namespace: str,
    labels: str,
    *,
    unseen: Unseen = lambda _: None,
    needed: Collection[Kind] = DATA,
) -> list[Manifest]:
    """The objects of these kinds with these labels, in a namespace, or in all of them where that is empty.

    unseen: is told of the kinds that this user may not list. needed: those of which a refusal is one of the question.
    Raises KubernetesError, also where nothing may be listed.
    """
    where = ("-n", namespace) if namespace else ("-A",)

    def listed(some: Collection[Kind]) -> list[Manifest]:
        found: list[Manifest] = cluster.json("get", resources(some), *where, "-l", labels)["items"]
        return found

    try:
        return listed(kinds)
    except KubernetesError as error:
        if _FORBIDDEN not in str(error):
            raise
        asked = {("list", k.group, k.plural, namespace if k.namespaced else ""): k for k in kinds}
        refused = [asked[what] for what in cluster.denied(tuple(asked))]
        allowed = [kind for kind in kinds if kind not in refused]
        if not refused or not allowed or any(kind in needed for kind in refused):
            raise
    unseen(refused)
    return listed(allowed)


def teller(told: Callable[[str], None], stack: str) -> Unseen:
    """Tells, once, which kinds are not seen and what that means for a removal."""
    before = set[str]()

    def tell(kinds: Collection[Kind]) -> None:
        line = f"This user may not list {names(kinds)}: what stack {stack} has of these is not seen, and stays."
        if line not in before:
            told(line)
        before.add(line)

    return tell


def names(kinds: Collection[Kind]) -> str:
    """Kinds for people, as `kubectl` names them."""
    return ", ".join(sorted(kind.resource for kind in kinds))


def selector(project: str, stack: str) -> str:
    """The labels of a stack as `kubectl` chooses by them."""
    return ",".join(f"{key}={value}" for key, value in stack_labels(project, stack).items())
