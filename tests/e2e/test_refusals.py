"""What cannot be done is refused before anything is made: one message, an exit code, nothing left behind."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import Stack, docker

REFUSED, FAILED = 2, 1


@pytest.fixture
def unborn(engine: str, tmp_path: Path) -> Stack:
    """A stack that is described and never made."""
    return Stack.make(engine, tmp_path)


def _refused(stack: Stack, done: subprocess.CompletedProcess[str], *words: str, code: int = REFUSED) -> None:
    """`done` told why, once and in plain words, and the machine is as before."""
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert said.count("error: ") == 1, said
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert stack.leftovers() == []
    assert not [p for p in (stack.home / "state").rglob("*") if p.is_file()]
    assert not list((stack.home / "backend").rglob(f"{stack.name}.json"))


def test_a_port_that_is_taken(unborn: Stack) -> None:
    port = int(unborn.config["mlflow"]["url"].rpartition(":")[2])
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        _refused(unborn, unborn.up(check=False), "port of mlflow", str(port), "in use")


def test_no_engine(unborn: Stack, tmp_path: Path) -> None:
    done = unborn.up(check=False, DOCKER_HOST=f"unix://{tmp_path}/nothing.sock")
    _refused(unborn, done, "docker engine", "expected one that answers")


def test_keys_and_values_that_are_wrong_are_all_named_at_once(unborn: Stack) -> None:
    unborn.config |= {
        "mlflw": {"url": "x"},
        "realm": {"groups": {"admins": [""]}, "lifetimes": {"ssoIdleSeconds": "z"}},
    }
    done = unborn.up(check=False)
    _refused(unborn, done, "mlflw", "did you mean mlflow?", "realm.groups.admins", "lifetimes.ssoIdleSeconds", '"z"')


def test_a_stack_without_a_settings_file(unborn: Stack) -> None:
    _refused(unborn, unborn.stackctl("up", "--engine", unborn.engine, check=False), "The settings file is not there")


@pytest.mark.pulumi
@pytest.mark.parametrize("engine", ["pulumi"], indirect=True, scope="session")
def test_a_wrong_passphrase(stack: Stack) -> None:
    """On a stack that is there, whose secrets it does not open."""
    before = docker("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}")
    mine = sorted(line for line in before.splitlines() if stack.name in line)
    for command in ("up", "preview", "outputs", "destroy"):
        done = stack.stackctl(command, check=False, PULUMI_CONFIG_PASSPHRASE="not the one")
        said = done.stdout + done.stderr
        assert done.returncode in (REFUSED, FAILED), f"{command}: {said}"
        assert "passphrase" in said
        assert "Traceback" not in said
    after = docker("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}")
    assert sorted(line for line in after.splitlines() if stack.name in line) == mine
