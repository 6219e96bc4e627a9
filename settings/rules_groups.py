"""Rules within one group of settings: keys that exclude, need or bound each other."""

from __future__ import annotations

from collections.abc import Iterator

from settings.derived import public_programs
from settings.known import Known
from settings.model import DatabaseLogin, Settings
from settings.wrong import Wrong


def _tls(settings: Settings, known: Known) -> Iterator[Wrong]:
    for part, group in public_programs(settings).items():
        key, tls = f"{part}.tls", group.tls
        files = known.values(f"{key}.certificateFile", f"{key}.keyFile")
        if files and bool(tls.certificate_file) != bool(tls.key_file):
            yield Wrong((key,), "", "expected certificateFile and keyFile together")
        elif tls.proxy and tls.certificate_file:
            yield Wrong((key,), "", "expected certificate files or proxy: true, not both")


def _access_key(settings: Settings, known: Known) -> Iterator[Wrong]:
    s3 = settings.mlflow.s3
    if s3 and s3.existing_secret and (s3.access_key_id or s3.secret_access_key):
        yield Wrong(("mlflow.s3",), "", "expected existingSecret, or accessKeyId and secretAccessKey, not both")


def _lifetimes(settings: Settings, known: Known) -> Iterator[Wrong]:
    times = settings.realm.lifetimes
    idle = ("ssoIdleSeconds", times.sso_idle_seconds)
    bounds = (
        (idle, "<=", ("ssoMaxSeconds", times.sso_max_seconds)),
        (("accessTokenSeconds", times.access_token_seconds), "<=", idle),
        (("offlineIdleSeconds", times.offline_idle_seconds), ">=", idle),
    )
    broken = []
    for (first, one), sign, (second, other) in bounds:
        holds = one <= other if sign == "<=" else one >= other
        if not holds and known.values(f"realm.lifetimes.{first}", f"realm.lifetimes.{second}"):
            broken.append(f"{first} ({one}) {sign} {second} ({other})")
    if broken:
        yield Wrong(("realm.lifetimes",), "", f"expected {' and '.join(broken)}")


def _groups(settings: Settings, known: Known) -> Iterator[Wrong]:
    groups = settings.realm.groups
    given = {"realm.groups.admins": groups.admins, "realm.groups.users": groups.users}
    every = [
        name
        for key, names in given.items()
        if known.presence(key)
        for i, name in enumerate(names)
        if known.values(f"{key}[{i}]")
    ]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        yield Wrong(("realm.groups",), "", f"expected each group once; twice: {', '.join(twice)}")


def _databases(settings: Settings, known: Known) -> Iterator[Wrong]:
    external = settings.postgres.external
    if external is None:
        return
    logins: dict[str, DatabaseLogin | None] = {
        "keycloak": external.keycloak,
        "mlflow": external.mlflow,
        "oidc": external.oidc,
    }
    for part, login in logins.items():
        key = f"postgres.external.{part}"
        if login is None or not known.presence(f"{key}.password", f"{key}.existingSecret"):
            continue
        if (login.password is None) == (login.existing_secret is None):
            yield Wrong((key,), "", "expected password or, on Kubernetes, existingSecret")


def _postgres(settings: Settings, known: Known) -> Iterator[Wrong]:
    if settings.postgres.external and settings.postgres.separate_keycloak:
        yield Wrong(("postgres",), "", "expected external or separateKeycloak, not both")


def _redis(settings: Settings, known: Known) -> Iterator[Wrong]:
    external = settings.redis.external
    if external and external.password and external.existing_secret:
        yield Wrong(("redis.external",), "", "expected password or existingSecret, not both")


def _entrance(settings: Settings, known: Known) -> Iterator[Wrong]:
    ingress = settings.kubernetes.ingress
    if settings.kubernetes.gateway and ingress:
        yield Wrong(("kubernetes",), "", "expected gateway or ingress, not both")
    if ingress is None:
        return
    ways = {"tlsSecret": ingress.tls_secret, "issuer": ingress.issuer, "clusterIssuer": ingress.cluster_issuer}
    one = sum(bool(way) for way in ways.values()) == 1
    if not one and known.values(*(f"kubernetes.ingress.{name}" for name in ways)):
        yield Wrong(("kubernetes.ingress",), "", "expected one of tlsSecret, issuer and clusterIssuer")


GROUP_RULES = (_tls, _access_key, _lifetimes, _groups, _databases, _postgres, _redis, _entrance)
