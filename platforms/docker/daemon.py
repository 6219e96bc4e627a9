"""What is asked of a Docker engine outside Pulumi: is it fit, what does it run, why did it fail.

Everything goes through the `docker` command, which finds the engine as its user has set it up
(context, DOCKER_HOST, TLS) on every machine.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from platforms.docker.plan import DockerPlan
from platforms.labels import LABEL_PROJECT, LABEL_PROTECTED, LABEL_STACK
from platforms.ports import is_free
from platforms.processes import ProcessError, run
from platforms.threads import side_by_side
from platforms.workload import ExecCheck, Workload
from problems import Problem

# How long a container is left unasked while its published port gives no answer; the engine may be a remote one.
UNASKED_SECONDS = 6.0
# How long an engine is waited for before it counts as one that does not answer.
ANSWER_SECONDS = 20
MINIMUM_VERSION = (20, 10)
# The stack's volumes start at about 200 MiB; less than this ends in a full disk within the first hour.
MINIMUM_FREE_BYTES = 1 << 30


class DockerError(Exception):
    """A docker command failed; the text is its last line of error output."""


def docker(*args: str, timeout: float = 60) -> str:
    """Run `docker ARGS` and return its output. Raises DockerError."""
    try:
        return run("docker", *args, timeout=timeout).checked()
    except ProcessError as error:
        raise DockerError(str(error)) from None


@dataclass(frozen=True)
class Examined:
    """What was found of an engine before a stack is brought up on it.

    problems: why it cannot run the workloads now. healthy: the ids of the stack's containers that run there already,
    and whose own checks passed when last asked.
    """

    problems: list[Problem]
    healthy: frozenset[str] = frozenset()


def examine(plan: DockerPlan, bind_address: str, *, images: bool = True) -> Examined:
    """Whether this engine can run these workloads now: its version, ports, disk and, unless told not to, images."""
    # Side by side: the command takes longer to start than the engine to answer.
    with side_by_side() as pool:
        told = pool.submit(docker, "info", "--format", "{{json .}}", timeout=ANSWER_SECONDS)
        lacking = pool.submit(_images, plan if images else None)
        running = pool.submit(containers, plan.project, plan.stack, stopped=False)
    try:
        info = json.loads(told.result())
    except DockerError as error:
        expected = f"expected one that answers ({error}); start it, or run `make engine`"
        return Examined([Problem("docker engine", "", expected)])
    if info.get("ServerErrors"):
        reason = info["ServerErrors"][0]
        return Examined([Problem("docker engine", "", f"expected one that answers ({reason}); run `make engine`")])
    problems: list[Problem] = []
    version = str(info.get("ServerVersion", "0"))
    if _numbers(version) < MINIMUM_VERSION:
        problems.append(Problem("docker engine", version, "expected 20.10 or later"))
    problems += _disk(str(info.get("DockerRootDir", "")))
    problems += lacking.result()
    held = {host for container in running.result() for _, host in host_ports(container)}
    problems += _ports(plan, bind_address, held)
    return Examined(problems, frozenset(str(c["Id"]) for c in running.result() if is_healthy(c)))


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+", maxsplit=1)[0].split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)


def _disk(root: str) -> list[Problem]:
    # The engine may be remote; only a directory that is here can be measured.
    if not os.path.isdir(root):
        return []
    free = shutil.disk_usage(root).free
    if free >= MINIMUM_FREE_BYTES:
        return []
    return [Problem("disk of the docker engine", f"{free >> 20} MiB free in {root}", "expected at least 1024 MiB")]


def _images(plan: DockerPlan | None) -> list[Problem]:
    if plan is None:
        return []
    wanted = sorted({workload.image for workload in plan.workloads})
    have = set(docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", timeout=ANSWER_SECONDS).split())
    expected = f"not in the docker engine; run `make images STACK={plan.stack}`"
    return [Problem("image", name, expected) for name in wanted if name not in have]


def _ports(plan: DockerPlan, bind_address: str, held: set[int]) -> list[Problem]:
    problems = []
    for workload in plan.workloads:
        for _, entrance in workload.entrances:
            if entrance.host_port not in held and not is_free(bind_address, entrance.host_port):
                problems.append(
                    Problem(
                        f"port of {workload.name}",
                        str(entrance.host_port),
                        f"in use on {bind_address}; expected a free one",
                    )
                )
    return problems


def of_stack(project: str, stack: str) -> tuple[str, ...]:
    """The words that narrow a listing of containers, networks or volumes to those of one stack."""
    return ("--filter", f"label={LABEL_PROJECT}={project}", "--filter", f"label={LABEL_STACK}={stack}")


def protected(project: str, stack: str) -> dict[str, bool]:
    """Whether each volume of the stack is labelled as protected, by its name. Raises DockerError."""
    row = f'{{{{.Name}}}}\t{{{{.Label "{LABEL_PROTECTED}"}}}}'
    listed = docker("volume", "ls", *of_stack(project, stack), "--format", row, timeout=ANSWER_SECONDS)
    rows = (line.partition("\t") for line in listed.splitlines())
    return {name: label == "true" for name, _, label in rows}


def containers(project: str, stack: str, *, stopped: bool = True) -> list[dict[str, Any]]:
    """The stack's containers as `docker inspect` describes them; with those that do not run, unless told not to.

    `docker ps` writes for people: neighbouring ports in one range, the state and its age in one text.
    Raises DockerError.
    """
    which = ("-aq",) if stopped else ("-q",)
    ids = docker("ps", *which, "--no-trunc", *of_stack(project, stack), timeout=ANSWER_SECONDS).split()
    return list(json.loads(docker("inspect", "--type", "container", *ids))) if ids else []


def host_ports(container: Mapping[str, Any]) -> frozenset[tuple[int, int]]:
    """The pairs of a container's port and the host's, by what `docker inspect` tells of it.

    Those that the engine has bound, or that it will bind when the container starts. A port that the engine is left to
    choose, from all or from a range, has none until then.
    """
    bound = container.get("NetworkSettings", {}).get("Ports") or container["HostConfig"].get("PortBindings") or {}
    return frozenset(
        (int(inside.partition("/")[0]), int(end["HostPort"]))
        for inside, ends in bound.items()
        for end in ends or ()
        if str(end.get("HostPort", "")).isdigit()
    )


def is_healthy(container: Mapping[str, Any]) -> bool:
    """Whether a container runs, and its own check passed when the engine last asked it."""
    state = container["State"]
    return bool(state["Status"] == "running" and (state.get("Health") or {}).get("Status") == "healthy")


@dataclass(frozen=True)
class State:
    """A container's state as the engine tells it. healthy: it runs, and its own check passed when last asked."""

    status: str
    exit_code: int
    restarts: int
    healthy: bool = False


def state(container: str) -> State | None:
    """The state of a container, or None when there is none of that name."""
    try:
        found: dict[str, Any] = json.loads(docker("inspect", "--type", "container", container))[0]
    except DockerError:
        return None
    told = found["State"]
    return State(told["Status"], int(told["ExitCode"]), int(found["RestartCount"]), is_healthy(found))


def last_lines(container: str, count: int = 15) -> str:
    """The last lines that a container's program wrote; none where they cannot be had."""
    command = ("docker", "logs", "--tail", str(count), container)
    try:
        return run(*command, timeout=ANSWER_SECONDS, merged=True).output.rstrip()
    except ProcessError:
        return ""


def wait_ready(
    workload: Workload,
    container: str,
    progress: Callable[[str], None],
    *,
    address: str = "127.0.0.1",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask the container's own check until it passes.

    Docker's health status is made only every interval, so it comes seconds late; this asks twice a second (once where
    nobody but the stack's own programs waits), unless that status is there already. A command in a container costs the
    processor time that its program needs to start, so a published port that gives no answer yet saves most of them.
    address: the host address that its ports are published on.
    Raises DockerError with the container's last lines when it gives up.
    """
    found = state(container)
    if found is not None and found.healthy:
        return
    start = clock()
    told, asked = start, start - UNASKED_SECONDS
    while True:
        if clock() - asked < UNASKED_SECONDS and not _answers(workload, _reached(address)):
            sleep(0.1)
            continue
        asked = clock()
        if _passes(workload.service.probe.local, container):
            return
        waited = clock() - start
        now = state(container)
        gave_up = now is not None and (now.restarts >= 3 or now.status in ("exited", "dead"))
        if now is None or gave_up or waited > workload.service.wait_seconds:
            shown = now.status if now else "gone"
            code = f", last exit code {now.exit_code}" if now and now.exit_code else ""
            raise DockerError(
                f"{workload.name} is not ready after {waited:.0f} s: container {container} is {shown}{code}.\n"
                f"Its last lines:\n{last_lines(container)}\n"
                f"Next: docker logs {container}; when the cause is mended, run the same command again."
            )
        if clock() - told >= 5:
            told = clock()
            progress(f"not ready yet ({now.status}, {waited:.0f} s of at most {workload.service.wait_seconds} s)")
        sleep(0.5 if workload.entrances else 1)


def _reached(address: str) -> str:
    """Where something that is bound to an address is reached from this machine: at loopback for every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def _answers(workload: Workload, address: str) -> bool:
    """Whether the workload may be ready: what a published port says, or yes where there is none to ask.

    The engine accepts connections before the program does, so an answer counts, and no connection; and not the
    answer that it cannot serve yet (503: RFC 9110, section 15.6.4), which Keycloak gives while it makes its realm.
    """
    http = workload.service.probe.http
    path = http.path if http else "/"
    for _, entrance in workload.entrances:
        try:
            with socket.create_connection((address, entrance.host_port), timeout=0.5) as connection:
                connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                # "HTTP/1.1 503": enough to tell. TLS answers plain HTTP with something else.
                answer = connection.recv(12)
                if answer and not answer.endswith(b" 503"):
                    return True
        except OSError:
            continue
    return not workload.entrances


def _passes(check: ExecCheck, container: str) -> bool:
    try:
        docker("exec", container, *check.command, timeout=10)
    except DockerError:
        return False
    return True
