"""The data of a stack on a cluster: its claims, and what an operator of databases keeps for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from platforms.inventory import InventoryError
from platforms.kubernetes.kinds import KINDS, Kind, kind_of, served
from platforms.kubernetes.kubectl import Kubectl, KubernetesError, owned
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.kubernetes.seen import labelled, selector
from platforms.labels import LABEL_COMPONENT
from platforms.places import GUIDE, Held, OnVolume
from problems import Problem

_CLAIM = KINDS["PersistentVolumeClaim"]
# What of a claim cannot change once it is there (API reference, PersistentVolumeClaimSpec), by the setting for it.
_SETTLED = {"storageClassName": "className", "accessModes": "sharedAccess"}


class KubernetesStores:
    """Claims and database clusters with the stack's labels, in whatever namespace this user may list."""

    def __init__(self, plan: KubernetesPlan) -> None:
        self._plan = plan

    def named(self, on: OnVolume) -> str:
        workload = self._plan.named(on.workload)
        keeper = self._plan.keeper(workload)
        if keeper.data:
            # An operator's object holds the data itself.
            return _shown(keeper, self._plan.namespace, workload.name)
        volume = next(volume for volume in workload.volumes if volume.name == on.volume)
        return _shown(_CLAIM, self._plan.namespace, self._plan.claim(workload, volume))

    def held(self) -> Sequence[Held]:
        wanted = {_place(one): one for one in every_object(self._plan) if kind_of(one).data}
        try:
            return [self._held(one, wanted) for one in self._found()]
        except KubernetesError as error:
            raise InventoryError(str(error)) from None

    def _held(self, found: Manifest, wanted: Mapping[str, Manifest]) -> Held:
        place, kind, metadata = _place(found), kind_of(found), found["metadata"]
        component = str(metadata["labels"].get(LABEL_COMPONENT, ""))
        removal = f"kubectl delete {kind.resource} {metadata['name']} -n {metadata['namespace']}"
        on = OnVolume(component, metadata["name"].removeprefix(f"{component}-"))
        return Held(place, on, removal, place in wanted, self._wrong(found, wanted.get(place)), kind=kind.name)

    def _wrong(self, found: Manifest, wanted: Manifest | None) -> Problem | None:
        there = found["metadata"]["namespace"]
        if there != self._plan.namespace:
            expected = (
                f"expected {there}: the data of the stack are there, and no engine takes them elsewhere ({GUIDE})"
            )
            return Problem("mlflow-sso:kubernetes.namespace", self._plan.namespace, expected)
        return _settled(found, wanted)

    def _found(self) -> list[Manifest]:
        cluster = Kubectl(self._plan.options.context)
        groups = cluster.groups() | {""}
        kinds = [kind for kind in served(groups) if kind.data]
        labels = selector(self._plan.project, self._plan.stack)
        try:
            found = labelled(cluster, kinds, "", labels)
        except KubernetesError:
            # Rights are often given in one namespace alone.
            if cluster.get("namespace", self._plan.namespace) is None:
                return []
            found = labelled(cluster, kinds, self._plan.namespace, labels)
        return [one for one in found if not owned(one, groups)]


def _settled(found: Manifest, wanted: Manifest | None) -> Problem | None:
    """What settings say of a claim that is there and cannot change any more."""
    if wanted is None or kind_of(found) is not _CLAIM:
        return None
    for field, setting in _SETTLED.items():
        there, asked = found["spec"].get(field), wanted["spec"].get(field)
        if asked is not None and there is not None and there != asked:
            shown = ", ".join([there] if isinstance(there, str) else there)
            where = f"mlflow-sso:kubernetes.storage.{setting} of {_place(found)}"
            expected = f"expected {shown}, as it is: no cluster changes that of a claim that holds data"
            return Problem(where, ", ".join([asked] if isinstance(asked, str) else asked), expected)
    return None


def _place(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return _shown(kind_of(manifest), metadata["namespace"], metadata["name"])


def _shown(kind: Kind, namespace: str, name: str) -> str:
    word = "claim" if kind is _CLAIM else kind.name
    return f"{word} {namespace}/{name}"
