"""What a component asks of a platform, as plain values.

A component describes itself as `Workload`s; a platform makes them real on its target. Nothing here
knows Pulumi, Docker or Kubernetes, so the same values feed the engine and the renderers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from platforms.secrets import Kept, Secret, SecretText

# What a program that runs at changes exits with where another try would end as this one.
FINAL = 3


@dataclass(frozen=True)
class File:
    """A file put into the container at an absolute `path`, readable by its user, never writable.

    secret: the content is private (a TLS key) and must not be shown in a plan.
    """

    path: str
    content: str = field(repr=False)
    secret: bool = False


class Protocol(StrEnum):
    """What a proxy in between may read of a port's traffic. Values are Kubernetes' `appProtocol`, as Istio reads it."""

    TCP = "tcp"
    HTTP = "http"
    HTTPS = "https"
    GRPC = "grpc"


@dataclass(frozen=True)
class Entrance:
    """How people come to a port.

    url: where they find it; targets that route by host name read the name there. A proxy that the target puts in front
        tells the program of it, whatever a caller said: its host in X-Forwarded-Host, without the port, and its port
        in X-Forwarded-Port.
    host_port: the port opened on the host, where the target opens one.
    paths: what of it people need, as prefixes; empty: all of it. Targets that route by path let nothing else in.
    streams: requests and answers of any size, which may take as long as they do; a proxy that the target puts in front
        neither bounds them nor waits for the whole of one.
    managed_url: where the engine itself uses the program. It counts as ready once that takes connections.
    """

    url: str
    host_port: int
    paths: tuple[str, ...] = ()
    managed_url: str = ""
    streams: bool = False


@dataclass(frozen=True)
class Port:
    """A TCP port a container listens on.

    name: that of a service (RFC 6335), of up to 15 signs, as Kubernetes takes it.
    callers: names of the workloads that may connect to it. On a target that separates ports nobody else can; on Docker
        a network separates workloads, and whoever may call one port of a workload reaches the others too. Its own
        workload's name among them lets the replicas speak to each other.
    entrance: set where people come in.
    metrics: the path at which Prometheus reads metrics (its text format over HTTP); empty: none are there.
    """

    name: str
    number: int
    protocol: Protocol = Protocol.TCP
    callers: tuple[str, ...] = ()
    entrance: Entrance | None = None
    metrics: str = ""


@dataclass(frozen=True)
class Volume:
    """Data that outlives the container.

    name: DNS label, used once in its workload.
    size_gib: a request where the target has quotas.
    shared: all replicas mount it.
    protected: nothing removes it before a person has confirmed that: neither the engine nor `cleanup`.
    """

    name: str
    path: str
    size_gib: int = 10
    shared: bool = False
    protected: bool = False


@dataclass(frozen=True)
class Reading:
    """Another workload's volume, mounted at `path` for reading alone.

    The reader's user is given the group that the volume belongs to, which is the owner's. On Docker the volume has the
    mode that its directory has in the owner's image: 0700 lets nobody read it but a reader of the owner's own uid.
    """

    workload: str
    volume: str
    path: str


@dataclass(frozen=True)
class Scratch:
    """A directory on disk that goes with its container or pod; for what memory is too small for.

    A program that starts again in the same one finds there what it left. Compose, of either generation, hands it to
    the next container of the same workload; no other engine does.
    size_mib: what the target holds it to, where it can: an engine of Docker has no quota for it. The image has the
    directory, and it belongs to the workload's user there.
    """

    path: str
    size_mib: int


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
    """Ask for `path` from inside with bash alone: no image has to hold curl.

    It reads the first line of the answer and hangs up: a server that writes on finds the connection reset.
    """
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
class Account:
    """An identity outside the stack, as a target with identities of its own knows it (Kubernetes: a ServiceAccount)."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Reserved:
    """Requests that only some may send.

    A target with a proxy that reads requests enforces it there; the program's own authorization decides on
    every target. paths: exact, or with a last part `*` for everything below.
    senders: names of workloads, which call the port as well, and accounts outside the stack.
    """

    methods: tuple[str, ...]
    paths: tuple[str, ...]
    senders: tuple[str | Account, ...] = ()


@dataclass(frozen=True)
class Databases:
    """What a Postgres server holds, for targets that have an operator to run such servers.

    owners: the password of each database's owner, a role of the same name that may use no other.
    parameters: the server's own settings.
    """

    owners: Mapping[str, Secret]
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Outside:
    """A server outside the stack: a host name or an IPv4 network (CIDR, RFC 4632), and a TCP port.

    A target opens the way as narrowly as it can. Docker opens all of the outside to a workload that has any, and what
    listens on the machine itself to every workload that has a network. A
    NetworkPolicy of Kubernetes knows no host names, so a name opens its port to every address.
    """

    host: str
    port: int


@dataclass(frozen=True)
class Identity:
    """Who a program is to a cloud, for targets that stand in one and tell it of their accounts.

    notes: what is said of the program's account (Kubernetes: annotations); marks: of its copies (labels of pods).
    """

    notes: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """Runs for ever, and serves.

    replicas: copies side by side. max_replicas: under load the target may add copies up to this; None: it never does.
    scale_at_percent: the average CPU use of the copies, in percent of what the target promises each of them, above
        which it adds one. More than 100 where little is promised of what may be used.
    wait_seconds: how long a first start may take before `up` gives up on it.
    """

    probe: Probe
    replicas: int = 1
    max_replicas: int | None = None
    scale_at_percent: int = 100
    wait_seconds: int = 300


@dataclass(frozen=True)
class OnDemand:
    """Exists, and runs when somebody asks for it.

    timeout_seconds: a run that takes longer is ended, and has failed.
    at_change: nobody has to ask. It runs once each time that what it is made of is another: image, arguments,
        variables, files or secrets. A run that fails is tried again a few times within that time, but for one that
        exits with `FINAL`. Only a target that knows what it ran before can tell; the others refuse it.
    """

    timeout_seconds: int
    at_change: bool = False


@dataclass(frozen=True)
class Scheduled:
    """Runs at set times, one run at a time; a time that comes while a run lasts is passed over.

    cron: five fields in UTC (POSIX crontab; Kubernetes, "CronJob"), as `platforms.schedule.parse` takes them.
    timeout_seconds: a run that takes longer is ended, and has failed.
    """

    cron: str
    timeout_seconds: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One program of the stack.

    name: DNS label; other workloads reach it as `name:port` on every platform.
    runs: for ever, on demand, at changes, or at set times.
    program: what its image starts, for a target that has to prepare something in the container first.
    outside: every server outside the stack that it connects to. Nothing else out there is open to it where the target
        can tell.
    authorities: files with the certificate of the CA that a target made for another workload's server: by path, the
        name of that workload.
    databases: set for a Postgres server, which a target may run in a way of its own.
    uid: the non-root user it runs as; its volumes belong to the group of the same number.
    readings: volumes of other workloads, for reading.
    writable: paths that need a memory-backed scratch directory; the root file system is read-only.
    scratch: the same on disk.
    identity: set where it asks services of a cloud in its own name.
    stop_seconds: how long it may take to end once it is asked to, before it is killed.
    """

    name: str
    image: str
    uid: int
    resources: Resources
    runs: Service | OnDemand | Scheduled
    program: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, SecretText] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    readings: tuple[Reading, ...] = ()
    writable: tuple[str, ...] = ("/tmp",)
    scratch: tuple[Scratch, ...] = ()
    outside: tuple[Outside, ...] = ()
    reserved: Reserved | None = None
    authorities: Mapping[str, str] = field(default_factory=dict)
    databases: Databases | None = None
    identity: Identity | None = None
    stop_seconds: int = 30

    @property
    def service(self) -> Service:
        """The way it serves. Raises TypeError for one that does not run for ever."""
        if not isinstance(self.runs, Service):
            raise TypeError(f"{self.name} does not run for ever")
        return self.runs

    @property
    def at_change(self) -> bool:
        """Whether it runs each time that what it is made of is another."""
        return isinstance(self.runs, OnDemand) and self.runs.at_change

    @property
    def callers(self) -> tuple[str, ...]:
        """The workloads that may connect to any of its ports."""
        return tuple(dict.fromkeys(name for port in self.ports for name in port.callers))

    @property
    def entrances(self) -> tuple[tuple[Port, Entrance], ...]:
        """The ports that people come in by."""
        return tuple((port, port.entrance) for port in self.ports if port.entrance is not None)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every distinct secret the workload is given, in name order."""
        return tuple(sorted({s for text in self.secret_env.values() for s in text.secrets}, key=lambda s: s.name))

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What the target has to keep for it already."""
        return tuple(dict.fromkeys(secret.kept for secret in self.secrets if secret.kept))
