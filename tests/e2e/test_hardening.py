"""What runs is locked down, and no secret shows where somebody might look."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import DEFINED, WORKLOADS, Stack, docker, inspect
from tests.samples import PROGRAMS


@pytest.fixture(scope="session", params=WORKLOADS)
def workload(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_container_has_no_more_rights_than_it_needs(stack: Stack, workload: str) -> None:
    found = inspect(stack.container(workload))
    host = found["HostConfig"]
    uid = DEFINED[workload].uid
    assert found["Config"]["User"] == f"{uid}:{uid}"
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert 0 < host["Memory"] == host["MemorySwap"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["Config"]["Healthcheck"]["Test"][0] == "CMD"
    assert not [m for m in found["Mounts"] if "docker.sock" in m["Source"]]


def test_what_runs_inside_has_no_rights_left(stack: Stack, workload: str) -> None:
    """Not what was asked of Docker but what the kernel says of the first process."""
    status = docker("exec", stack.container(workload), "cat", "/proc/1/status")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(lines["Uid"].split()) == {str(DEFINED[workload].uid)}
    assert int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == int(lines["CapBnd"], 16) == 0
    assert lines["NoNewPrivs"].strip() == "1"


def test_labels_tell_project_stack_and_component(stack: Stack, workload: str) -> None:
    labels = inspect(stack.container(workload))["Config"]["Labels"]
    assert labels["mlflow-sso.project"] == "mlflow-sso"
    assert labels["mlflow-sso.stack"] == stack.name
    assert labels["mlflow-sso.component"] == workload


def test_ports_are_published_on_loopback_alone(stack: Stack, workload: str) -> None:
    bindings = inspect(stack.container(workload))["HostConfig"]["PortBindings"] or {}
    assert set(bindings) == {f"{port.number}/tcp" for port, _ in DEFINED[workload].entrances}
    assert {b["HostIp"] for port in bindings.values() for b in port} <= {"127.0.0.1"}


def test_a_store_is_reached_by_its_callers_alone(stack: Stack) -> None:
    networks = {w: set(inspect(stack.container(w))["NetworkSettings"]["Networks"]) for w in WORKLOADS}
    assert not networks["redis"] & networks["keycloak"]
    assert networks["redis"] & networks["mlflow"]
    assert networks["postgres"] & networks["keycloak"]
    for name in networks["postgres"] | networks["redis"]:
        assert json.loads(docker("network", "inspect", name))[0]["Internal"] is True


def test_no_secret_shows_in_what_docker_tells_of_a_container(stack: Stack, workload: str, secrets: list[str]) -> None:
    """All but the environment, which is how Docker hands a secret over."""
    found = inspect(stack.container(workload))
    found["Config"].pop("Env")
    assert_none_in(secrets, json.dumps(found), f"docker inspect {workload}")
    assert_none_in(secrets, docker("top", stack.container(workload), "-eo", "pid,args"), f"processes of {workload}")


def test_no_secret_shows_in_a_log(stack: Stack, workload: str, secrets: list[str]) -> None:
    done = subprocess.run(
        ("docker", "logs", stack.container(workload)), capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout + done.stderr or workload not in PROGRAMS, "each of these says something as soon as it starts"
    assert_none_in(secrets, done.stdout + done.stderr, f"log of {workload}")


def test_no_secret_shows_in_what_the_command_line_says(stack: Stack, secrets: list[str]) -> None:
    said = [stack.said]
    said.append(stack.stackctl("outputs").stdout)
    if stack.engine == "pulumi":
        shown = stack.stackctl("preview")
        said.append(shown.stdout + shown.stderr)
    for text in said:
        assert text
        assert_none_in(secrets, text, "what stackctl says")


def test_only_private_files_hold_secrets(stack: Stack, secrets: list[str]) -> None:
    """What is rendered names secrets and does not hold them; the engine's state holds them encrypted."""
    seen = holding = 0
    for path in (p for p in stack.home.rglob("*") if p.is_file()):
        seen += 1
        if any(secret in path.read_bytes().decode(errors="replace") for secret in secrets):
            holding += 1
            assert path.name in ("secrets.env", "secrets.json", "outputs.json"), path
            assert path.stat().st_mode & 0o077 == 0, path
            assert _closed(path.parent, stack.home), path
    assert seen
    assert holding == (3 if stack.engine == "compose" else 0)


def _closed(directory: Path, top: Path) -> bool:
    """Whether a directory on the way from `top` lets its owner alone through."""
    return any(d.stat().st_mode & 0o077 == 0 for d in (directory, *directory.parents) if top in (d, *d.parents))


@pytest.fixture(scope="session")
def secrets(stack: Stack) -> list[str]:
    """Every secret value of the stack: those in its outputs and those that only its containers know."""
    found = set(_texts(stack.outputs(), secret=False))
    for workload in WORKLOADS:
        for line in inspect(stack.container(workload))["Config"]["Env"]:
            name, _, value = line.partition("=")
            if re.search(r"PASSWORD|SECRET|_KEY$|REDISCLI_AUTH|^REALM_", name):
                found.add(value)
            found |= set(re.findall(r"://[^:/]*:([^@]+)@", value))
    assert len(found) > 10
    return sorted(found)


def _texts(value: Any, *, secret: bool) -> list[str]:
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in _texts(v, secret=k in ("password", "client_secret"))]
    return [value] if secret and isinstance(value, str) else []


def assert_none_in(secrets: list[str], text: str, where: str) -> None:
    shown = [f"{secret[:3]}..." for secret in secrets if secret in text]
    assert not shown, f"{where} shows {len(shown)} secrets: {shown}"
