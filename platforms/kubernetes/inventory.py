"""What a cluster holds of a stack, by its labels, in whatever namespace."""

from __future__ import annotations

from collections.abc import Callable, Collection

from platforms.inventory import InventoryError, Item
from platforms.kubernetes.kinds import KINDS, Kind, kind_of, served
from platforms.kubernetes.kubectl import Kubectl, KubernetesError, owned
from platforms.kubernetes.plan import Manifest
from platforms.kubernetes.seen import labelled, selector, teller
from platforms.labels import LABEL_COMPONENT, LABEL_PROTECTED

# A pod is given 35 s to stop, and a namespace waits for all of its own.
_SECONDS = 180


class KubernetesInventory:
    """Objects of the cluster that kubectl speaks to. Nodes keep images by themselves; none is listed.

    namespace: the one to look in; empty: all of them, and for those that the stack made.
    told: is given a line for people about what this user may not see.
    """

    def __init__(
        self, cluster: Kubectl | None = None, namespace: str = "", told: Callable[[str], None] = lambda _: None
    ) -> None:
        self._cluster = cluster or Kubectl()
        self._namespace = namespace
        self._told = told

    def find(self, project: str, stack: str, *, images: Collection[str] | None = None) -> list[Item]:
        unseen = teller(self._told, stack)
        try:
            groups = self._cluster.groups() | {""}
            kinds = [kind for kind in served(groups) if kind.namespaced or not self._namespace]
            found = labelled(self._cluster, kinds, self._namespace, selector(project, stack), unseen=unseen)
        except KubernetesError as error:
            raise InventoryError(str(error)) from None
        own = [item for item in found if not owned(item, groups)]
        items = [_item(manifest) for manifest in own]
        return sorted(items, key=lambda item: (_place(KINDS[item.kind]), item.kind, item.name))

    def remove(self, item: Item) -> None:
        namespace, _, name = item.name.rpartition("/")
        where = ("-n", namespace) if namespace else ()
        try:
            self._cluster.run(
                "delete", KINDS[item.kind].resource, name, *where, "--ignore-not-found", "--cascade=foreground",
                f"--timeout={_SECONDS}s", timeout=_SECONDS + 20,
            )  # fmt: skip
        except KubernetesError as error:
            raise InventoryError(f"{item.kind} {item.name} was not removed: {error}") from None

    def removal(self, item: Item) -> str:
        namespace, _, name = item.name.rpartition("/")
        return f"kubectl delete {KINDS[item.kind].resource} {name}" + (f" -n {namespace}" if namespace else "")

    def free_hint(self, user: str) -> str:
        return f"kubectl delete {user}"


def _item(manifest: Manifest) -> Item:
    kind, metadata = kind_of(manifest), manifest["metadata"]
    name = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
    # A namespace takes its claims with it.
    return Item(
        kind.name,
        name,
        str(metadata["labels"].get(LABEL_COMPONENT, "")),
        data=kind.data or not kind.namespaced,
        protected=metadata["labels"].get(LABEL_PROTECTED) == "true",
    )


def _place(kind: Kind) -> int:
    """What runs goes first and with its pods, so that its claims are free; then the rest, data, and the namespace."""
    if not kind.namespaced:
        return 4
    if kind.data:
        return 2 if kind.runs else 3
    return 0 if kind.runs else 1
