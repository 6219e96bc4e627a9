"""A workload that runs for ever: its pods, the Service in front of them, and how people come to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platforms.kubernetes.objects import mesh
from platforms.kubernetes.objects.entrances import entrance_objects
from platforms.kubernetes.objects.parts import around
from platforms.kubernetes.objects.pods import secret_prefix, template, top
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.workload import Workload

# Seconds without load before a replica goes again.
SCALE_DOWN_AFTER = 300


def deployment(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> list[Manifest]:
    """What it is made of where its pods may stand side by side. names: its Secrets', by their first parts."""
    # A claim for one node cannot follow a new pod to another while the old one holds it.
    single = any(v.shared for v in workload.volumes) and plan.options.storage.shared_access == "ReadWriteOnce"
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spec = _spec(plan, workload, template(plan, workload, names.get(secret_prefix(workload)), spreads=True))
    spec |= {
        "strategy": {"type": "Recreate"} if single else rolling,
        "progressDeadlineSeconds": workload.service.wait_seconds + workload.service.probe.start_seconds,
    }
    return _around(plan, workload, top(plan, workload, spec))


def stateful_set(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> list[Manifest]:
    """What it is made of where an old pod has to be gone before a new one starts. names: as for a Deployment."""
    spec = _spec(plan, workload, template(plan, workload, names.get(secret_prefix(workload))))
    spec |= {"serviceName": workload.name, "updateStrategy": {"type": "RollingUpdate"}}
    return _around(plan, workload, top(plan, workload, spec), alone=True)


def serves(controller: Manifest) -> bool:
    """Whether it has seen its newest form, and every pod of that, and none of an older one, is ready."""
    status, wanted = controller.get("status", {}), controller["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= controller["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("readyReplicas", 0) >= wanted
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    )


def _spec(plan: KubernetesPlan, workload: Workload, pods: Manifest) -> Manifest:
    spec: Manifest = {
        "selector": {"matchLabels": plan.selector(workload.name)},
        "template": pods,
        "revisionHistoryLimit": 3,
    }
    if workload.service.max_replicas is None:
        # Where something scales it, a number here would undo that at every `up`.
        spec["replicas"] = workload.service.replicas
    return spec


def _around(plan: KubernetesPlan, workload: Workload, controller: Manifest, *, alone: bool = False) -> list[Manifest]:
    """What keeps its pods, with everything that comes before and after it. alone: whether one pod follows another."""
    made = around(plan, workload)
    if workload.ports:
        made.append(_service(plan, workload, alone=alone))
    made += [controller, _budget(plan, workload)]
    if workload.service.max_replicas is not None:
        made.append(_scaler(plan, workload, controller))
    return made + [route for port, way in workload.entrances for route in entrance_objects(plan, workload, port, way)]


def _service(plan: KubernetesPlan, workload: Workload, *, alone: bool) -> Manifest:
    # Whoever may ask a waypoint for a Service reaches all of its ports; scrapers read at the pods.
    hidden = [port for port in workload.ports if port.metrics and workload in plan.guarded]
    ports = [
        {"name": p.name, "port": p.number, "targetPort": p.name, "protocol": "TCP", "appProtocol": p.protocol.value}
        for p in workload.ports
        if p not in hidden
    ]
    # Replicas that form a cluster find each other before they are ready to serve. What runs one pod after the other has
    # no other to serve in the place of one that is not ready, and who calls it connects as soon as it listens.
    early = {"publishNotReadyAddresses": True} if alone or workload.name in workload.callers else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": plan.metadata(workload.name, workload.name, **mesh.service_labels(plan, workload)),
        "spec": {"type": "ClusterIP", "selector": plan.selector(workload.name), "ports": ports} | early,
    }


def _budget(plan: KubernetesPlan, workload: Workload) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": plan.metadata(workload.name, workload.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": plan.selector(workload.name)},
            # A pod that is broken anyway does not stop a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _scaler(plan: KubernetesPlan, workload: Workload, controller: Manifest) -> Manifest:
    target = {"apiVersion": controller["apiVersion"], "kind": controller["kind"], "name": workload.name}
    load = {"type": "Utilization", "averageUtilization": workload.service.scale_at_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": plan.metadata(workload.name, workload.name),
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": workload.service.replicas,
            "maxReplicas": workload.service.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": load}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": SCALE_DOWN_AFTER}},
        },
    }
