"""What a component asks of a platform, as plain values.

A component describes itself as `Workload`s; a platform makes them real on its target. Nothing here
knows Pulumi, Docker or Kubernetes, so the same values feed the engine and the renderers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from platforms.secrets import Kept, Secret, SecretText
from problems import Problem


@dataclass(frozen=True)
class File:
    """A file put into the container at an absolute `path`, readable by its user, never writable.

    secret: the content is private (a TLS key) and must not be shown in a plan.
    """

    path: str
    content: str = field(repr=False)
    secret: bool = False


@dataclass(frozen=True)
class Port:
    """A TCP port a container listens on.

    published: the port opened on the host for people, or None when only `callers` may connect.
        url: where people find a published port; targets that route by host name read it there.
    protocol: http, https or tcp: what a proxy in between may read.
    paths: what of it people need, as prefixes; empty: all of it. Targets that route by path let nothing else in.
    managed_url: where the engine itself uses the program. It counts as ready once that takes connections.
    """

    name: str
    number: int
    published: int | None = None
    url: str = ""
    protocol: str = "tcp"
    paths: tuple[str, ...] = ()
    managed_url: str = ""


@dataclass(frozen=True)
class Volume:
    """Data that outlives the container. `size_gib` is a request where the target has quotas."""

    name: str
    path: str
    size_gib: int = 10
    shared: bool = False


@dataclass(frozen=True)
class HttpCheck:
    """Healthy when GET `path` on `port` answers 2xx. tls: over https, whatever the certificate."""

    port: int
    path: str
    tls: bool = False


@dataclass(frozen=True)
class ExecCheck:
    """Healthy when `command`, run in the container without a shell, exits 0."""

    command: tuple[str, ...]


def bash_http_check(port: int, path: str) -> ExecCheck:
    """Ask for `path` from inside with bash alone: no image has to hold curl."""
    script = (
        f"exec 3<>/dev/tcp/127.0.0.1/{port} && "
        f"printf 'GET {path} HTTP/1.0\\r\\nHost: localhost:{port}\\r\\n\\r\\n' >&3 && "
        "read -r line <&3 && [[ $line == *' 200 '* ]]"
    )
    return ExecCheck(("bash", "-c", script))


@dataclass(frozen=True)
class Probe:
    """How a platform learns that a container serves.

    local: a check that needs only what the image holds; for targets that check from inside.
    http: the same question over HTTP, for targets that check from outside.
    live: whether the program itself still works, whatever it depends on; for targets that restart one
        that does not. Without it `local` is that question too.
    start_seconds: how long the first start may take before a failure counts.
    """

    local: ExecCheck
    http: HttpCheck | None = None
    live: HttpCheck | None = None
    interval_seconds: int = 10
    timeout_seconds: int = 5
    failures: int = 6
    start_seconds: int = 60


@dataclass(frozen=True)
class Resources:
    """Bounds. memory_mib is a hard limit; cpus is a share, 1.0 is one core.

    weight: of that share, what counts against the other workloads while the cores do not suffice for all.
    """

    memory_mib: int
    cpus: float
    weight: float = 1.0


@dataclass(frozen=True)
class Reserved:
    """Requests that only the trace collector named in the settings may send.

    A target with a proxy that reads requests enforces it there; the program's own authorization decides on
    every target. paths: exact, or with a last part `*` for everything below.
    """

    methods: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Databases:
    """What a Postgres server holds, for targets that have an operator to run such servers.

    owners: the password of each database's owner, a role of the same name that may use no other.
    parameters: the server's own settings.
    """

    owners: Mapping[str, Secret]
    parameters: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One program of the stack.

    name: DNS label; other workloads reach it as `name:port` on every platform.
    callers: names of the workloads that may connect. Nobody else can, on any platform. Its own name
        among them lets its replicas speak to each other.
    outside: (host, TCP port) of every server outside the stack that it connects to.
    authorities: files with the certificate of the CA that a target made for another workload's server: by path, the
        name of that workload.
    databases: set for a Postgres server, which a target may run in a way of its own.
    max_replicas: under load the target may add replicas up to this; None: it never does.
    uid: the non-root user it runs as; its volumes belong to the group of the same number.
    writable: paths that need a memory-backed scratch directory; the root file system is read-only.
    wait_seconds: how long a first start may take before `up` gives up on it.
    """

    name: str
    image: str
    uid: int
    resources: Resources
    probe: Probe
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, SecretText] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    writable: tuple[str, ...] = ("/tmp",)
    callers: tuple[str, ...] = ()
    outside: tuple[tuple[str, int], ...] = ()
    reserved: Reserved | None = None
    authorities: Mapping[str, str] = field(default_factory=dict)
    databases: Databases | None = None
    replicas: int = 1
    max_replicas: int | None = None
    stop_seconds: int = 30
    wait_seconds: int = 300

    @property
    def published(self) -> tuple[Port, ...]:
        return tuple(port for port in self.ports if port.published is not None)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every distinct secret the workload is given, in name order."""
        found = {s.name: s for text in self.secret_env.values() for s in text.secrets}
        return tuple(found[name] for name in sorted(found))

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What the target has to keep for it already."""
        return tuple(dict.fromkeys(secret.kept for secret in self.secrets if secret.kept))


def check_workloads(workloads: Sequence[Workload]) -> list[Problem]:
    """What no platform can honour: the rules every `Workload` set keeps, whatever the target."""
    problems: list[Problem] = []
    names = [w.name for w in workloads]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.append(Problem(f"workload {name}", "", "expected a name used once"))
    taken: dict[int, str] = {}
    for workload in workloads:
        where = f"workload {workload.name}"
        if workload.uid == 0:
            problems.append(Problem(where, "uid 0", "expected a non-root user"))
        for caller in workload.callers:
            if caller not in names:
                problems.append(Problem(where, f"caller {caller}", "expected a workload's name"))
        both = set(workload.env) & set(workload.secret_env)
        for key in sorted(both):
            problems.append(Problem(where, key, "set both as plain and as secret variable"))
        for key, text in workload.secret_env.items():
            if text.kept and not all(secret.kept for secret in text.secrets):
                problems.append(Problem(where, key, "expected all of its secrets to be kept by the target, or none"))
        for port in workload.published:
            assert port.published is not None
            if port.published in taken:
                other = taken[port.published]
                problems.append(Problem(where, f"port {port.published}", f"already published by {other}"))
            taken[port.published] = workload.name
    return problems
