"""Workloads that use every word of the seam, those that no component needs yet too, and each target's way with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi
import yaml

from components.program import Component
from platforms.docker.compose import render as compose
from platforms.docker.plan import DockerPlan
from platforms.docker.site import DockerPlatform
from platforms.rules import check_workloads
from platforms.secrets import Secret, SecretText
from platforms.site import ONLY, Secrets
from platforms.workload import (
    Account,
    Entrance,
    ExecCheck,
    HttpCheck,
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
from tests.contract.engine import Run, run_program

STACK = "test"
SMALL = Resources(memory_mib=64, cpus=0.5)
TOKEN = Secret("sweep-token")
# People come to it and the client calls it; Prometheus reads one port, and a collector alone may send what is reserved.
ECHO = Workload(
    name="echo",
    image="example/echo:1",
    uid=61001,
    resources=SMALL,
    runs=Service(Probe(ExecCheck(("true",)), http=HttpCheck(9000, "/ready"))),
    ports=(
        Port("http", 8080, Protocol.HTTP, ("client",), Entrance("http://localhost:18080", 18080)),
        Port("admin", 9000, Protocol.HTTP),
        Port("metrics", 9100, Protocol.HTTP, metrics="/metrics"),
    ),
    volumes=(Volume("data", "/data", size_gib=1, shared=True, protected=True),),
    reserved=Reserved(("POST",), ("/intake",), senders=("client", Account("tracing", "collector"))),
)
CLIENT = Workload(
    name="client",
    image="example/client:1",
    uid=61002,
    resources=SMALL,
    runs=Service(Probe(ExecCheck(("true",)))),
    outside=(Outside("10.1.0.0/16", 636), Outside("mail.example.com", 587)),
    scratch=(Scratch("/scratch", 2048),),
)
# Every night, with what the echo server keeps, out to one server.
SWEEP = Workload(
    name="sweep",
    image="example/sweep:1",
    uid=61003,
    resources=SMALL,
    runs=Scheduled("30 3 * * 1-5", timeout_seconds=600),
    args=("sweep", "--all", "$5"),
    secret_env={"TOKEN": SecretText.of(TOKEN)},
    readings=(Reading("echo", "data", "/echo"),),
    outside=(Outside("192.0.2.7", 443),),
    stop_seconds=20,
)
RESTORE = replace(SWEEP, name="restore", runs=OnDemand(timeout_seconds=3600), readings=(), outside=())
# Once for each form of it, where a target can tell; the others refuse it, so it is in no stack for all of them.
ADAPT = replace(RESTORE, name="adapt", runs=OnDemand(timeout_seconds=900, at_change=True))
WORKLOADS = (ECHO, CLIENT, SWEEP, RESTORE)
assert check_workloads(WORKLOADS) == []


def on_docker(workloads: Sequence[Workload] = WORKLOADS) -> Run:
    """What the Pulumi engine is asked for."""

    def program() -> Mapping[str, pulumi.Input[object]]:
        checked = DockerPlatform(PROJECT, STACK, "127.0.0.1").check(workloads)
        assert checked.problems == []
        site, secrets = checked.prepare(ONLY), Secrets("secrets", ONLY)
        return {w.name: Component(w, site, secrets, ONLY).ready for w in workloads}

    return run_program(program, STACK)


def in_compose(workloads: Sequence[Workload] = WORKLOADS) -> dict[str, Any]:
    """The Compose file."""
    document = yaml.safe_load(compose(DockerPlan(PROJECT, STACK, tuple(workloads)), "127.0.0.1").compose)
    assert isinstance(document, dict)
    return document


DockerFacts = Mapping[str, Mapping[str, Any]]


def _engine_facts(workloads: Sequence[Workload]) -> DockerFacts:
    run = on_docker(workloads)
    containers = run.of_type("docker:index/container:Container")
    return {
        name: {
            "command": tuple(c.inputs.get("command", ())),
            "restart": c.inputs["restart"],
            "starts": c.inputs.get("start", True),
            "health": tuple(c.inputs.get("healthcheck", {}).get("tests", ())),
            "networks": frozenset(network["name"] for network in c.inputs.get("networksAdvanced", ())),
            "alone": c.inputs.get("networkMode") == "none",
            "groups": tuple(c.inputs.get("groupAdds", ())),
            "reads": frozenset((v["volumeName"], v["containerPath"]) for v in c.inputs["volumes"] if v.get("readOnly")),
            "scratch": frozenset(v["containerPath"] for v in c.inputs["volumes"] if "volumeName" not in v),
            "labels": {label["label"]: label["value"] for label in c.inputs["labels"]},
        }
        for name, c in containers.items()
    }


def _compose_facts(workloads: Sequence[Workload]) -> DockerFacts:
    document = in_compose(workloads)
    volumes = {key: volume["name"] for key, volume in document["volumes"].items()}
    facts = {}
    for name, service in document["services"].items():
        mounts = [mount.split(":") for mount in service.get("volumes", ())]
        facts[name] = {
            "command": tuple(word.replace("$$", "$") for word in service.get("command", ())),
            "restart": service["restart"],
            "starts": not service.get("profiles"),
            "health": tuple(word.replace("$$", "$") for word in service.get("healthcheck", {}).get("test", ())),
            "networks": frozenset(document["networks"][network]["name"] for network in service.get("networks", ())),
            "alone": service.get("network_mode") == "none",
            "groups": tuple(service.get("group_add", ())),
            "reads": frozenset((volumes[m[0]], m[1]) for m in mounts if m[2:] == ["ro"]),
            "scratch": frozenset(m[0] for m in mounts if len(m) == 1),
            "labels": service["labels"],
        }
    return facts


ON_DOCKER: Mapping[str, Callable[[Sequence[Workload]], DockerFacts]] = {
    "docker": _engine_facts,
    "compose": _compose_facts,
}
