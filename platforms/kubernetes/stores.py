"""The data of a stack on a cluster: its claims, and what an operator of databases keeps for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from platforms.inventory import InventoryError
from platforms.kubernetes.kinds import KINDS, Kind, kind_of, served
from platforms.kubernetes.kubectl import Kubectl, KubernetesError, owned
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.kubernetes.seen import labelled, selector
from platforms.labels import LABEL_COMPONENT
from platforms.places import Held, Home, OnVolume, on_platform
from problems import Problem
from settings import PROJECT

_CLAIM = KINDS["PersistentVolumeClaim"]
_OPTIONS = f"{PROJECT}:kubernetes"
# A namespace that every cluster has, and that lives as long as it does.
_SYSTEM = "kube-system"


class KubernetesStores:
    """Claims and database clusters with the stack's labels in its namespace."""

    def __init__(self, plan: KubernetesPlan) -> None:
        self._plan = plan
        self._cluster = Kubectl(plan.options.context)

    def target(self) -> Mapping[str, Home]:
        return on_platform(
            "kubernetes",
            cluster=(f"{_OPTIONS}.context", self.cluster),
            namespace=(f"{_OPTIONS}.namespace", self._plan.namespace),
            # Where the stack has made it, the engine removes a namespace that is not the stack's any more.
            made_here=(f"{_OPTIONS}.createNamespace", "true" if self._plan.options.create_namespace else "false"),
        )

    @cached_property
    def cluster(self) -> str:
        """What tells one cluster from another, whatever its address; empty where this user may not see it."""
        try:
            found = self._cluster.get("namespace", _SYSTEM)
        except KubernetesError:
            return ""
        return f"the cluster with uid {found['metadata'].get('uid', '')}" if found else ""

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
        used = {self.named(OnVolume(w.name, volume.name)) for w in self._plan.workloads for volume in w.volumes}
        try:
            return [self._held(one, wanted, used) for one in self._found()]
        except KubernetesError as error:
            raise InventoryError(str(error)) from None

    def _held(self, found: Manifest, wanted: Mapping[str, Manifest], used: set[str]) -> Held:
        place, kind, metadata = _place(found), kind_of(found), found["metadata"]
        component = str(metadata["labels"].get(LABEL_COMPONENT, ""))
        on = OnVolume(component, metadata["name"].removeprefix(f"{component}-"))
        return Held(place, on, place in used, self._settled(found, wanted.get(place)), kind.name)

    def _found(self) -> list[Manifest]:
        groups = self._cluster.groups() | {""}
        kinds = [kind for kind in served(groups) if kind.data]
        labels = selector(self._plan.project, self._plan.stack)
        found = labelled(self._cluster, kinds, self._plan.namespace, labels)
        return [one for one in found if not owned(one, groups)]

    def _settled(self, found: Manifest, wanted: Manifest | None) -> Problem | None:
        """What settings say of a claim that is there and cannot change (API reference, PersistentVolumeClaimSpec)."""
        if wanted is None or kind_of(found) is not _CLAIM:
            return None
        storage = self._plan.options.storage
        shared = wanted["spec"]["accessModes"] == [storage.shared_access]
        of_class = "sharedClassName" if shared and storage.shared_class_name else "className"
        for field, setting in {"storageClassName": of_class, "accessModes": "sharedAccess"}.items():
            there, asked = found["spec"].get(field), wanted["spec"].get(field)
            if asked is not None and there is not None and there != asked:
                expected = f"expected {_text(there)}, as it is: no cluster changes that of a claim that holds data"
                return Problem(f"{_OPTIONS}.storage.{setting} of {_place(found)}", _text(asked), expected)
        return None


def _text(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _place(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return _shown(kind_of(manifest), metadata["namespace"], metadata["name"])


def _shown(kind: Kind, namespace: str, name: str) -> str:
    return f"{'claim' if kind is _CLAIM else kind.name} {namespace}/{name}"
