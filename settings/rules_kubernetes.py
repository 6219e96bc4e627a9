"""Rules between the settings of a stack on Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from problems import Problem
from settings.kubernetes import ExistingSecret, Kubernetes
from settings.model import PROJECT, Platform, Settings


def key(path: str) -> str:
    return f"{PROJECT}:{path}"


def check_kubernetes(settings: Settings) -> Iterator[Problem]:
    """Every contradiction between the kubernetes group and the rest."""
    if settings.platform is not Platform.KUBERNETES:
        if settings.kubernetes != Kubernetes():
            yield Problem(key("kubernetes"), "", f"expected {key('platform')}: kubernetes with it")
        for where, name, instead in _existing_secrets(settings):
            expected = f"expected {instead} in its place, or {key('platform')}: kubernetes, which keeps Secrets"
            yield Problem(key(where), name, expected)
        return
    yield from _operated(settings)
    yield from _volumes(settings)
    yield from _entrance(settings)
    yield from _mesh(settings)


def _existing_secrets(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Each key that names a Secret which is there already: its path, the Secret's name, and what says the same."""
    postgres, redis, s3 = settings.postgres.external, settings.redis.external, settings.mlflow.s3
    logins = {part: getattr(postgres, part) for part in ("keycloak", "mlflow", "oidc")} if postgres else {}
    for part, login in logins.items():
        if login and login.existing_secret:
            yield f"postgres.external.{part}.existingSecret", login.existing_secret.name, "password"
    if redis and redis.existing_secret:
        yield "redis.external.existingSecret", redis.existing_secret.name, "password"
    if s3 and s3.existing_secret:
        yield "mlflow.s3.existingSecret", s3.existing_secret.name, "accessKeyId and secretAccessKey"
    for name, value in settings.mlflow.secret_env.items():
        if isinstance(value, ExistingSecret):
            yield f"mlflow.secretEnv.{name}", value.name, "the value"


def _operated(settings: Settings) -> Iterator[Problem]:
    if settings.kubernetes.cloud_native_pg and settings.postgres.external:
        expected = f"expected none with {key('postgres.external')}: there is no server to run"
        yield Problem(key("kubernetes.cloudNativePg"), "", expected)


def _volumes(settings: Settings) -> Iterator[Problem]:
    mlflow, storage = settings.mlflow, settings.kubernetes.storage
    most = mlflow.max_replicas or mlflow.replicas
    if most > 1 and mlflow.s3 is None and storage.shared_access != "ReadWriteMany":
        where = key("mlflow.maxReplicas" if mlflow.max_replicas else "mlflow.replicas")
        expected = f"expected 1, {key('mlflow.s3')}, or {key('kubernetes.storage.sharedAccess')}: ReadWriteMany"
        yield Problem(where, str(most), expected)


def _entrance(settings: Settings) -> Iterator[Problem]:
    if not settings.kubernetes.routed:
        return
    name = "gateway" if settings.kubernetes.gateway else "ingress"
    parts = ["mlflow"] if settings.keycloak.existing else ["mlflow", "keycloak"]
    hosts = []
    for part in parts:
        group = settings.mlflow if part == "mlflow" else settings.keycloak
        hosts.append(urlsplit(group.url).hostname)
        if group.url.startswith("http://"):
            expected = f"expected the https URL that {key('kubernetes.' + name)} serves"
            yield Problem(key(f"{part}.url"), group.url, expected)
        if group.tls.certificate_file:
            expected = f"expected none: TLS ends at {key('kubernetes.' + name)}"
            yield Problem(key(f"{part}.tls.certificateFile"), group.tls.certificate_file, expected)
    if len(hosts) > len(set(hosts)):
        where = f"{key('mlflow.url')} and {key('keycloak.url')}"
        yield Problem(where, str(hosts[0]), "expected two host names: routes are told apart by them")


def _mesh(settings: Settings) -> Iterator[Problem]:
    tls = settings.mlflow.tls
    if settings.kubernetes.mesh.enabled and tls.certificate_file and not settings.kubernetes.routed:
        expected = f"expected none, or {key('kubernetes.mesh.enabled')}: false: the waypoint has to read requests"
        yield Problem(key("mlflow.tls.certificateFile"), tls.certificate_file, expected)
