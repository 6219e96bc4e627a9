"""What follows from the settings: values that several rooms need and nobody writes down."""

from __future__ import annotations

from urllib.parse import urlsplit

from settings.model import Environment, Keycloak, Mlflow, Settings, Tls
from settings.types import is_loopback, port_of

# Ports inside the containers; the published ones come from the URLs.
DEFAULT_PORTS = {"mlflow": 5000, "keycloak": 8080}


def public_programs(settings: Settings) -> dict[str, Mlflow | Keycloak]:
    """The programs that people reach at a URL of their own, by the name of their group of settings."""
    return {"mlflow": settings.mlflow, "keycloak": settings.keycloak}


def run_elsewhere(settings: Settings) -> frozenset[str]:
    """Those of the public programs that run already, and are not the stack's."""
    return frozenset({"keycloak"} if settings.keycloak.existing is not None else ())


def published_port(settings: Settings, part: str) -> int:
    """The host port of a public program: its setting, else where its URL leads a browser.

    Behind a proxy the URL leads to the proxy, and the port is the one that people know the program by.
    """
    group = public_programs(settings)[part]
    if group.port is not None:
        return group.port
    if behind_proxy(settings, group.tls):
        return DEFAULT_PORTS[part]
    return port_of(group.url)


def allows_direct_access_grants(settings: Settings) -> bool:
    given = settings.realm.direct_access_grants
    return settings.environment is Environment.DEV if given is None else given


def wants_sample_users(settings: Settings) -> bool:
    given = settings.realm.sample_users
    return settings.environment is Environment.DEV if given is None else given


def behind_proxy(settings: Settings, tls: Tls) -> bool:
    """Whether TLS ends in front of the programs: at a declared proxy, a Gateway or an Ingress."""
    return tls.proxy or settings.kubernetes.routed


def postgres_has_certificates(settings: Settings) -> bool:
    """Whether the stack's own Postgres has certificates: it has where an operator of the target runs it."""
    return settings.kubernetes.cloud_native_pg is not None


def trace_senders(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Namespace and account of those outside the stack who may send traces."""
    mesh = settings.kubernetes.mesh
    return ((mesh.collector_namespace, mesh.collector_account),)


def serves_metrics(settings: Settings) -> bool:
    """MLflow serves its metrics to anybody, so elsewhere than on loopback they have to be asked for."""
    given = settings.mlflow.metrics
    return is_loopback(urlsplit(settings.mlflow.url).hostname or "") if given is None else given
