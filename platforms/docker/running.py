"""What a Docker engine runs of a stack, and what it says is wrong with it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from platforms.docker import jobs
from platforms.docker.daemon import DockerError, containers, docker, host_ports, last_lines
from platforms.inventory import InventoryError
from platforms.labels import LABEL_COMPONENT, LABEL_RUNS
from platforms.processes import NoAnswerError, ProcessError, run
from platforms.running import EXEC_SECONDS, Answer, Instance, Trouble
from platforms.workload import Workload

KILLED = 137


class DockerRunning:
    """Reads containers by the stack's labels."""

    def instances(self, project: str, stack: str) -> list[Instance]:
        containers = _containers(project, stack)
        images = {image: _image_env(image) for image in {str(c["Image"]) for c in containers}}
        return [_instance(container, images[str(container["Image"])]) for container in containers]

    def serving(self, project: str, stack: str, component: str) -> Instance | None:
        own = [instance for instance in self.instances(project, stack) if instance.component == component]
        return next((replace(instance, env={}) for instance in own if instance.running), None)

    def troubles(self, project: str, stack: str, defined: Sequence[Workload] = ()) -> list[Trouble]:
        return [trouble for container in _containers(project, stack) for trouble in _troubles(container)]

    def execute(
        self,
        instance: Instance,
        command: Sequence[str],
        secrets: Mapping[str, str] | None = None,
        seconds: int = EXEC_SECONDS,
    ) -> Answer:
        given = dict(secrets or {})
        # A bare -e NAME takes the value from this process, so that no command line shows it.
        names = [word for name in given for word in ("-e", name)]
        try:
            done = run(
                *("docker", "exec", *names, instance.name, *command),
                timeout=seconds, variables=given, hidden=given.values(),
            )  # fmt: skip
        except NoAnswerError:
            return Answer(124, "", f"no answer in {seconds} s")
        except ProcessError as error:
            raise InventoryError(str(error)) from None
        return Answer(done.code, done.output, done.errors.strip())

    def removal(self, instance: Instance) -> str:
        return f"docker rm --force {instance.name}"

    def restart(self, instance: Instance) -> str:
        return f"docker restart {instance.name}"

    def space(self, instance: Instance, path: str) -> str:
        # Containers share the disk of their engine.
        return "docker system df"

    def shell(self, instance: Instance, script: str) -> str:
        return f"docker exec -i {instance.name} bash -c {shlex.quote(script)}"


def _containers(project: str, stack: str) -> list[dict[str, Any]]:
    try:
        found = containers(project, stack)
    except DockerError as error:
        raise InventoryError(str(error)) from None
    return sorted((c for c in found if not _carries_files(c)), key=lambda c: str(c["Name"]))


def _carries_files(container: dict[str, Any]) -> bool:
    """Whether it is there only to bring files into a volume, and never starts (platforms.docker.site)."""
    state, host = container["State"], container["HostConfig"]
    job = container["Config"]["Labels"].get(LABEL_RUNS)
    return bool(not job and state["Status"] == "created" and host["NetworkMode"] == "none")


def _image_env(image: str) -> set[str]:
    try:
        return set(json.loads(docker("inspect", "--type", "image", image))[0]["Config"].get("Env") or ())
    except DockerError:
        # The image may be gone while its container still runs.
        return set()


def _instance(container: dict[str, Any], image_env: set[str]) -> Instance:
    config, host = container["Config"], container["HostConfig"]
    # Compose 1 notes there, for a scheduler of old, which container it has replaced.
    own = [e for e in config.get("Env") or () if e not in image_env and not e.startswith("affinity:")]
    return Instance(
        name=str(container["Name"]).lstrip("/"),
        component=str(config["Labels"].get(LABEL_COMPONENT, "")),
        running=container["State"]["Status"] == "running",
        image=str(config["Image"]),
        args=jobs.arguments(config.get("Cmd") or (), config["Labels"].get(LABEL_RUNS, "")),
        env=dict(entry.partition("=")[::2] for entry in own),
        ports=host_ports(container),
        memory_mib=int(host.get("Memory") or 0) >> 20,
    )


def _troubles(container: dict[str, Any]) -> Iterator[Trouble]:
    if container["Config"]["Labels"].get(LABEL_RUNS):
        yield from _failed_run(container)
        return
    name, state = str(container["Name"]).lstrip("/"), container["State"]
    status, code = state["Status"], state["ExitCode"]
    if state["OOMKilled"]:
        limit = int(container["HostConfig"].get("Memory") or 0) >> 20
        cause = f"a process in it needed more than its limit of {limit} MiB, and the kernel ended it"
        yield Trouble("container-out-of-memory", f"{name}: OOMKilled, status {status}, exit code {code}", cause)
    elif status == "restarting" or (status == "running" and container["RestartCount"] >= 3):
        last = _last(name)
        evidence = f"{name}: status {status}, {container['RestartCount']} restarts, last exit code {code}"
        yield Trouble("container-restarting", evidence, f"its program ends soon after each start; it last said: {last}")
    elif status == "paused":
        cause = "somebody paused it"
        yield Trouble("container-not-running", f"{name}: status {status}", cause, f"docker unpause {name}")
    elif status != "running":
        evidence = f"{name}: status {status}, exit code {code}"
        if code == KILLED:
            limit = int(container["HostConfig"].get("Memory") or 0) >> 20
            cause = f"somebody killed it, or the kernel at its limit of {limit} MiB (Docker does not always see it)"
        elif code in (0, 143):
            cause = "somebody stopped it, or its program ended by itself"
        else:
            cause = f"its program failed; it last said: {_last(name)}"
        yield Trouble("container-not-running", evidence, cause, f"docker start {name}")
    elif (state.get("Health") or {}).get("Status") == "unhealthy":
        log = state["Health"].get("Log") or [{}]
        said = " ".join(str(log[-1].get("Output", "")).split())[-200:]
        streak = state["Health"].get("FailingStreak")
        evidence = f"{name}: unhealthy, {streak} checks failed in a row{': ' + said if said else ''}"
        cause = f"its program runs and does not serve; it last said: {_last(name)}"
        yield Trouble("container-unhealthy", evidence, cause, f"docker restart {name}")


def _failed_run(container: dict[str, Any]) -> Iterator[Trouble]:
    """What is wrong with one that does not run for ever: its last run, or that it does not wait for the next."""
    name, state = str(container["Name"]).lstrip("/"), container["State"]
    status, code = state["Status"], state["ExitCode"]
    scheduled = container["Config"]["Labels"][LABEL_RUNS] == "scheduled"
    if scheduled and status != "running":
        cause = "what waits for the times of its schedule was stopped"
        evidence = f"{name}: status {status}, exit code {code}"
        yield Trouble("container-not-running", evidence, cause, f"docker start {name}")
    elif (state.get("Health") or {}).get("Status") == "unhealthy" or (status == "exited" and code != 0):
        evidence = f"{name}: its last run failed" + ("" if scheduled else f" with exit code {code}")
        yield Trouble("job-failed", evidence, f"it last said: {_last(name)}", f"docker logs {name}")


def _last(name: str) -> str:
    lines = last_lines(name, 5).splitlines()
    return lines[-1].strip()[-200:] if lines else "nothing"
