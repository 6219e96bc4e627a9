"""Each word of the seam does something on each target, or is listed with the reason why not.

A stack that uses all of them is changed in one field at a time, and the targets are asked again. One that makes the
same of it as before does not honour the field. What is made of it is tested elsewhere; this tells where a test lacks.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from components.program import Component
from platforms.docker import compose
from platforms.docker.plan import DockerPlan
from platforms.docker.site import DockerPlatform
from platforms.kubernetes.objects.render import render
from platforms.kubernetes.plan import NAME_KEY, KubernetesPlan
from platforms.secrets import MIXTURE, Change, ExpressionQuoted, Kept, Secret, SecretText, UrlQuoted, Written
from platforms.site import ONLY, Secrets
from platforms.workload import (
    Account,
    Databases,
    Entrance,
    ExecCheck,
    File,
    HttpCheck,
    Identity,
    OnDemand,
    Outside,
    Port,
    Probe,
    Protocol,
    Reading,
    Reserved,
    Resources,
    Scheduled,
    Scratch,
    Service,
    Volume,
    Workload,
)
from settings import PROJECT
from settings.kubernetes import Kubernetes
from stackctl.state import SecretStore
from tests.contract.engine import run_program
from tests.contract.seam import CLIENT, ECHO, RESTORE, STACK, SWEEP
from tests.fakes import FakeDocker

Workloads = tuple[Workload, ...]
View = Callable[[Workloads], object]

OWNER = Secret("db-owner")
DB = Workload(
    name="db",
    image="example/db:17",
    uid=61004,
    resources=Resources(memory_mib=256, cpus=1.0),
    runs=Service(Probe(ExecCheck(("true",)))),
    ports=(Port("tcp", 5432, callers=("client",)),),
    volumes=(Volume("data", "/db"),),
    secret_env={"DB_PASSWORD": SecretText.of(OWNER)},
    databases=Databases({"app": OWNER}, {"max_connections": "100"}),
)
SERVER = replace(
    ECHO,
    volumes=(*ECHO.volumes, Volume("more", "/more")),
    args=("serve",),
    env={"A": "b"},
    files=(File("/etc/echo/echo.conf", "content"),),
    runs=Service(replace(ECHO.service.probe, live=HttpCheck(9000, "/live"))),
)
CALLER = replace(
    CLIENT,
    secret_env={"URL": SecretText.of("tcp://app:", UrlQuoted(OWNER), "@db/app")},
    authorities={"/etc/db-ca/ca.crt": "db"},
)
# Its password is in a Secret that is there already, a cloud knows it, and it gets more replicas under load: Docker has
# none of these.
KEEPER = replace(
    CLIENT,
    name="keeper",
    outside=(),
    scratch=(),
    program="/entrypoint",
    secret_env={"PASSWORD": SecretText.of(ExpressionQuoted(Secret("given", kept=Kept("there", "password"))))},
    identity=Identity({"cloud.example.com/account": "keeper"}, {"cloud.example.com/use": "true"}),
    runs=replace(CLIENT.service, max_replicas=2),
)
# Each word is used once at least.
ON_DOCKER: Workloads = (RESTORE, DB, SERVER, CALLER, SWEEP)
ON_KUBERNETES: Workloads = (*ON_DOCKER, KEEPER)

# Another value for every field. One that holds other words of the seam is changed through them as well.
OTHER: Mapping[type, Mapping[str, object]] = {
    Workload: {
        "name": "other", "image": "example/other:2", "uid": 61999, "resources": Resources(memory_mib=1, cpus=9),
        "runs": OnDemand(timeout_seconds=7), "program": "/other", "args": ("other",), "env": {"OTHER": "1"},
        "secret_env": {"OTHER": SecretText.of(OWNER)}, "files": (File("/etc/x/y", "z"),), "ports": (),
        "volumes": (), "readings": (), "writable": ("/other",),
        "scratch": (Scratch("/other", 1),), "outside": (Outside("192.0.2.99", 99),),
        "reserved": Reserved(("PUT",), ("/other",)), "authorities": {"/etc/other/ca.crt": "db"},
        "databases": None, "identity": Identity({"cloud.example.com/other": "1"}), "stop_seconds": 77,
    },
    Identity: {"notes": {"cloud.example.com/other": "1"}, "marks": {"cloud.example.com/other": "1"}},
    Resources: {"memory_mib": 77, "cpus": 7.0, "weight": 0.5},
    Service: {
        "probe": Probe(ExecCheck(("false",))), "replicas": 3, "max_replicas": 9, "scale_at_percent": 77,
        "wait_seconds": 777,
    },
    OnDemand: {"timeout_seconds": 77, "at_change": True},
    Scheduled: {"cron": "31 4 * * *", "timeout_seconds": 77},
    Probe: {
        "local": ExecCheck(("false",)), "http": None, "live": None, "interval_seconds": 77, "timeout_seconds": 7,
        "failures": 7, "start_seconds": 777,
    },
    ExecCheck: {"command": ("false",)},
    HttpCheck: {"port": 8080, "path": "/other", "tls": True},
    File: {"path": "/etc/echo/other.conf", "content": "other", "secret": True},
    Port: {
        "name": "other", "number": 8089, "protocol": Protocol.GRPC, "callers": ("client", "sweep"),
        "entrance": Entrance("http://localhost:18089", 18089), "metrics": "/other",
    },
    Entrance: {
        "url": "https://other.example.com", "host_port": 18089, "paths": ("/only",),
        "managed_url": "http://localhost:18089", "streams": True,
    },
    Volume: {"name": "other", "path": "/other", "size_gib": 77, "shared": True, "protected": True},
    Reading: {"workload": "db", "volume": "more", "path": "/other"},
    Scratch: {"path": "/other", "size_mib": 77},
    Outside: {"host": "192.0.2.99", "port": 99},
    Reserved: {"methods": ("PUT",), "paths": ("/other",), "senders": ("client",)},
    Account: {"namespace": "other", "name": "other"},
    Databases: {"owners": {"other": OWNER}, "parameters": {"max_connections": "7"}},
    SecretText: {"parts": ("other", Secret("other"))},
    Written: {"secret": Secret("other")},
    Secret: {
        "name": "other", "length": 77, "value": "other", "kept": Kept("other", "key"), "version": 2,
        "change": Change.ENDS_SESSIONS, "mixed": True,
    },
    Kept: {"name": "other", "key": "other"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def fit(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets that have nothing against any of these stacks, and answer at once."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    docker.images("example/echo:1", "example/client:1", "example/sweep:1", "example/db:17", "example/other:2")
    docker.publishes(18080, 18089)


def words(kind: object = Workload) -> Iterator[type]:
    """Every class of the seam that a workload is made of."""
    if isinstance(kind, type) and is_dataclass(kind):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from words(hint)
    for part in typing.get_args(kind):
        yield from words(part)


def objects(value: Any, kind: type) -> Iterator[Any]:
    """Every object of a class in a value."""
    if isinstance(value, kind):
        yield value
    if is_dataclass(value):
        for field in fields(value):
            yield from objects(getattr(value, field.name), kind)
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ():
        yield from objects(one, kind)


def changed(value: Any, old: Any, new: Any) -> Any:
    """The value with one object in it exchanged for another, wherever it stands."""
    if type(value) is type(old) and value == old:
        return new
    if is_dataclass(value):
        return replace(value, **{f.name: changed(getattr(value, f.name), old, new) for f in fields(value)})  # type: ignore[type-var]
    if isinstance(value, Mapping):
        return {key: changed(one, old, new) for key, one in value.items()}
    return tuple(changed(one, old, new) for one in value) if isinstance(value, tuple) else value


def values(workloads: Workloads) -> dict[str, str]:
    """Each secret as the store of a stack gives it: the operator's own, or one that was made, by what it is made of."""
    secrets = sorted({s for w in workloads for s in w.secrets if s.kept is None}, key=lambda s: s.name)
    with TemporaryDirectory() as folder:
        given = SecretStore(Path(folder) / "secrets.json").values(secrets)
    kinds = {name: "all" if set(MIXTURE.specials) & set(value) else "letters" for name, value in given.items()}
    return {
        s.name: f"{s.stored} of {len(given[s.name])} {kinds[s.name]}" if s.value is None else given[s.name]
        for s in secrets
    }


def on_docker(workloads: Workloads) -> object:
    checked = DockerPlatform(PROJECT, STACK, "127.0.0.1").check(workloads)
    if checked.problems:
        return [str(problem) for problem in checked.problems]

    def program() -> Mapping[str, Any]:
        site, secrets = checked.prepare(ONLY), Secrets("secrets", ONLY)
        return {w.name: Component(w, site, secrets, ONLY).ready for w in workloads}

    return run_program(program, STACK).resources


def in_compose(workloads: Workloads) -> object:
    plan = DockerPlan(PROJECT, STACK, workloads)
    if problems := plan.check():
        return [str(problem) for problem in problems]
    secrets = [s for w in workloads for s in w.secrets]
    return compose.render(plan, "127.0.0.1"), compose.env_values(secrets, values(workloads), workloads)


def on_kubernetes(workloads: Workloads, **options: Any) -> object:
    plan = KubernetesPlan(PROJECT, STACK, workloads, Kubernetes.model_validate(options))
    if problems := plan.check():
        return [str(problem) for problem in problems]
    return render(plan, {**values(workloads), NAME_KEY.name: "key"}, {}), plan.forwarded()


VIEWS: Mapping[str, tuple[View, ...]] = {
    "docker": (on_docker,),
    "compose": (in_compose,),
    # Some words count only where people come in by a Gateway, or where an operator runs the servers.
    "kubernetes": (
        on_kubernetes,
        partial(on_kubernetes, scrapers=["monitoring"], gateway={"name": "public", "namespace": "gateways"}),
        partial(on_kubernetes, cloudNativePg={"instances": 2}),
    ),
}
STACKS = {"docker": ON_DOCKER, "compose": ON_DOCKER, "kubernetes": ON_KUBERNETES}


@cache
def before(target: str) -> tuple[object, ...]:
    return tuple(view(STACKS[target]) for view in VIEWS[target])


DOCKER = ("docker", "compose")
_INSIDE = "the engine asks from inside, by Probe.local"
_NO_PROXY = "no proxy reads requests there; the program's own authorization decides"
_NO_QUOTA = "an engine of Docker has no quota for it"
_NO_OPERATOR = "no operator runs servers there; the image makes the databases by its variables"
_NO_CLOUD = "the engine has no accounts that a cloud could know"
_ALL_OPEN = "all of the outside is open to who has any of it (docs of Outside)"
# Fields of which a target makes nothing, and why that is right.
NOTHING: Mapping[tuple[type, str], tuple[tuple[str, ...], str]] = {
    (Port, "name"): (DOCKER, "ports have no names there"),
    (Entrance, "url"): (DOCKER, "nothing routes by host name there"),
    (Entrance, "paths"): (DOCKER, "nothing routes by path there"),
    (Entrance, "streams"): (DOCKER, "no proxy is put in front there"),
    (Entrance, "managed_url"): (DOCKER, "the published port is where the engine itself comes in, too"),
    (Probe, "http"): (DOCKER, _INSIDE),
    (Probe, "live"): (DOCKER, _INSIDE),
    **{(HttpCheck, field): (DOCKER, _INSIDE) for field in ("port", "path", "tls")},
    (Volume, "size_gib"): (DOCKER, _NO_QUOTA),
    (Volume, "shared"): (DOCKER, "one container alone mounts it: more replicas are refused"),
    (Scratch, "size_mib"): (DOCKER, _NO_QUOTA),
    (Service, "scale_at_percent"): (DOCKER, "more replicas than one are refused by name"),
    (Service, "wait_seconds"): (DOCKER, "no object holds it: `up` waits so long (tests/unit/test_docker_engine.py)"),
    **{(Outside, field): (DOCKER, _ALL_OPEN) for field in ("host", "port")},
    (Workload, "reserved"): (DOCKER, _NO_PROXY),
    **{(Reserved, field): (DOCKER, _NO_PROXY) for field in ("methods", "paths", "senders")},
    **{(Account, field): (DOCKER, "there are no accounts outside the stack") for field in ("namespace", "name")},
    (Workload, "program"): (DOCKER, "what an engine of Docker runs knows every secret before it starts"),
    (Workload, "databases"): (DOCKER, _NO_OPERATOR),
    (Workload, "authorities"): (DOCKER, _NO_OPERATOR),
    (Workload, "identity"): (DOCKER, _NO_CLOUD),
    **{(Identity, field): (DOCKER, _NO_CLOUD) for field in ("notes", "marks")},
    **{(Databases, field): (DOCKER, _NO_OPERATOR) for field in ("owners", "parameters")},
    **{(Kept, field): (DOCKER, "a secret that is kept elsewhere is refused by name") for field in ("name", "key")},
    (File, "secret"): (("compose",), "no plan is shown; all files are in a directory that its owner alone may open"),
    (Secret, "change"): (tuple(VIEWS), "no object holds it: it tells people what a new value costs"),
}
WORDS = sorted({(kind, field.name) for kind in words() for field in fields(kind)}, key=str)


def test_every_field_of_a_workload_is_under_contract() -> None:
    """A field that is added, to a workload or to anything in it, has another value to be tried with."""
    assert {(kind, field) for kind, row in OTHER.items() for field in row} == set(WORDS)


@pytest.mark.parametrize("target", VIEWS)
@pytest.mark.parametrize(("kind", "field"), WORDS, ids=[f"{kind.__name__}.{field}" for kind, field in WORDS])
def test_every_word_does_something(kind: type, field: str, target: str) -> None:
    other = OTHER[kind][field]
    ones = [one for one in objects(STACKS[target], kind) if getattr(one, field) != other]
    stacks = (changed(STACKS[target], one, replace(one, **{field: other})) for one in ones)
    does = any(tuple(view(stack) for view in VIEWS[target]) != before(target) for stack in stacks)
    targets, reason = NOTHING.get((kind, field), ((), ""))
    word = f"{kind.__name__}.{field}"
    if target in targets:
        assert not does, f"{target} makes something of {word} now, where NOTHING says: {reason}"
        return
    assert ones, f"the stack of all words has no {kind.__name__} whose {field} would be another"
    assert does, f"{target} makes the same of a stack with another {word}: nobody would get what is asked for"
