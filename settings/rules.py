"""Rules between settings, checked once all types are right, and what follows from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from problems import Problem
from settings.derived import behind_proxy, published_port, wants_sample_users
from settings.model import Settings, Tls
from settings.rules_kubernetes import check_kubernetes, key
from settings.types import Group, is_loopback
from settings.versions import unsupported_plugin, versions


def check(settings: Settings, root: Path) -> list[Problem]:
    """Every broken rule, each with its key, its value and what was expected."""
    return [
        *_versions(settings),
        *_exposure(settings),
        *_tls(settings, "mlflow", settings.mlflow.url, settings.mlflow.tls, root),
        *_tls(settings, "keycloak", settings.keycloak.url, settings.keycloak.tls, root),
        *_files(settings, root),
        *_realm(settings),
        *_existing(settings),
        *_replicas(settings),
        *_reachable(settings),
        *check_kubernetes(settings),
    ]


def _versions(settings: Settings) -> Iterator[Problem]:
    known = versions()
    plugin = settings.mlflow.plugin_version
    reason = unsupported_plugin(plugin)
    if reason:
        yield Problem(key("mlflow.pluginVersion"), plugin, reason)
    for part, given, choices in (
        ("postgres", settings.postgres.version, known.postgres),
        ("redis", settings.redis.version, known.redis),
        ("keycloak", settings.keycloak.version, known.keycloak),
    ):
        if given is not None and given not in choices:
            listed = ", ".join(choices)
            yield Problem(key(f"{part}.version"), given, f"expected one of {listed}")


def _exposure(settings: Settings) -> Iterator[Problem]:
    if settings.keycloak.existing is None:
        mlflow, keycloak = (published_port(settings, p) for p in ("mlflow", "keycloak"))
        if mlflow == keycloak:
            yield Problem(f"{key('mlflow')} and {key('keycloak')}", f"port {mlflow}", "expected two ports")
    if settings.docker.bind_address not in ("127.0.0.1", "::1"):
        urls = (("mlflow", settings.mlflow.url), ("keycloak", settings.keycloak.url))
        plain = [key(f"{part}.url") for part, url in urls if url.startswith("http://")]
        if plain:
            expected = f"expected 127.0.0.1 while http is in {' and '.join(plain)}"
            yield Problem(key("docker.bindAddress"), settings.docker.bind_address, expected)
        own = {"mlflow": settings.mlflow.tls}
        if settings.keycloak.existing is None:
            own["keycloak"] = settings.keycloak.tls
        for part, tls in own.items():
            if tls.proxy and not tls.trusted_proxies:
                # Keycloak believes X-Forwarded-* of everybody then, and that is how it tells https from http.
                expected = f"expected the proxy's addresses with {key('docker.bindAddress')} open to other machines"
                yield Problem(key(f"{part}.tls.trustedProxies"), "", expected)


def _tls(settings: Settings, part: str, url: str, tls: Tls, root: Path) -> Iterator[Problem]:
    ways = bool(tls.certificate_file) or behind_proxy(settings, tls)
    if url.startswith("https://") and not ways:
        yield Problem(key(f"{part}.tls"), "", f"expected certificateFile and keyFile, or proxy, for {url}")
    if url.startswith("http://") and ways:
        yield Problem(key(f"{part}.tls"), "", f"expected an https url with it; the url is {url}")
    for name, path in (("certificateFile", tls.certificate_file), ("keyFile", tls.key_file)):
        yield from _readable(key(f"{part}.tls.{name}"), path, root)


def _files(settings: Settings, root: Path) -> Iterator[Problem]:
    yield from _readable(key("caBundle"), settings.ca_bundle, root)


def _readable(where: str, path: str | None, root: Path) -> Iterator[Problem]:
    if path is None:
        return
    try:
        text = (root / path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        yield Problem(where, path, f"expected a readable PEM file ({reason})")
        return
    if "-----BEGIN " not in text:
        yield Problem(where, path, "expected a PEM file with a -----BEGIN line")


def _realm(settings: Settings) -> Iterator[Problem]:
    realm = settings.realm
    declared = {*realm.groups.admins, *realm.groups.users}
    usernames = [user.username for user in realm.users]
    if wants_sample_users(settings):
        usernames += ["alice", "bob"]
    clients = [realm.client_id, realm.cli_client_id, *(s.client_id for s in realm.service_accounts)]
    for where, names in (("realm.users", usernames), ("realm.serviceAccounts", clients)):
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield Problem(key(where), name, "expected each name once")
    members: list[tuple[str, Group, tuple[str, ...]]] = [
        *((f"realm.users[{i}]", u, u.groups) for i, u in enumerate(realm.users)),
        *((f"realm.serviceAccounts[{i}]", s, s.groups) for i, s in enumerate(realm.service_accounts)),
    ]
    for where, _, groups in members:
        for group in groups:
            if group not in declared:
                listed = ", ".join(sorted(declared))
                yield Problem(key(f"{where}.groups"), group, f"expected one of {listed}")


def _existing(settings: Settings) -> Iterator[Problem]:
    existing = settings.keycloak.existing
    external = settings.postgres.external
    if existing is None and external is not None and external.keycloak is None:
        yield Problem(key("postgres.external.keycloak"), "", "expected Keycloak's database and login")
    if existing is not None and existing.create_realm and settings.realm.name == "master":
        yield Problem(key("keycloak.existing.createRealm"), "true", "expected false: master always exists")
    if existing is None and settings.realm.name == "master":
        yield Problem(key("realm.name"), "master", "expected another name: master is for administrators")


def _replicas(settings: Settings) -> Iterator[Problem]:
    mlflow = settings.mlflow
    if mlflow.max_replicas is not None and mlflow.max_replicas <= mlflow.replicas:
        expected = f"expected more than mlflow.replicas ({mlflow.replicas})"
        yield Problem(key("mlflow.maxReplicas"), str(mlflow.max_replicas), expected)


def _reachable(settings: Settings) -> Iterator[Problem]:
    """In a container, localhost is the container itself."""
    expected = "expected a name that containers reach: localhost is each container itself"
    for part, external in (("postgres", settings.postgres.external), ("redis", settings.redis.external)):
        if external is not None and is_loopback(external.host):
            yield Problem(key(f"{part}.external.host"), external.host, expected)
    existing = settings.keycloak.existing
    if existing is not None:
        internal = existing.internal_url or settings.keycloak.url
        if is_loopback(urlsplit(internal).hostname or ""):
            yield Problem(key("keycloak.existing.internalUrl"), internal, expected)
