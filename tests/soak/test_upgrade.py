"""A stack that an earlier commit made, brought up by this one: on real engines nothing of it is made anew."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT
from stackctl.engines import pulumi_cli
from tests.e2e.cluster import cluster_or_skip, get, has_istio
from tests.e2e.harness import Client, Stack, docker, inspect

# The release that stacks come from; tests/contract/frozen holds what it made.
EARLIER = "bd9bdd0"


@dataclass
class Upgraded(Stack):
    """A stack that is brought up from one checkout after the other."""

    root: Path = ROOT

    def stackctl(self, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        if self.root == ROOT:
            return super().stackctl(*args, check=check, **env)
        words = (str(self.root / ".venv/bin/python"), "-m", "stackctl", *args, "--stack", self.name)
        return subprocess.run(
            (*words, "--config-file", str(self.config_file)),
            cwd=self.root, env={**self.environment, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=check,
        )  # fmt: skip


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout of the earlier commit with its own environment."""
    root = tmp_path_factory.mktemp("earlier") / "tree"
    subprocess.run(("git", "worktree", "add", "--detach", str(root), EARLIER), cwd=ROOT, check=True)
    try:
        subprocess.run(("make", "setup"), cwd=root, check=True)
        yield root
    finally:
        subprocess.run(("git", "worktree", "remove", "--force", str(root)), cwd=ROOT, check=True)


def on_docker(stack: Stack) -> dict[str, Any]:
    """What would be another one if it were made anew."""
    mine = ("--filter", f"label=mlflow-sso.stack={stack.name}")
    containers = {name: inspect(name)["Id"] for name in docker("ps", "-a", *mine, "--format", "{{.Names}}").split()}
    names = docker("volume", "ls", *mine, "--format", "{{.Name}}").split()
    volumes = {v["Name"]: v["CreatedAt"] for v in json.loads(docker("volume", "inspect", *names))}
    assert containers
    assert volumes
    return {"containers": containers, "volumes": volumes}


def on_kubernetes(stack: Stack) -> dict[str, Any]:
    items = get("pods,persistentvolumeclaims,secrets", "-n", stack.physical)["items"]
    # Generated passwords are in Secrets whose names follow from them.
    mine = [item for item in items if item["metadata"].get("labels", {}).get("mlflow-sso.stack") == stack.name]
    assert {item["kind"] for item in mine} == {"Pod", "PersistentVolumeClaim", "Secret"}
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in mine}


def secrets_of(stack: Stack) -> dict[str, Any]:
    """Every output: with the secrets of people and clients, and the addresses that they log in at."""
    return stack.outputs()


@pytest.mark.parametrize(
    ("platform", "engine"),
    [("docker", "compose"), ("docker", "pulumi"), ("kubernetes", "render"), ("kubernetes", "pulumi")],
)
def test_the_next_up_makes_nothing_anew(platform: str, engine: str, earlier: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"realm": {"serviceAccounts": [{"clientId": "ci", "groups": ["mlflow-users"]}]}}
    if engine == "pulumi" and (reason := pulumi_cli.unavailable(platform)):
        pytest.skip(reason)
    if platform == "kubernetes":
        cluster_or_skip()
        more["kubernetes"] = {"mesh": {"enabled": has_istio()}}
    made = Upgraded.make(engine, tmp_path, platform=platform, **more)
    stack = Upgraded(engine, made.home, made.config, root=earlier)
    look = on_docker if platform == "docker" else on_kubernetes
    try:
        stack.up()
        before, outputs = look(stack), secrets_of(stack)
        stack.root = ROOT
        stack.up()
        assert look(stack) == before, "something was made anew"
        assert secrets_of(stack) == outputs, "a password, a client's secret or an address changed"
        token = Client(outputs).password_token("alice")["access_token"]
        answer = Client(outputs).mlflow("/api/2.0/mlflow/experiments/search?max_results=5", token)
        assert answer.status_code == 200
        assert stack.stackctl("users", "list").returncode == 0, "the realm is as it is declared"
    finally:
        stack.root = ROOT
        stack.destroy(check=False)
