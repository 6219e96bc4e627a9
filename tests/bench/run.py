"""`make bench`: what the stack costs, as ratios within one run. Meant for a quiet machine with the images built.

The limit is what no definition of the stack can go below with plain images: Postgres from nothing, then Keycloak alone
from an empty database to ready, then the realm in one call. Everything else is held against it. Plain means without
what the stack's own images add to be faster (docs/decisions/0004 and 0011): no schemas in a new database, no archive
of classes, and Java's own thresholds for its compilers.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import requests

from components.keycloak import MANAGEMENT_PORT, PROVISIONER_CLIENT_ID
from components.realm import realm_spec
from components.realm_import import realm_import
from platforms.docker_engine import DockerError, docker, wait_ready
from platforms.workload import Workload
from settings import ROOT, Settings
from settings.versions import image
from stackctl import pulumi_engine
from stackctl.context import load
from stackctl.kubernetes_engine import LOADER
from tests.e2e.cluster import has_istio
from tests.e2e.harness import Client, Stack, free_ports

IDLE_SECONDS = 30
PLAIN_JAVA = "-XX:-UseG1GC -XX:+UseSerialGC"
# As many resources, of the same providers, and nothing of the stack's own around them.
BARE = """\
import pulumi
import pulumi_docker
import pulumi_keycloak
import pulumi_random

config = pulumi.Config("bench")
provider = pulumi_keycloak.Provider(
    "keycloak", url=config.require("url"), realm="master", client_id=config.require("client"),
    client_secret=config.require_secret("secret"), initial_login=False)
for number in range({docker}):
    pulumi_docker.Volume(f"volume-{{number}}", name=f"{name}-bare-{{number}}")
for number in range({keycloak}):
    pulumi_keycloak.Group(f"group-{{number}}", realm_id=config.require("realm"), name=f"bare-{{number}}",
                          opts=pulumi.ResourceOptions(provider=provider))
for number in range({other}):
    pulumi_random.RandomPassword(f"password-{{number}}", length=32)
"""


@dataclass(frozen=True)
class Figure:
    """One ratio and what it is held to."""

    name: str
    measured: float
    unit: str
    against: float
    limit: float

    @property
    def ratio(self) -> float:
        return self.measured / self.against

    def __str__(self) -> str:
        verdict = "ok" if self.ratio <= self.limit else "ABOVE"
        return (
            f"{self.name:44} {self.measured:7.2f} {self.unit} / {self.against:7.2f} {self.unit}"
            f" = {self.ratio:5.2f}   (at most {self.limit:.2f}: {verdict})"
        )


def timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def until(answers: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer in {seconds:.0f} s")
        time.sleep(0.1)


class Limit:
    """Postgres and Keycloak with their plain images and one realm, in sequence only where one needs the other."""

    def __init__(self, scratch: Path) -> None:
        self._tag = f"mlflow-sso-limit-{secrets.token_hex(3)}"
        self._secret = secrets.token_hex(16)
        self._env = scratch / "limit.env"
        (self._port,) = free_ports(1)

    def _workload(self, name: str) -> Workload:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as empty:
            empty.write("config: {}\n")
            empty.flush()
            spec = load("limit", Path(empty.name)).spec
        return next(w for w in spec.workloads if w.name == name)

    def _run(self, name: str, reference: str, env: dict[str, str], *more: str) -> None:
        self._env.write_text("".join(f"{key}={value}\n" for key, value in env.items()))
        docker(
            "run", "-d", "--name", f"{self._tag}-{name}", "--network", self._tag, "--network-alias", name,
            "--env-file", str(self._env), *more, reference,
        )  # fmt: skip

    def measure(self) -> float:
        settings = Settings()
        try:
            return timed(lambda: self._bring_up(settings))
        finally:
            subprocess.run(
                ("docker", "rm", "-fv", f"{self._tag}-postgres", f"{self._tag}-keycloak"),
                capture_output=True,
                check=False,
            )
            docker("network", "rm", self._tag)

    def _bring_up(self, settings: Settings) -> None:
        docker("network", "create", self._tag)
        self._run(
            "postgres",
            image(settings, "postgres"),
            {"POSTGRES_PASSWORD": self._secret, "STACK_DATABASES": "keycloak", "KEYCLOAK_PASSWORD": self._secret},
        )
        self._run(
            "keycloak",
            image(settings, "keycloak"),
            {
                **self._workload("keycloak").env,
                "KC_HOSTNAME": f"http://localhost:{self._port}",
                "JAVA_OPTS_APPEND": PLAIN_JAVA,
                "KC_DB_PASSWORD": self._secret,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": self._secret,
                "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": self._secret,
            },
            "-p", f"127.0.0.1:{self._port}:8080", "--expose", str(MANAGEMENT_PORT),
        )  # fmt: skip
        keycloak = self._workload("keycloak")
        # It is asked where this run publishes it, or its answer would be noticed up to three seconds late.
        ports = tuple(replace(port, published=self._port) for port in keycloak.published)
        wait_ready(replace(keycloak, ports=ports), f"{self._tag}-keycloak", lambda _: None)
        base = f"http://localhost:{self._port}"
        form = {
            "grant_type": "client_credentials",
            "client_id": PROVISIONER_CLIENT_ID,
            "client_secret": self._secret,
        }
        token = requests.post(f"{base}/realms/master/protocol/openid-connect/token", data=form, timeout=60)
        token.raise_for_status()
        realm = realm_import(realm_spec(settings), lambda _: self._secret)
        headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
        requests.post(f"{base}/admin/realms", json=realm, headers=headers, timeout=60).raise_for_status()


def first_call(stack: Stack, **env: str) -> None:
    """From nothing to an experiment search that an administrator's token was let in for."""
    stack.up(check=True, **env)
    client = Client(stack.outputs())

    def let_in() -> bool:
        token = client.password_token("alice")["access_token"]
        return client.mlflow("/api/2.0/mlflow/experiments/search?max_results=1", token).status_code == 200

    until(let_in)


def load_images(stack: Stack) -> None:
    """Bring the stack's images to the cluster, as `up` would, so that `up` need not."""
    loader = shlex.split(os.environ.get(LOADER, ""))
    if loader:
        stack.write_config()
        names = sorted({w.image for w in load(stack.name, stack.config_file).spec.workloads})
        subprocess.run((*loader, *names), check=True, capture_output=True)


def on_kubernetes(engine: str, home: Path) -> float:
    """Seconds from nothing to the first call on the cluster that KUBECONFIG names, with the images there."""
    home.mkdir()
    stack = Stack.make(engine, home, platform="kubernetes", kubernetes={"mesh": {"enabled": has_istio()}})
    with ExitStack() as destroying:
        destroying.callback(stack.destroy, check=False)
        load_images(stack)
        # `up` would load them once more.
        return timed(partial(first_call, stack, **{LOADER: ""}))


def memory_mib(stack: Stack) -> float:
    """What the stack's containers hold, in MiB, as the engine counts it."""
    names = docker("ps", "--filter", f"name={stack.physical}-", "--format", "{{.Names}}").split()
    total = 0.0
    for used in docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).splitlines():
        number = used.split("/")[0].strip()
        total += float(number[:-3]) * {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}[number[-3:]]
    return total


def engine_noop(stack: Stack) -> float:
    command = ("pulumi", "-C", str(ROOT), "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack.name)
    config = ("--config-file", str(stack.config_file))
    return timed(lambda: subprocess.run((*command, *config), check=True, capture_output=True, env=stack.environment))


def bare_noop(stack: Stack, scratch: Path) -> float:
    """The second `up` of a program that registers as many resources of the same providers and does nothing else."""
    project = scratch / "bare"
    project.mkdir()
    counted = resources(stack)
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(ROOT / ".venv")}}
    (project / "Pulumi.yaml").write_text(json.dumps({"name": "bare", "runtime": runtime}))
    (project / "__main__.py").write_text(BARE.format(name=stack.physical, **counted))

    def pulumi(*args: str) -> None:
        command = ("pulumi", "-C", str(project), *args, "--stack", "bare", "--non-interactive")
        subprocess.run(command, check=True, capture_output=True, env=stack.environment)

    subprocess.run(
        ("pulumi", "-C", str(project), "stack", "init", "bare"), check=True, capture_output=True, env=stack.environment
    )
    outputs = stack.outputs()
    for name, value in (
        ("url", outputs["keycloak_url"]),
        ("realm", outputs["realm"]),
        ("client", outputs["provisioner"]["client_id"]),
    ):
        pulumi("config", "set", f"bench:{name}", value)
    subprocess.run(
        ("pulumi", "-C", str(project), "config", "set", "--secret", "bench:secret", "--stack", "bare"),
        check=True, capture_output=True, text=True, env=stack.environment,
        input=outputs["provisioner"]["client_secret"],
    )  # fmt: skip
    pulumi("up", "--yes", "--skip-preview")
    try:
        return min(timed(lambda: pulumi("up", "--yes", "--skip-preview")) for _ in range(3))
    finally:
        pulumi("destroy", "--yes", "--skip-preview")


def resources(stack: Stack) -> dict[str, int]:
    """How many resources the stack has of Docker, of Keycloak, and of any other kind."""
    done = subprocess.run(
        ("pulumi", "-C", str(ROOT), "stack", "export", "--stack", stack.name),
        check=True, capture_output=True, text=True, env=stack.environment,
    )  # fmt: skip
    exported: dict[str, Any] = json.loads(done.stdout)
    kinds = [resource["type"].split(":")[0] for resource in exported["deployment"]["resources"]]
    found = {kind: kinds.count(kind) for kind in ("docker", "keycloak")}
    return {**found, "other": len(kinds) - sum(found.values())}


def main() -> int:
    figures: list[Figure] = []
    cluster = bool(os.environ.get("KUBECONFIG"))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        limit = Limit(scratch).measure()
        sys.stderr.write(f"limit: {limit:.1f} s\n")
        reason = pulumi_engine.unavailable()
        engines = {"compose": 1.3, **({} if reason else {"pulumi": 1.15})}
        for engine, bound in engines.items():
            home = scratch / engine
            home.mkdir()
            stack = Stack.make(engine, home)
            with ExitStack() as destroying:
                destroying.callback(stack.destroy, check=False)
                docker_seconds = timed(partial(first_call, stack))
                figures.append(Figure(f"{engine}: nothing to first call", docker_seconds, "s", limit, bound))
                if engine == "pulumi":
                    own = min(engine_noop(stack) for _ in range(3))
                    bare = bare_noop(stack, scratch)
                    figures.append(Figure("pulumi: up with nothing to change", own, "s", bare, 1.3))
                time.sleep(IDLE_SECONDS)
                figures.append(Figure(f"{engine}: memory, idle", memory_mib(stack), "MiB", 1024, 1.0))
            if cluster:
                there = "render" if engine == "compose" else engine
                seconds = on_kubernetes(there, scratch / f"{engine}-kubernetes")
                figures.append(Figure(f"{there}: Kubernetes against Docker", seconds, "s", docker_seconds, 1.5))
    for figure in figures:
        print(figure)
    if reason:
        print(f"not measured: the Pulumi engine ({reason})")
    if not cluster:
        print("not measured: Kubernetes (KUBECONFIG names no cluster)")
    return int(any(figure.ratio > figure.limit for figure in figures))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DockerError, TimeoutError) as error:
        sys.exit(f"error: {error}")
