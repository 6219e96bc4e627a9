"""Every object of a stack as plain values: the one definition behind pulumi-kubernetes and the rendered YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from platforms.kubernetes.objects import cloudnativepg, mesh
from platforms.kubernetes.objects.external_secrets import external_secret
from platforms.kubernetes.objects.network import default_deny, workload_policy
from platforms.kubernetes.objects.pods import (
    config_name,
    controller,
    plain_files,
    secret_prefix,
    secret_texts,
    secret_type,
)
from platforms.kubernetes.plan import AMBIENT, DATAPLANE_MODE, KubernetesPlan, Manifest
from platforms.workload import Entrance, Port, Volume, Workload

# Average CPU use, in percent of what is promised, above which MLflow gets another replica.
SCALE_AT_PERCENT = 300
# Seconds without load before a replica goes again.
SCALE_DOWN_AFTER = 300


def namespace(plan: KubernetesPlan) -> Manifest | None:
    """The stack's own namespace, guarded by Pod Security `restricted`; None where it is somebody else's."""
    if not plan.options.create_namespace:
        return None
    labels = plan.labels() | {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
    }
    labels |= {"pod-security.kubernetes.io/enforce-version": "latest"}
    if plan.mesh:
        labels[DATAPLANE_MODE] = AMBIENT
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plan.namespace, "labels": labels}}


def shared_objects(plan: KubernetesPlan) -> list[Manifest]:
    """What belongs to no single workload, without the namespace; before anything that runs."""
    objects = [default_deny(plan)]
    if plan.options.quota:
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": plan.metadata(plan.scoped),
                "spec": {"hard": dict(plan.options.quota)},
            }
        )
    return objects + mesh.shared_objects(plan)


def every_object(plan: KubernetesPlan) -> list[Manifest]:
    """Every object of the stack with no value in its Secrets: for questions about kinds, names and claims."""
    own = namespace(plan)
    if plan.options.external_secrets:
        secrets = [external_secret(plan, plan.options.oauth_secret, {})]
    else:
        secrets = [secret_object(plan, plan.options.oauth_secret, {})]
    names = {w.name: {name: name for name in secret_texts(plan, w)} for w in plan.workloads}
    workloads = [item for w in plan.workloads for item in workload_objects(plan, w, names[w.name])]
    return [*([own] if own else []), *secrets, *shared_objects(plan), *workloads]


def workload_objects(plan: KubernetesPlan, workload: Workload, names: Mapping[str, Any]) -> list[Manifest]:
    """What one workload is made of, in the order in which it is needed.

    names: those of its Secrets, each by the first part of it that `secret_texts` gives.
    """
    if plan.operated(workload):
        guards = [workload_policy(plan, workload), *mesh.workload_objects(plan, workload)]
        return [*guards, *cloudnativepg.objects(plan, workload, names)]
    objects = [_account(plan, workload)]
    if plain_files(workload):
        objects.append(_config_map(plan, workload))
    objects += [_claim(plan, workload, v) for v in workload.volumes if not _given(plan, workload, v)]
    objects.append(workload_policy(plan, workload))
    objects += mesh.workload_objects(plan, workload)
    if workload.ports:
        objects.append(_service(plan, workload))
    objects += [controller(plan, workload, names.get(secret_prefix(workload))), _budget(plan, workload)]
    if workload.service.max_replicas is not None:
        objects.append(_scaler(plan, workload))
    objects += [route for port, way in workload.entrances for route in _entrance(plan, workload, port, way)]
    return objects


def secret_object(plan: KubernetesPlan, name: Any, values: Mapping[str, Any], component: str = "") -> Manifest:
    """A Secret. One of a workload is immutable: a new value comes under a new name, and rolls its pods."""
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": plan.metadata(name, component),
        "type": secret_type(values),
        "stringData": dict(values),
    }
    return secret | {"immutable": True} if component else secret


def _account(plan: KubernetesPlan, workload: Workload) -> Manifest:
    metadata = plan.metadata(workload.name, workload.name)
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
        "resources": {"requests": {"storage": f"{volume.size_gib}Gi"}},
    }
    spec |= {"storageClassName": name} if name else {}
    metadata = plan.metadata(plan.claim(workload, volume), workload.name)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _service(plan: KubernetesPlan, workload: Workload) -> Manifest:
    ports = [
        {"name": p.name, "port": p.number, "targetPort": p.name, "protocol": "TCP", "appProtocol": p.protocol.value}
        for p in workload.ports
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


def _scaler(plan: KubernetesPlan, workload: Workload) -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name}
    load = {"type": "Utilization", "averageUtilization": SCALE_AT_PERCENT}
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
    public = urlsplit(entrance.url)
    host = public.hostname
    gateway, ingress = plan.options.gateway, plan.options.ingress
    metadata = plan.metadata(workload.name, workload.name)
    if gateway is not None:
        parent = {"name": gateway.name, "namespace": gateway.namespace}
        parent |= {"sectionName": gateway.section} if gateway.section else {}
        # A program that believes its proxy would believe in these what a caller made up. The host has no port:
        # mlflow-oidc-auth appends the other header to it (proxy_headers_middleware, 11.0.2).
        told = {"X-Forwarded-Host": host, "X-Forwarded-Port": str(public.port or 443)}
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
