"""How people's requests for a host come in: an HTTPRoute of a Gateway, or an Ingress in its controller's words."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.workload import Entrance, Port, Workload
from settings import port_of
from settings.kubernetes import Controller, Ingress

# The longest silence of either side, in seconds; MLflow's own guard ends what sends nothing much sooner.
_SILENCE = 3600
# What each controller is told of requests and answers of any size and length, on the Ingress alone. Traefik has no
# bound for sizes, and its times belong to its entry points; docs/guides/kubernetes.md has those that are not here.
_STREAMS: Mapping[Controller, Mapping[str, str]] = {
    # ingress-nginx, "Annotations": 1 MiB, spooled to a disk, and 60 s by default.
    Controller.INGRESS_NGINX: {
        "nginx.ingress.kubernetes.io/proxy-body-size": "0",
        "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
        "nginx.ingress.kubernetes.io/proxy-buffering": "off",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": str(_SILENCE),
        "nginx.ingress.kubernetes.io/proxy-send-timeout": str(_SILENCE),
    },
    # NGINX Ingress Controller of F5, "Advanced configuration with annotations".
    Controller.NGINX_INC: {
        "nginx.org/client-max-body-size": "0",
        "nginx.org/proxy-buffering": "False",
        "nginx.org/proxy-read-timeout": f"{_SILENCE}s",
        "nginx.org/proxy-send-timeout": f"{_SILENCE}s",
    },
    # HAProxy Technologies' controller, and the HAProxy Ingress of the community: no bound for sizes, 50 s of silence.
    Controller.HAPROXY: {
        "haproxy.org/timeout-server": f"{_SILENCE}s",
        "haproxy-ingress.github.io/timeout-server": f"{_SILENCE}s",
    },
    # AWS Load Balancer Controller, "Ingress annotations": 60 s of silence, 4000 at most.
    Controller.ALB: {"alb.ingress.kubernetes.io/load-balancer-attributes": f"idle_timeout.timeout_seconds={_SILENCE}"},
    # Contour, "Annotations reference": Envoy ends a whole answer after 15 s.
    Controller.CONTOUR: {"projectcontour.io/response-timeout": "infinity"},
    # OpenShift's router, "Route-specific annotations", which it takes over from an Ingress: 30 s of silence.
    Controller.OPENSHIFT: {"haproxy.router.openshift.io/timeout": f"{_SILENCE}s"},
    Controller.TRAEFIK: {},
}
# The controllers by the names of classes that they are installed with.
_CLASSES: Mapping[str, Controller] = {
    "nginx": Controller.INGRESS_NGINX,
    "haproxy": Controller.HAPROXY,
    "alb": Controller.ALB,
    "contour": Controller.CONTOUR,
    "openshift-default": Controller.OPENSHIFT,
    "traefik": Controller.TRAEFIK,
}


def entrance_objects(plan: KubernetesPlan, workload: Workload, port: Port, entrance: Entrance) -> list[Manifest]:
    """How people's requests for the host of a port come in; none where its URL is forwarded by hand."""
    if plan.options.gateway is not None:
        return [_route(plan, workload, port, entrance)]
    if plan.options.ingress is not None:
        return [_ingress(plan, plan.options.ingress, workload, port, entrance)]
    return []


def _route(plan: KubernetesPlan, workload: Workload, port: Port, entrance: Entrance) -> Manifest:
    gateway, host = plan.options.gateway, urlsplit(entrance.url).hostname
    assert gateway is not None
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
    if entrance.streams and gateway.request_timeout:
        rule["timeouts"] = {"request": gateway.request_timeout}
    if entrance.paths:
        rule["matches"] = [{"path": {"type": "PathPrefix", "value": path}} for path in entrance.paths]
    metadata = plan.metadata(workload.name, workload.name)
    spec: Manifest = {"parentRefs": [parent], "hostnames": [host], "rules": [rule]}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}


def _ingress(plan: KubernetesPlan, ingress: Ingress, workload: Workload, port: Port, entrance: Entrance) -> Manifest:
    host = urlsplit(entrance.url).hostname
    controller = ingress.controller or _CLASSES.get(ingress.class_name or "")
    annotations = dict(_STREAMS[controller]) if entrance.streams and controller else {}
    annotations |= {"cert-manager.io/issuer": ingress.issuer} if ingress.issuer else {}
    annotations |= {"cert-manager.io/cluster-issuer": ingress.cluster_issuer} if ingress.cluster_issuer else {}
    # What the settings say comes last.
    annotations |= ingress.annotations
    backend = {"service": {"name": workload.name, "port": {"number": port.number}}}
    paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in entrance.paths or ("/",)]
    spec: Manifest = {
        "tls": [{"hosts": [host], "secretName": ingress.tls_secret or f"{workload.name}-tls"}],
        "rules": [{"host": host, "http": {"paths": paths}}],
    }
    spec |= {"ingressClassName": ingress.class_name} if ingress.class_name else {}
    metadata = plan.metadata(workload.name, workload.name)
    metadata |= {"annotations": annotations} if annotations else {}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}
