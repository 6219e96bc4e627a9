"""What every way of running has around its pods: an account, plain files, claims, and rules of who may connect."""

from __future__ import annotations

from platforms.kubernetes.objects import mesh
from platforms.kubernetes.objects.network import workload_policy
from platforms.kubernetes.objects.pods import config_name, plain_files
from platforms.kubernetes.plan import STAYS, KubernetesPlan, Manifest
from platforms.labels import protection
from platforms.quantities import gibibytes
from platforms.workload import Volume, Workload


def around(plan: KubernetesPlan, workload: Workload) -> list[Manifest]:
    """All of it, in the order in which it is needed."""
    objects = [_account(plan, workload)]
    if plain_files(workload):
        objects.append(_config_map(plan, workload))
    objects += [_claim(plan, workload, v) for v in workload.volumes if not _given(plan, workload, v)]
    return [*objects, *guards(plan, workload)]


def guards(plan: KubernetesPlan, workload: Workload) -> list[Manifest]:
    """The rules of who may connect to its pods, and where they may connect to."""
    return [workload_policy(plan, workload), *mesh.workload_objects(plan, workload)]


def _account(plan: KubernetesPlan, workload: Workload) -> Manifest:
    metadata = plan.metadata(workload.name, workload.name)
    if workload.identity and workload.identity.notes:
        metadata["annotations"] = dict(workload.identity.notes)
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": False,
    }


def _config_map(plan: KubernetesPlan, workload: Workload) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": plan.metadata(config_name(workload), workload.name),
        "immutable": True,
        "data": plain_files(workload),
    }


def _given(plan: KubernetesPlan, workload: Workload, volume: Volume) -> bool:
    return f"{workload.name}-{volume.name}" in plan.options.storage.claims


def _claim(plan: KubernetesPlan, workload: Workload, volume: Volume) -> Manifest:
    storage = plan.options.storage
    name = (storage.shared_class_name or storage.class_name) if volume.shared else storage.class_name
    spec: Manifest = {
        "accessModes": [storage.shared_access if volume.shared else "ReadWriteOnce"],
        "resources": {"requests": {"storage": gibibytes(volume.size_gib)}},
    }
    spec |= {"storageClassName": name} if name else {}
    marks = protection(volume.protected)
    metadata = plan.metadata(plan.claim(workload, volume), workload.name, **marks) | {"annotations": dict(STAYS)}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
