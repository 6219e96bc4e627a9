"""Rules between settings, each once, and none about a value that was refused."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from problems import Problem
from settings.derived import (
    CONNECTIONS,
    SAMPLE_USERS,
    behind_proxy,
    groups_client,
    people_client,
    public_programs,
    published_port,
    run_elsewhere,
    server_processes,
    server_turns,
    wants_sample_users,
)
from settings.known import Known
from settings.model import PROJECT, Settings, Tls
from settings.rules.groups import GROUP_RULES
from settings.rules.kubernetes import KUBERNETES_RULES
from settings.types import is_loopback
from settings.versions import choosers, unsupported, versions
from settings.wrong import Rule, Wrong


def check(settings: Settings, known: Known, root: Path, rules: Sequence[Rule] = ()) -> list[Problem]:
    """Every broken rule, each with its key, its value and what was expected. rules: those of rooms above this one."""
    wrongs = list(broken((*RULES, *rules), settings, known))
    named = {key for wrong in wrongs for key in wrong.keys}
    return [wrong.problem for wrong in wrongs] + _files(settings, root, named)


def broken(rules: Sequence[Rule], settings: Settings, known: Known) -> Iterator[Wrong]:
    """What breaks one of these rules."""
    for wrong in (w for rule in rules for w in rule(settings, known)):
        yield wrong
        for key in wrong.keys:
            # A generator goes on from here: later rules, and the rest of this one, leave the key alone.
            known.refuse(key)


def _versions(settings: Settings, known: Known) -> Iterator[Wrong]:
    """Whatever image a setting chooses the version of has that version."""
    chosen = versions(settings)
    for component, key in choosers().items():
        version = chosen[component]
        reason = unsupported(component, version) if version is not None and known.values(key) else None
        if reason:
            yield Wrong((key,), version or "", reason)


def _bind_address(settings: Settings, known: Known) -> Iterator[Wrong]:
    """What other machines reach is https, and believes the headers of its proxy alone."""
    if settings.docker.bind_address in ("127.0.0.1", "::1"):
        return
    programs = public_programs(settings)
    urls = {f"{part}.url": group.url for part, group in programs.items()}
    plain = [f"{PROJECT}:{name}" for name, url in urls.items() if known.values(name) and url.startswith("http://")]
    if plain:
        expected = f"expected 127.0.0.1 while http is in {' and '.join(plain)}"
        yield Wrong(("docker.bindAddress",), settings.docker.bind_address, expected)
    for part, group in programs.items():
        tls, proxies = group.tls, f"{part}.tls.trustedProxies"
        elsewhere = part in run_elsewhere(settings) or not known.presence(f"{part}.existing")
        if tls.proxy and not tls.trusted_proxies and known.values(proxies) and not elsewhere:
            # Keycloak believes X-Forwarded-* of everybody then, and that is how it tells https from http.
            expected = f"expected the proxy's addresses with {PROJECT}:docker.bindAddress open to other machines"
            yield Wrong((proxies,), "", expected)


def _https(settings: Settings, known: Known) -> Iterator[Wrong]:
    """Whoever has an https URL says how it is served, and nobody else does."""
    for part, group in public_programs(settings).items():
        url, tls = group.url, group.tls
        ends = known.values(f"{part}.url", f"{part}.tls.certificateFile", f"{part}.tls.proxy")
        if not (ends and known.presence("kubernetes.gateway", "kubernetes.ingress")):
            continue
        ways = bool(tls.certificate_file) or behind_proxy(settings, tls)
        # A server that is not the stack's serves its URL as it does.
        if url.startswith("https://") and not ways and part not in run_elsewhere(settings):
            yield Wrong((f"{part}.tls",), "", f"expected certificateFile and keyFile, or proxy, for {url}")
        if url.startswith("http://") and ways:
            yield Wrong((f"{part}.tls",), "", f"expected an https url with it; the url is {url}")


def _ports(settings: Settings, known: Known) -> Iterator[Wrong]:
    """No two programs of the stack are published on one port."""
    routed = known.presence("kubernetes.gateway", "kubernetes.ingress")
    ports: dict[int, str] = {}
    for part, group in public_programs(settings).items():
        if part in run_elsewhere(settings) or not known.presence(f"{part}.existing"):
            continue
        # Where the port comes from; behind a proxy it is the program's own.
        source = f"{part}.url" if group.port is None else f"{part}.port"
        derived = known.values(f"{part}.tls.proxy") and routed
        if not known.values(source, f"{part}.port") or (group.port is None and not derived):
            continue
        port = published_port(settings, part)
        if port in ports:
            yield Wrong((ports[port], source), f"port {port}", "expected two ports")
        ports.setdefault(port, source)


def _files(settings: Settings, root: Path, named: Container[str]) -> list[Problem]:
    """The files that cannot be used. A file says nothing of other keys, so it is told of unless its own was named."""

    def of(part: str, tls: Tls) -> list[tuple[str, str | None]]:
        return [(f"{part}.tls.certificateFile", tls.certificate_file), (f"{part}.tls.keyFile", tls.key_file)]

    files = [pair for part, group in public_programs(settings).items() for pair in of(part, group.tls)]
    files.append(("caBundle", settings.ca_bundle))
    told = ((key, path) for key, path in files if path is not None and key not in named)
    return [problem for key, path in told for problem in _readable(key, path, root)]


def _readable(key: str, path: str, root: Path) -> Iterator[Problem]:
    where = f"{PROJECT}:{key}"
    try:
        text = (root / path).read_text()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        yield Problem(where, path, f"expected a readable PEM file ({reason})")
        return
    if "-----BEGIN " not in text:
        yield Problem(where, path, "expected a PEM file with a -----BEGIN line")


def _members(settings: Settings, known: Known) -> Iterator[Wrong]:
    """Accounts are in groups that there are."""
    realm = settings.realm
    if not known.values("realm.groups.admins", "realm.groups.users"):
        return
    declared = {*realm.groups.admins, *realm.groups.users}
    members = {f"realm.users[{i}].groups": user.groups for i, user in enumerate(realm.users)}
    members |= {f"realm.serviceAccounts[{i}].groups": one.groups for i, one in enumerate(realm.service_accounts)}
    for key, groups in members.items():
        unknown = [g for i, g in enumerate(groups) if g not in declared and known.values(f"{key}[{i}]")]
        if unknown:
            yield Wrong((key,), ", ".join(unknown), f"expected one of {', '.join(sorted(declared))}")


def _names(settings: Settings, known: Known) -> Iterator[Wrong]:
    """No two users and no two clients have one name."""
    realm = settings.realm
    named = {f"realm.users[{i}].username": user.username for i, user in enumerate(realm.users)}
    users = {key: name for key, name in named.items() if known.values(key)}
    asked = known.values("realm.sampleUsers") and (realm.sample_users is not None or known.values("environment"))
    samples = SAMPLE_USERS if asked and wants_sample_users(settings) else ()
    for key, name in users.items():
        if name in samples:
            yield Wrong((key, "realm.sampleUsers"), name, "expected another name, or no sample users: one has this")
    clients = {"realm.clientId": realm.client_id, "realm.cliClientId": realm.cli_client_id}
    accounts = {f"realm.serviceAccounts[{i}].clientId": one.client_id for i, one in enumerate(realm.service_accounts)}
    given = {key: name for key, name in {**clients, **accounts}.items() if known.values(key)}
    own = (groups_client(realm.client_id), people_client(realm.client_id)) if known.values("realm.clientId") else ()
    for key, name in given.items():
        if name in own:
            yield Wrong(
                (key, "realm.clientId"), name, "expected another id: the stack has a client of its own by this one"
            )
    for kind in (users, given):
        for name in sorted(set(kind.values())):
            keys = tuple(key for key, other in kind.items() if other == name)
            if len(keys) > 1:
                yield Wrong(keys, name, "expected each name once")


def _existing(settings: Settings, known: Known) -> Iterator[Wrong]:
    existing, external = settings.keycloak.existing, settings.postgres.external
    if not known.presence("keycloak.existing"):
        return
    database = "postgres.external.keycloak"
    if existing is None and external is not None and external.keycloak is None and known.presence(database):
        yield Wrong((database,), "", "expected Keycloak's database and login")
    create = "keycloak.existing.createRealm"
    if existing is not None and existing.create_realm and settings.realm.name == "master" and known.values(create):
        yield Wrong((create,), "true", "expected false: master always exists")
    if existing is None and settings.realm.name == "master":
        yield Wrong(("realm.name",), "master", "expected another name: master is for administrators")


def _trimmed(settings: Settings, known: Known) -> Iterator[Wrong]:
    """Keycloak drops spaces around the values of its configuration."""
    external, where = settings.postgres.external, "postgres.external.keycloak.password"
    given = external.keycloak.password if external and external.keycloak else None
    text = given.get_secret_value() if given else ""
    if text != text.strip() and known.values(where):
        yield Wrong((where,), "[secret]", "expected no space at its begin or end: Keycloak drops these")


def _replicas(settings: Settings, known: Known) -> Iterator[Wrong]:
    mlflow = settings.mlflow
    if mlflow.max_replicas is not None and mlflow.max_replicas <= mlflow.replicas and known.values("mlflow.replicas"):
        expected = f"expected more than mlflow.replicas ({mlflow.replicas})"
        yield Wrong(("mlflow.maxReplicas",), str(mlflow.max_replicas), expected)


def _reachable(settings: Settings, known: Known) -> Iterator[Wrong]:
    """In a container, localhost is the container itself."""
    expected = "expected a name that containers reach: localhost is each container itself"
    for part, external in (("postgres", settings.postgres.external), ("redis", settings.redis.external)):
        if external is not None and is_loopback(external.host):
            yield Wrong((f"{part}.external.host",), external.host, expected)
    existing, internal = settings.keycloak.existing, "keycloak.existing.internalUrl"
    if existing is not None and known.values(internal) and (existing.internal_url or known.values("keycloak.url")):
        url = existing.internal_url or settings.keycloak.url
        if is_loopback(urlsplit(url).hostname or ""):
            yield Wrong((internal,), url, expected)


def _processes(settings: Settings, known: Known) -> Iterator[Wrong]:
    """The database has connections for at least one request of every server process."""
    keys = ("mlflow.workers", "mlflow.maxReplicas" if settings.mlflow.max_replicas else "mlflow.replicas")
    jobs_known = known.presence("mlflow.jobs") and known.values("mlflow.jobs.workers")
    if known.values(*keys) and jobs_known and server_turns(settings) < 1:
        processes = server_processes(settings)
        jobs = " or fewer mlflow.jobs.workers" if settings.mlflow.jobs else ""
        expected = f"expected fewer server processes, workers times replicas{jobs}: the database takes "
        yield Wrong(keys, str(processes), f"{expected}{CONNECTIONS} connections, and each process needs four")


def _databases(settings: Settings, known: Known) -> Iterator[Wrong]:
    """Each program has a database of its own: two histories of one schema end both."""
    external = settings.postgres.external
    if external is None:
        return
    names: dict[str, str] = {}
    for part in ("mlflow", "oidc", "keycloak"):
        login = getattr(external, part)
        key = f"postgres.external.{part}.database"
        if login is None or not known.values(key):
            continue
        if login.database in names:
            keys = (names[login.database], key)
            yield Wrong(
                keys, login.database, "expected a database of its own for each program; one server may hold all"
            )
        names.setdefault(login.database, key)


# What says more of a key comes first: the key is named once.
RULES: tuple[Rule, ...] = (
    *GROUP_RULES,
    _versions,
    _bind_address,
    *KUBERNETES_RULES,
    _https,
    _ports,
    _members,
    _names,
    _existing,
    _trimmed,
    _replicas,
    _processes,
    _databases,
    _reachable,
)
