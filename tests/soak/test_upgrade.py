"""A stack that an earlier release made, brought up by this one: on real engines nothing of it is made anew.

tests/contract/test_frozen.py holds what both ask for against each other; here are the engines that decide.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT
from stackctl.engines import pulumi_cli
from tests.contract.leaves import ANOTHER_IMAGE, GONE, STARTED_ANEW
from tests.e2e.asking import person
from tests.e2e.cluster import cluster_or_skip, get, has_istio
from tests.e2e.harness import Client, Stack, docker, inspect

EXPERIMENTS = "/api/2.0/mlflow/experiments"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
KEPT = bytes(range(256)) * 16
# Beside the defaults: a second volume, an account of a program and one of a person who is not a sample.
DECLARED: Mapping[str, Any] = {
    "redis": {"persistent": True},
    "realm": {
        "serviceAccounts": [{"clientId": "ci", "groups": ["mlflow-users"]}],
        "users": [{"username": "carol", "email": "carol@example.com", "groups": ["mlflow-users"]}],
    },
}
Found = Mapping[str, Any]


@dataclass
class Upgraded(Stack):
    """A stack that is brought up from one tree after the other."""

    root: Path = ROOT

    def stackctl(self, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        if self.root == ROOT:
            return super().stackctl(*args, check=check, **env)
        words = (str(self.root / ".venv/bin/python"), "-m", "stackctl", *args, "--stack", self.name)
        done = subprocess.run(
            (*words, "--config-file", str(self.config_file)),
            cwd=self.root, env={**self.environment, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"the earlier stackctl {args[0]}:\n{done.stdout}\n{done.stderr}"
        return done


def digest(value: object) -> str:
    """To compare secrets by, so that a failure shows none."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def on_docker(stack: Stack) -> Found:
    """What would be another one if it were made anew, or started anew."""
    mine = ("--filter", f"label=mlflow-sso.stack={stack.name}")
    found: dict[str, Any] = {}
    for name in docker("ps", "-a", *mine, "--format", "{{.Names}}").split():
        container = inspect(name)
        found[f"container {name}"] = (container["Id"], container["State"]["StartedAt"])
    # What an engine calls the time of a volume's making is when its first folder last changed.
    for kind in ("volume", "network"):
        names = docker(kind, "ls", *mine, "--format", "{{.Name}}").split()
        assert names, f"no {kind} was found"
        for one in json.loads(docker(kind, "inspect", *names)):
            found[f"{kind} {one['Name']}"] = one.get("Id") or Path(one["Mountpoint"]).stat().st_ino
    return found


def on_kubernetes(stack: Stack) -> Found:
    kinds = "pods,persistentvolumeclaims,secrets,deployments,statefulsets,services"
    items = get(kinds, "-n", stack.physical)["items"]
    mine = [item for item in items if item["metadata"].get("labels", {}).get("mlflow-sso.stack") == stack.name]
    assert {item["kind"] for item in mine} >= {"Pod", "PersistentVolumeClaim", "Secret", "Deployment", "StatefulSet"}
    found: dict[str, Any] = {"namespace": get("namespace", stack.physical)["metadata"]["uid"]}
    for item in mine:
        restarts = [one["restartCount"] for one in item.get("status", {}).get("containerStatuses", ())]
        found[f"{item['kind']} {item['metadata']['name']}"] = (item["metadata"]["uid"], restarts)
    return found


def generated(stack: Stack) -> Found:
    """Every password that the stack has made, as a digest, and with the Pulumi engine every resource of it."""
    found: dict[str, Any] = {}
    for file in (stack.home / "state").rglob("secrets.json"):
        found |= {f"{file.parent.name} {name}": digest(value) for name, value in json.loads(file.read_text()).items()}
    if stack.engine == "pulumi":
        words = ("pulumi", "-C", str(ROOT), "stack", "export", "--show-secrets", "--stack", stack.name)
        done = subprocess.run(words, env=stack.environment, capture_output=True, text=True, check=True)
        for resource in json.loads(done.stdout)["deployment"]["resources"]:
            secret = digest(resource["outputs"]["result"]) if ":RandomPassword" in resource["type"] else ""
            if resource["type"].rpartition(":")[2] in GONE:
                continue
            program = resource["urn"].rpartition("::")[2].partition("-")[0]
            anew = program in STARTED_ANEW and resource["type"].endswith((":Container", ":Secret"))
            anew |= program in ANOTHER_IMAGE and resource["type"].endswith(":Container")
            for urn in (resource["urn"], *resource.get("aliases", ())):
                found[urn] = ("" if anew else resource.get("id", ""), secret)
    assert found, "no password was found"
    return found


def outputs(stack: Stack) -> Found:
    """Where people and programs log in, and with what."""
    return {name: digest(value) for name, value in stack.outputs().items()}


def experiments(client: Client, user: str) -> list[str]:
    answer = client.mlflow(f"{EXPERIMENTS}/search?max_results=50", client.password_token(user)["access_token"])
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json().get("experiments", ())]


def work(client: Client) -> str:
    """What a person leaves in the stack before it is upgraded; where the artifact of it is."""
    alice = person(client, "alice")
    answer = client.mlflow(f"{EXPERIMENTS}/create", alice.token, "POST", json={"name": "of before"})
    assert answer.status_code == 200, answer.text
    experiment = answer.json()["experiment_id"]
    place = f"{ARTIFACTS}/{experiment}/{alice.run(experiment)}/artifacts/kept.bin"
    answer = client.mlflow(place, alice.token, "PUT", data=KEPT)
    assert answer.status_code == 200, answer.text
    return place


def starts_anew(key: str) -> bool:
    """Whether a release notes say that this part of a stack is started anew (tests/contract/test_frozen.py)."""
    kind, _, name = key.partition(" ")
    programs = {*STARTED_ANEW, *ANOTHER_IMAGE}
    if kind == "container":
        return any(name.endswith(f"-{program}") for program in programs)
    if kind == "Pod":
        return name.startswith(tuple(f"{program}-" for program in programs))
    return kind == "Secret" and name.startswith(tuple(f"{program}-" for program in STARTED_ANEW))


def changes(before: Found, after: Found) -> dict[str, tuple[Any, Any]]:
    """What is gone or another one. What is new is no concern of stacks that are up."""
    return {key: (was, after.get(key)) for key, was in before.items() if after.get(key) != was}


ENGINES = pytest.mark.parametrize(
    ("platform", "engine"),
    [("docker", "compose"), ("docker", "pulumi"), ("kubernetes", "render"), ("kubernetes", "pulumi")],
)


def of_before(platform: str, engine: str, earlier: Path, home: Path, **more: Any) -> Upgraded:
    """A stack that the earlier release is to bring up."""
    if engine == "pulumi" and (reason := pulumi_cli.unavailable(platform)):
        pytest.skip(reason)
    if platform == "kubernetes":
        cluster_or_skip()
        more["kubernetes"] = {"mesh": {"enabled": has_istio()}}
    made = Upgraded.make(engine, home, platform=platform, **more)
    return Upgraded(engine, made.home, made.config, root=earlier)


@ENGINES
def test_outside_development_it_is_protected_from_then_on(
    platform: str, engine: str, earlier: Path, tmp_path: Path
) -> None:
    stack = of_before(platform, engine, earlier, tmp_path, environment="staging", redis={"persistent": True})
    look = on_docker if platform == "docker" else on_kubernetes
    try:
        stack.up()
        there, passwords = look(stack), generated(stack)
        stack.root = ROOT
        stack.up()
        stack.up()
        assert {key: pair for key, pair in changes(there, look(stack)).items() if not starts_anew(key)} == {}
        assert changes(passwords, generated(stack)) == {}
        before = look(stack)
        refused = stack.stackctl("destroy", check=False)
        assert refused.returncode == 2, refused.stderr
        assert "redis-data" in refused.stdout
        assert changes(before, look(stack)) == {}
        stack.config["environment"] = "dev"
        stack.up()
        assert "protected" not in stack.stackctl("cleanup", "--dry-run").stderr.lower(), "no label of before says so"
        stack.stackctl("destroy")
        if platform == "docker":
            assert stack.leftovers() == []
    finally:
        stack.root = ROOT
        stack.destroy(check=False)


@ENGINES
def test_the_next_up_makes_nothing_anew(platform: str, engine: str, earlier: Path, tmp_path: Path) -> None:
    stack = of_before(platform, engine, earlier, tmp_path, **DECLARED)
    look = on_docker if platform == "docker" else on_kubernetes
    try:
        stack.up()
        place = work(Client(stack.outputs()))
        there, passwords, told = look(stack), generated(stack), outputs(stack)
        stack.root = ROOT
        stack.up()
        anew = {key: pair for key, pair in changes(there, look(stack)).items() if not starts_anew(key)}
        assert anew == {}, "these were made or started anew, and nobody was served meanwhile"
        assert changes(passwords, generated(stack)) == {}, "whoever has stored these is locked out"
        assert changes(told, outputs(stack)) == {}, "people and programs would have to be told anew"
        client = Client(stack.outputs())
        assert "of before" in experiments(client, "alice"), "the work of before is gone"
        artifact = client.mlflow(place, client.password_token("alice")["access_token"])
        assert (artifact.status_code, artifact.content) == (200, KEPT), "its artifact is gone"
        assert stack.stackctl("users", "list").returncode == 0, "the realm is as it is declared"
        stack.destroy()
        if platform == "docker":
            assert stack.leftovers() == []
    finally:
        stack.root = ROOT
        stack.destroy(check=False)
