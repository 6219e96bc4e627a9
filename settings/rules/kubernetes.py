"""Rules between the settings of a stack on Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from settings.derived import public_programs, run_elsewhere
from settings.known import Known
from settings.kubernetes import ExistingSecret, Kubernetes
from settings.model import PROJECT, Platform, Settings
from settings.wrong import Wrong


def key(path: str) -> str:
    return f"{PROJECT}:{path}"


def _elsewhere(settings: Settings, known: Known) -> Iterator[Wrong]:
    """What only Kubernetes can do is asked of nothing else."""
    if settings.platform is Platform.KUBERNETES or not known.values("platform"):
        return
    # What of it was refused was given too.
    given = settings.kubernetes != Kubernetes() or not known.values("kubernetes")
    if given and known.presence("kubernetes"):
        yield Wrong(("kubernetes",), "", f"expected {key('platform')}: kubernetes with it")
    for where, number in _copies(settings):
        if number > 1 and known.values(where):
            yield Wrong((where,), str(number), f"expected 1, or {key('platform')}: kubernetes, which runs several")
    for where, name in _identities(settings):
        if known.values(where):
            expected = f"expected a key in its place, or {key('platform')}: kubernetes, which knows such accounts"
            yield Wrong((where,), name, expected)
    for where, name, instead in _existing_secrets(settings):
        if known.values(where):
            expected = f"expected {instead} in its place, or {key('platform')}: kubernetes, which keeps Secrets"
            yield Wrong((where,), name, expected)


def _copies(settings: Settings) -> Iterator[tuple[str, int]]:
    """Each key that asks for several servers side by side, and how many."""
    yield "mlflow.replicas", settings.mlflow.replicas
    yield "mlflow.maxReplicas", settings.mlflow.max_replicas or 1
    yield "keycloak.replicas", settings.keycloak.replicas


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
    for store, instead in (("gcs", "serviceAccountKey"), ("azure", "accountKey")):
        given = getattr(settings.mlflow, store)
        if given and given.existing_secret:
            yield f"mlflow.{store}.existingSecret", given.existing_secret.name, instead
    for name, value in settings.mlflow.secret_env.items():
        if isinstance(value, ExistingSecret):
            yield f"mlflow.secretEnv.{name}", value.name, "the value"


def _identities(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each key that names an identity of a cloud, and its value."""
    s3, gcs, azure = settings.mlflow.s3, settings.mlflow.gcs, settings.mlflow.azure
    if s3 and s3.role_arn:
        yield "mlflow.s3.roleArn", s3.role_arn
    if gcs and gcs.service_account:
        yield "mlflow.gcs.serviceAccount", gcs.service_account
    if azure and azure.client_id:
        yield "mlflow.azure.clientId", azure.client_id


def _operated(settings: Settings, known: Known) -> Iterator[Wrong]:
    where = "kubernetes.cloudNativePg"
    if _here(settings) and settings.kubernetes.cloud_native_pg and settings.postgres.external:
        expected = f"expected none with {key('postgres.external')}: there is no server to run"
        yield Wrong((where,), "", expected)


def _volumes(settings: Settings, known: Known) -> Iterator[Wrong]:
    mlflow, storage = settings.mlflow, settings.kubernetes.storage
    most = mlflow.max_replicas or mlflow.replicas
    stores = ("mlflow.s3", "mlflow.gcs", "mlflow.azure")
    shared = known.values("kubernetes.storage.sharedAccess") and known.presence(*stores, "mlflow.maxReplicas")
    volume = mlflow.s3 is None and mlflow.gcs is None and mlflow.azure is None
    if _here(settings) and shared and most > 1 and volume and storage.shared_access != "ReadWriteMany":
        where = "mlflow.maxReplicas" if mlflow.max_replicas else "mlflow.replicas"
        expected = f"expected 1, {key('mlflow.s3')}, or {key('kubernetes.storage.sharedAccess')}: ReadWriteMany"
        yield Wrong((where,), str(most), expected)


def _entrance(settings: Settings, known: Known) -> Iterator[Wrong]:
    if not (_here(settings) and settings.kubernetes.routed):
        return
    name = "gateway" if settings.kubernetes.gateway else "ingress"
    hosts: dict[str | None, str] = {}
    for part, group in public_programs(settings).items():
        url, certificate = f"{part}.url", f"{part}.tls.certificateFile"
        if part in run_elsewhere(settings) or not known.presence(f"{part}.existing"):
            continue
        if known.values(url) and group.url.startswith("http://"):
            yield Wrong((url,), group.url, f"expected the https URL that {key('kubernetes.' + name)} serves")
        if known.values(certificate) and group.tls.certificate_file:
            expected = f"expected none: TLS ends at {key('kubernetes.' + name)}"
            yield Wrong((certificate,), group.tls.certificate_file, expected)
        # What was told of above is not told of again.
        host = urlsplit(group.url).hostname
        if known.values(url) and known.values(hosts.get(host, url)):
            if host in hosts:
                expected = "expected two host names: routes are told apart by them"
                yield Wrong((hosts[host], url), str(host), expected)
            hosts.setdefault(host, url)


def _mesh(settings: Settings, known: Known) -> Iterator[Wrong]:
    tls, where = settings.mlflow.tls, "mlflow.tls.certificateFile"
    judged = known.values("kubernetes.mesh.enabled", where) and known.presence(
        "kubernetes.gateway", "kubernetes.ingress"
    )
    read = settings.kubernetes.mesh.enabled and not settings.kubernetes.routed
    if _here(settings) and judged and read and tls.certificate_file:
        expected = f"expected none, or {key('kubernetes.mesh.enabled')}: false: the waypoint has to read requests"
        yield Wrong((where,), tls.certificate_file, expected)


def _callers(settings: Settings, known: Known) -> Iterator[Wrong]:
    for number, caller in enumerate(settings.kubernetes.callers):
        where = f"kubernetes.callers[{number}]"
        if "/" in caller and not settings.kubernetes.mesh.enabled and known.values(where, "kubernetes.mesh.enabled"):
            expected = f"expected its namespace alone, or {key('kubernetes.mesh.enabled')}: true, which knows accounts"
            yield Wrong((where,), caller, expected)


def _dns(settings: Settings, known: Known) -> Iterator[Wrong]:
    dns, where = settings.kubernetes.dns, "kubernetes.dns.namespace"
    if dns.labels and dns.namespace is None and known.values(where):
        yield Wrong((where,), "", f"expected the namespace of the pods with {key('kubernetes.dns.labels')}")


def _realm_job(settings: Settings, known: Known) -> Iterator[Wrong]:
    where = "kubernetes.realmJob"
    if _here(settings) and settings.kubernetes.realm_job and settings.keycloak.existing and known.values(where):
        expected = (
            f"expected false with {key('keycloak.existing')}: files are rendered for a Keycloak of the stack's own"
        )
        yield Wrong((where, "keycloak.existing"), "true", expected)


def _here(settings: Settings) -> bool:
    return settings.platform is Platform.KUBERNETES


KUBERNETES_RULES = (_elsewhere, _operated, _volumes, _entrance, _mesh, _callers, _dns, _realm_job)
