"""What the doctor reads from a Docker engine's own words."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from platforms.docker import daemon, running
from platforms.docker.daemon import DockerError
from platforms.docker.running import DockerRunning
from platforms.labels import LABEL_COMPONENT


def container(name: str = "x-redis", status: str = "running", **more: Any) -> dict[str, Any]:
    state = {"Status": status, "OOMKilled": False, "ExitCode": 0, **more.pop("state", {})}
    return {
        "Name": f"/{name}",
        "Image": "sha256:1",
        "State": state,
        "RestartCount": more.pop("restarts", 0),
        "Config": {"Image": "mlflow-sso/redis:1", "Labels": {LABEL_COMPONENT: "redis"}, "Cmd": ["--x"], "Env": [
            "PATH=/bin", "REDIS_PASSWORD=pw", "affinity:container==abc",
        ]},
        "HostConfig": {
            "NetworkMode": "x", "Memory": 64 << 20, "PortBindings": {"5000/tcp": [{"HostIp": "", "HostPort": "80"}]},
            **more,
        },
    }  # fmt: skip


def engine(monkeypatch: pytest.MonkeyPatch, *found: dict[str, Any]) -> DockerRunning:
    def docker(*args: str, timeout: float = 60) -> str:
        if args[0] == "ps":
            return "\n".join(str(i) for i in range(len(found)))
        if args[:3] == ("inspect", "--type", "image"):
            return json.dumps([{"Config": {"Env": ["PATH=/bin"]}}])
        return json.dumps(found)

    monkeypatch.setattr(running, "docker", docker)
    monkeypatch.setattr(daemon, "docker", docker)
    monkeypatch.setattr(running, "last_lines", lambda name, count: "first\nlast words")
    return DockerRunning()


def test_a_container_is_read_without_what_its_image_and_compose_add(monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = engine(monkeypatch, container()).instances("p", "x")
    assert (found.name, found.component, found.running, found.image) == ("x-redis", "redis", True, "mlflow-sso/redis:1")
    assert found.env == {"REDIS_PASSWORD": "pw"}
    assert (found.args, found.ports, found.memory_mib) == (("--x",), frozenset({(5000, 80)}), 64)
    assert "pw" not in repr(found)


@pytest.mark.parametrize(
    ("bound", "held", "ports"),
    [
        # The engine chose one of a range, or any.
        (
            [{"HostIp": "", "HostPort": "8000-8010"}],
            [{"HostIp": "0.0.0.0", "HostPort": "8003"}],
            frozenset({(5000, 8003)}),
        ),
        ([{"HostIp": "", "HostPort": ""}], [{"HostIp": "0.0.0.0", "HostPort": "32768"}], frozenset({(5000, 32768)})),
        # It does not run.
        ([{"HostIp": "", "HostPort": "8000-8010"}], None, frozenset()),
        ([{"HostIp": "", "HostPort": ""}], None, frozenset()),
        (
            [{"HostIp": "", "HostPort": "80"}, {"HostIp": "", "HostPort": "81"}],
            None,
            frozenset({(5000, 80), (5000, 81)}),
        ),
        (None, None, frozenset()),
    ],
)
def test_ports_are_read_however_the_engine_was_told_them(
    bound: list[dict[str, str]] | None,
    held: list[dict[str, str]] | None,
    ports: frozenset[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = container(PortBindings={"5000/tcp": bound})
    found["NetworkSettings"] = {"Ports": {"5000/tcp": held} if held else {}}
    [instance] = engine(monkeypatch, found).instances("p", "x")
    assert instance.ports == ports


def test_a_carrier_of_files_is_no_part_that_should_run(monkeypatch: pytest.MonkeyPatch) -> None:
    carrier = container("x-mlflow-tls-carrier", "created", NetworkMode="none")
    target = engine(monkeypatch, carrier, container())
    assert [i.name for i in target.instances("p", "x")] == ["x-redis"]
    assert target.troubles("p", "x") == []


@pytest.mark.parametrize(
    ("found", "kind", "fix"),
    [
        (container(status="exited", state={"ExitCode": 137}), "container-not-running", "docker start x-redis"),
        (container(status="exited", state={"ExitCode": 1}), "container-not-running", "docker start x-redis"),
        (container(status="paused"), "container-not-running", "docker unpause x-redis"),
        (container(status="restarting", restarts=7), "container-restarting", ""),
        (container(restarts=3), "container-restarting", ""),
        (container(status="exited", state={"OOMKilled": True}), "container-out-of-memory", ""),
        (
            container(state={"Health": {"Status": "unhealthy", "FailingStreak": 4, "Log": [{"Output": "no\n"}]}}),
            "container-unhealthy",
            "docker restart x-redis",
        ),
    ],
)
def test_each_kind_of_trouble_is_named(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], kind: str, fix: str
) -> None:
    [trouble] = engine(monkeypatch, found).troubles("p", "x")
    assert (trouble.kind, trouble.fix) == (kind, fix)
    assert trouble.evidence.startswith("x-redis: ")
    assert trouble.cause


def test_a_container_that_starts_or_serves_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = [container(state={"Health": {"Status": status}}) for status in ("starting", "healthy")]
    assert engine(monkeypatch, *fine).troubles("p", "x") == []


def test_a_secret_is_handed_over_without_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    target = engine(monkeypatch, container())
    [found] = target.instances("p", "x")
    seen: dict[str, Any] = {}

    def run(command: tuple[str, ...], **more: Any) -> Any:
        seen.update(command=command, env=more["env"])
        return type("Done", (), {"returncode": 0, "stdout": "out", "stderr": " e "})

    monkeypatch.setattr(subprocess, "run", run)
    answer = target.execute(found, ("psql",), {"PGPASSWORD": "hunter2"})
    assert (answer.code, answer.out, answer.error) == (0, "out", "e")
    assert seen["command"] == ("docker", "exec", "-e", "PGPASSWORD", "x-redis", "psql")
    assert seen["env"]["PGPASSWORD"] == "hunter2"


def test_an_image_that_is_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    target = engine(monkeypatch, container())
    good = vars(running)["docker"]

    def docker(*args: str, timeout: float = 60) -> str:
        if args[:3] == ("inspect", "--type", "image"):
            raise DockerError("no such image")
        return str(good(*args))

    monkeypatch.setattr(running, "docker", docker)
    assert target.instances("p", "x")[0].env == {"PATH": "/bin", "REDIS_PASSWORD": "pw"}
