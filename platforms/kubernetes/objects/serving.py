"""A workload that runs for ever: its pods, the Service in front of them, and how people come to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from platforms.kubernetes.objects import mesh
from platforms.kubernetes.objects.parts import around
from platforms.kubernetes.objects.pods import secret_prefix, template, top
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.workload import Entrance, Port, Workload
from settings import port_of

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
    return _around(plan, workload, top(plan, workload, spec))


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


def _around(plan: KubernetesPlan, workload: Workload, controller: Manifest) -> list[Manifest]:
    """What keeps its pods, with everything that comes before and after it."""
    made = around(plan, workload)
    if workload.ports:
        made.append(_service(plan, workload))
    made += [controller, _budget(plan, workload)]
    if workload.service.max_replicas is not None:
        made.append(_scaler(plan, workload, controller))
    return made + [route for port, way in workload.entrances for route in _entrance(plan, workload, port, way)]


def _service(plan: KubernetesPlan, workload: Workload) -> Manifest:
    # Whoever may ask a waypoint for a Service reaches all of its ports; scrapers read at the pods.
    hidden = [port for port in workload.ports if port.metrics and workload in plan.guarded]
    ports = [
        {"name": p.name, "port": p.number, "targetPort": p.name, "protocol": "TCP", "appProtocol": p.protocol.value}
        for p in workload.ports
        if p not in hidden
    ]
    # Replicas that form a cluster find each other before they are ready to serve.
    early = {"publishNotReadyAddresses": True} if workload.name in workload.callers else {}
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


def _entrance(plan: KubernetesPlan, workload: Workload, port: Port, entrance: Entrance) -> list[Manifest]:
    """How people's requests for the host of a port come in; none where its URL is forwarded by hand."""
    host = urlsplit(entrance.url).hostname
    gateway, ingress = plan.options.gateway, plan.options.ingress
    metadata = plan.metadata(workload.name, workload.name)
    if gateway is not None:
        parent = {"name": gateway.name, "namespace": gateway.namespace}
        parent |= {"sectionName": gateway.section} if gateway.section else {}
        # A program that believes its proxy would believe in these what a caller made up.
        told = {"X-Forwarded-Host": host, "X-Forwarded-Port": str(port_of(entrance.url))}
        headers = {
            "set": [{"name": name, "value": value} for name, value in told.items()],
            "remove": ["Forwarded", "X-Forwarded-Prefix"],
        }
        rule: Manifest = {
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": headers}],
            "backendRefs": [{"name": workload.name, "port": port.number}],
        }
        if entrance.paths:
            rule["matches"] = [{"path": {"type": "PathPrefix", "value": path}} for path in entrance.paths]
        spec: Manifest = {"parentRefs": [parent], "hostnames": [host], "rules": [rule]}
        return [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}]
    if ingress is not None:
        annotations = dict(ingress.annotations)
        annotations |= {"cert-manager.io/issuer": ingress.issuer} if ingress.issuer else {}
        annotations |= {"cert-manager.io/cluster-issuer": ingress.cluster_issuer} if ingress.cluster_issuer else {}
        backend = {"service": {"name": workload.name, "port": {"number": port.number}}}
        paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in entrance.paths or ("/",)]
        spec = {
            "tls": [{"hosts": [host], "secretName": ingress.tls_secret or f"{workload.name}-tls"}],
            "rules": [{"host": host, "http": {"paths": paths}}],
        }
        spec |= {"ingressClassName": ingress.class_name} if ingress.class_name else {}
        metadata |= {"annotations": annotations} if annotations else {}
        return [{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}]
    return []
