"""What a cluster holds of a stack, by its labels, in whatever namespace."""

from __future__ import annotations

from collections.abc import Collection

from platforms.inventory import InventoryError, Item
from platforms.kubernetes.kubectl import DATA_KINDS, RESOURCES, Kubectl, KubernetesError, owned, resource_name
from platforms.kubernetes.plan import Manifest
from platforms.labels import LABEL_COMPONENT, stack_labels

# What runs goes first and with its pods, so that its claims are free; the namespace goes last.
_FIRST = ("Deployment", "StatefulSet")
_LAST = (*DATA_KINDS, "Namespace")
# A pod is given 35 s to stop, and a namespace waits for all of its own.
_SECONDS = 180


class KubernetesInventory:
    """Objects of the cluster that kubectl speaks to. Nodes keep images by themselves; none is listed."""

    def __init__(self, cluster: Kubectl | None = None) -> None:
        self._cluster = cluster or Kubectl()

    def find(self, project: str, stack: str, *, images: Collection[str] | None = None) -> list[Item]:
        labels = ",".join(f"{key}={value}" for key, value in stack_labels(project, stack).items())
        try:
            served = self._cluster.groups() | {""}
            kinds = ",".join(resource_name(kind) for kind, (group, _) in RESOURCES.items() if group in served)
            found: list[Manifest] = self._cluster.json("get", kinds, "-A", "-l", labels)["items"]
        except KubernetesError as error:
            raise InventoryError(str(error)) from None
        own = [item for item in found if not owned(item, served)]
        return sorted((_item(manifest) for manifest in own), key=lambda item: (_place(item.kind), item.kind, item.name))

    def remove(self, item: Item) -> None:
        namespace, _, name = item.name.rpartition("/")
        where = ("-n", namespace) if namespace else ()
        try:
            self._cluster.run(
                "delete", resource_name(item.kind), name, *where, "--ignore-not-found", "--cascade=foreground",
                f"--timeout={_SECONDS}s", timeout=_SECONDS + 20,
            )  # fmt: skip
        except KubernetesError as error:
            raise InventoryError(f"{item.kind} {item.name} was not removed: {error}") from None

    def free_hint(self, user: str) -> str:
        return f"kubectl delete {user}"


def _item(manifest: Manifest) -> Item:
    kind, metadata = str(manifest["kind"]), manifest["metadata"]
    name = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
    # A namespace takes its claims with it.
    return Item(kind, name, str(metadata["labels"].get(LABEL_COMPONENT, "")), data=kind in _LAST)


def _place(kind: str) -> int:
    return 0 if kind in _FIRST else 2 + _LAST.index(kind) if kind in _LAST else 1
