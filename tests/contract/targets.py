"""Each place a stack can run on, seen in one way: what it made of every workload.

A target that is added here is held to the whole contract.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from components.importing import importing_workloads
from components.stack import stack_spec
from platforms.docker import compose, jobs
from platforms.docker.plan import DockerPlan
from platforms.labels import LABEL_RUNS
from platforms.secrets import Secret
from platforms.workload import Workload
from settings import PROJECT, Settings
from tests.contract import kubernetes_target
from tests.contract.engine import GENERATED, run

# What a container has against the others unless it is told otherwise (`docker run --help`, --cpu-shares).
DOCKERS_SHARES = 1024


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a target made of one workload, in terms that every target has.

    env: every variable with its final value. volumes: path -> physical name, of what holds data.
    sizes_gib: by path, what is asked for where there are quotas. files: path -> content. probe: the words of its check,
    none where nobody asks.
    cpu_share: what counts against others while cores are short, 1.0 for one core. cpu_limit: in cores, if there is one.
    stop_seconds: how long it has to end. reached_by: the workloads that can open a connection to it.
    names: every physical name it is known by on the target, with those of its volumes and networks.
    """

    image: str
    env: Mapping[str, str]
    args: tuple[str, ...]
    volumes: Mapping[str, str]
    sizes_gib: Mapping[str, int]
    files: Mapping[str, str]
    probe: tuple[str, ...]
    memory_mib: int
    cpu_share: float
    cpu_limit: float | None
    stop_seconds: int
    uid: int
    gid: int
    read_only: bool
    writable: frozenset[str]
    dropped: tuple[str, ...]
    added: tuple[str, ...]
    privilege_kept: bool
    reached_by: frozenset[str]
    names: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class OnDocker(Made):
    """What is Docker's own. published: (host address, host port, container port)."""

    published: frozenset[tuple[str, int, int]]
    probe_seconds: tuple[int, int, int] | None
    swap_mib: int
    restart: str
    logs_bounded: bool
    networks: frozenset[str]
    internal: frozenset[str]
    aliases: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str]


def with_reach(made: Mapping[str, OnDocker]) -> Mapping[str, OnDocker]:
    """On Docker two containers reach each other when they share a network."""
    return {
        name: replace(
            one,
            reached_by=frozenset(n for n, other in made.items() if n != name and other.networks & one.networks),
            names=one.names | set(one.volumes.values()) | one.networks,
        )
        for name, one in made.items()
    }


@dataclass(frozen=True)
class Target:
    """A place to run a stack: which workloads it is given, and what it makes of them."""

    workloads: Callable[[Settings, str], tuple[Workload, ...]]
    deploy: Callable[[Settings, str], Mapping[str, Made]]


def secret_value(secret: Secret) -> str:
    """The value a secret has in these tests."""
    return f"{GENERATED}-{secret.name}" if secret.value is None else secret.value


def _seconds(text: str) -> int:
    """A duration in Go's spelling, such as 1m30s."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(\d+)s", text)
    assert found, text
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _probe_seconds(health: Mapping[str, str] | None, start: str) -> tuple[int, int, int] | None:
    """How often a check comes, how long it may take, and how long a start may. start: the last one's key."""
    if health is None:
        return None
    return _seconds(health["interval"]), _seconds(health["timeout"]), _seconds(health[start])


def _docker(settings: Settings, stack: str) -> Mapping[str, OnDocker]:
    """Containers as pulumi-docker is asked for them."""
    done = run(settings, stack)
    networks = {r.inputs["name"]: r.inputs["internal"] for r in done.of_type("docker:index/network:Network").values()}
    containers = {name: c.inputs for name, c in done.of_type("docker:index/container:Container").items()}
    # A container that never starts carries files into a volume, which its workload mounts for reading.
    carried = {c["volumes"][0]["volumeName"]: c["uploads"] for c in containers.values() if "uploads" in c}
    made: dict[str, OnDocker] = {}
    for name, given in containers.items():
        if "uploads" in given:
            assert given["start"] is False
            assert given["networkMode"] == "none"
            assert not given.get("envs")
            continue
        mounts = [mount for mount in given.get("volumes", ()) if "volumeName" in mount]
        joined = {network["name"]: network for network in given.get("networksAdvanced", ())}
        health = given.get("healthcheck")
        labels = {label["label"]: label["value"] for label in given["labels"]}
        uid, gid = given["user"].split(":")
        made[name] = OnDocker(
            image=given["image"],
            env=dict(line.split("=", 1) for line in given["envs"]),
            args=jobs.arguments(given.get("command", ()), labels.get(LABEL_RUNS, "")),
            published=frozenset((p["ip"], p["external"], p["internal"]) for p in given.get("ports", ())),
            volumes={m["containerPath"]: m["volumeName"] for m in mounts if not m.get("readOnly")},
            sizes_gib={},
            files={
                upload["file"]: upload["content"]
                for mount in mounts
                for upload in carried.get(mount["volumeName"], ())
                if upload["file"].startswith(mount["containerPath"] + "/")
            },
            probe=tuple(health["tests"]) if health else (),
            probe_seconds=_probe_seconds(health, "startPeriod"),
            memory_mib=given["memory"],
            cpu_share=given["cpuShares"] / DOCKERS_SHARES,
            cpu_limit=given.get("cpus"),
            stop_seconds=min(int(given["stopTimeout"]), int(given["destroyGraceSeconds"])),
            swap_mib=given["memorySwap"] - given["memory"],
            uid=int(uid),
            gid=int(gid),
            read_only=given["readOnly"],
            writable=frozenset(given["tmpfs"]),
            dropped=tuple(given["capabilities"]["drops"]),
            added=tuple(given["capabilities"].get("adds", ())),
            privilege_kept="no-new-privileges:true" not in given["securityOpts"] or bool(given.get("privileged")),
            restart=given["restart"],
            logs_bounded={"max-size", "max-file"} <= set(given["logOpts"]),
            networks=frozenset(joined),
            internal=frozenset(network for network in joined if networks[network]),
            aliases={network: tuple(one.get("aliases", ())) for network, one in joined.items()},
            labels=labels,
            reached_by=frozenset(),
            names=frozenset({given["name"]}),
        )
    return with_reach(made)


def compose_document(
    settings: Settings, stack: str, kept: str = ""
) -> tuple[dict[str, Any], Mapping[str, str], compose.Rendered]:
    """The rendered document, the lines of its env file, and what was rendered.

    kept: the realm that was imported, where the stack was there before; its volumes have no label then.
    """
    spec = stack_spec(settings)
    plan = DockerPlan(PROJECT, stack, importing_workloads(spec, kept, imported=True))
    plan = plan.as_marked(lambda _, wanted: wanted and not kept)
    rendered = compose.render(plan, settings.docker.bind_address)
    values = compose.env_values(spec.secrets, {s.name: secret_value(s) for s in spec.secrets}, plan.workloads)
    return dict(yaml.safe_load(rendered.compose)), values, rendered


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """What Compose makes of a value (Compose specification, "Interpolation")."""
    return re.sub(r"\$(?:\$|\{(\w+)\})", lambda found: "$" if found[0] == "$$" else values[found[1]], text)


def _compose(settings: Settings, stack: str) -> Mapping[str, OnDocker]:
    """Services as the rendered Compose file describes them."""
    document, values, rendered = compose_document(settings, stack)
    made: dict[str, OnDocker] = {}
    for name, service in document["services"].items():
        mounts = [mount.split(":") for mount in service.get("volumes", ())]
        uid, gid = service["user"].split(":")
        health = service.get("healthcheck")
        joined = {document["networks"][n]["name"]: options for n, options in service.get("networks", {}).items()}
        told = [interpolate(word, values) for word in service.get("command", ())]
        made[name] = OnDocker(
            image=service["image"],
            env={key: interpolate(value, values) for key, value in service.get("environment", {}).items()},
            args=jobs.arguments(told, service["labels"].get(LABEL_RUNS, "")),
            published=frozenset(
                (address, int(host), int(inside))
                for address, host, inside in (port.rsplit(":", 2) for port in service.get("ports", ()))
            ),
            volumes={
                mount[1]: document["volumes"][mount[0]]["name"]
                for mount in mounts
                if not mount[0].startswith("./") and len(mount) == 2
            },
            sizes_gib={},
            files={
                mount[1]: rendered.files[mount[0].removeprefix("./")]
                for mount in mounts
                if mount[0].startswith("./") and mount[2:] == ["ro"]
            },
            probe=tuple(interpolate(word, values) for word in health["test"]) if health else (),
            probe_seconds=_probe_seconds(health, "start_period"),
            memory_mib=int(service["mem_limit"].removesuffix("m")),
            cpu_share=service["cpu_shares"] / DOCKERS_SHARES,
            cpu_limit=service.get("cpus"),
            stop_seconds=_seconds(service["stop_grace_period"]),
            swap_mib=int(service["memswap_limit"].removesuffix("m")) - int(service["mem_limit"].removesuffix("m")),
            uid=int(uid),
            gid=int(gid),
            read_only=service["read_only"],
            writable=frozenset(mount.split(":")[0] for mount in service.get("tmpfs", ())),
            dropped=tuple(service["cap_drop"]),
            added=tuple(service.get("cap_add", ())),
            privilege_kept="no-new-privileges:true" not in service["security_opt"] or bool(service.get("privileged")),
            restart=service["restart"],
            logs_bounded={"max-size", "max-file"} <= set(service["logging"]["options"]),
            networks=frozenset(joined),
            internal=frozenset(n["name"] for n in document["networks"].values() if n["internal"]) & frozenset(joined),
            aliases={network: tuple(options.get("aliases", ())) for network, options in joined.items()},
            labels=service["labels"],
            reached_by=frozenset(),
            names=frozenset({service["container_name"]}),
        )
    return with_reach(made)


def _kubernetes(settings: Settings, stack: str) -> Mapping[str, Made]:
    """Pods as the rendered objects describe them."""
    return {name: Made(**facts) for name, facts in kubernetes_target.facts(settings, stack).items()}


TARGETS: Mapping[str, Target] = {
    "docker": Target(lambda settings, _: stack_spec(settings).workloads, _docker),
    "compose": Target(lambda settings, _: importing_workloads(stack_spec(settings)), _compose),
    "kubernetes": Target(lambda settings, _: importing_workloads(stack_spec(settings)), _kubernetes),
}
