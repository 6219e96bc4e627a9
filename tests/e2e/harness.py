"""Brings up real stacks under names, ports and state of their own, so that runs do not meet each other."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
import yaml

from components.stack import stack_spec
from platforms.workload import OnDemand, Service
from settings import PROJECT, ROOT
from settings.derived import KEYCLOAKS_CONNECTIONS
from tests.samples import settings

# Minutes of engines each: CI has not the time for them.
LONG = pytest.mark.skipif(not os.environ.get("SOAK"), reason="`make soak` runs it: minutes of engines")
# Seconds for one answer, on a machine that is busy with several stacks.
TIMEOUT = 60
Found = TypeVar("Found")
# Asks a database ($1) something ($2), in the container of PostgreSQL, which knows the password.
ASK = 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -q -h 127.0.0.1 -U postgres -d "$1" -Atc "$2"'
# The plain stack as it is defined: what it runs, by name.
DEFINED = {workload.name: workload for workload in stack_spec(settings()).workloads}
# What is kept running, also by waiting for a time; and of these what serves.
WORKLOADS = tuple(name for name, workload in DEFINED.items() if not isinstance(workload.runs, OnDemand))
SERVICES = tuple(name for name, workload in DEFINED.items() if isinstance(workload.runs, Service))


def _mine() -> list[int]:
    """The ports of this worker of pytest-xdist, in no order.

    They lie below those that connections get for themselves and those of Kubernetes' nodes: a stack listens on its
    ports a minute after they were chosen.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = list(range(12000 + first, 30000, workers))
    secrets.SystemRandom().shuffle(ports)
    return ports


_PORTS = _mine()


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now, and that no test was given before."""
    found: list[int] = []
    while len(found) < count:
        port = _PORTS.pop()
        with socket.socket() as one, suppress(OSError):
            one.bind(("", port))
            found.append(port)
    return found


@dataclass
class Stack:
    """A stack under test: where it is kept, what was asked of it, and all it has said while it was brought up."""

    engine: str
    home: Path
    config: dict[str, Any]
    name: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")
    said: str = ""

    @staticmethod
    def make(engine: str, home: Path, **config: Any) -> Stack:
        """A stack on free ports. `config` is merged over that, key by key."""
        mlflow, keycloak = free_ports(2)
        base: dict[str, Any] = {
            "environment": "dev",
            "mlflow": {"url": f"http://localhost:{mlflow}"},
            "keycloak": {"url": f"http://localhost:{keycloak}"},
        }
        for key, value in config.items():
            base[key] = {**base[key], **value} if isinstance(base.get(key), dict) else value
        return Stack(engine, home, base)

    @property
    def config_file(self) -> Path:
        return self.home / f"Pulumi.{self.name}.yaml"

    @property
    def physical(self) -> str:
        return f"{PROJECT}-{self.name}"

    def container(self, workload: str) -> str:
        return f"{self.physical}-{workload}"

    def inside(self, workload: str, *command: str, given: str | None = None) -> str:
        """What a command prints in a workload's container, of which there is one, on either target."""
        where: tuple[str, ...] = ("docker", "exec", "-i", self.container(workload))
        if self.config.get("platform") == "kubernetes":
            where = ("kubectl", "exec", "-i", "-n", self.physical, f"service/{workload}", "--")
        done = subprocess.run((*where, *command), input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[0]} in {workload} exited {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def logs(self, workload: str, *which: str) -> str:
        """What a container wrote, by default its last lines, or why there is nothing."""
        command = ("docker", "logs", *(which or ("--tail", "60")), self.container(workload))
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout

    def write_config(self) -> None:
        document: dict[str, Any] = {}
        if self.config_file.exists():
            # The engine keeps the salt of its passphrase here.
            document = yaml.safe_load(self.config_file.read_text()) or {}
        document["config"] = {f"{PROJECT}:{key}": value for key, value in self.config.items()}
        self.config_file.write_text(yaml.safe_dump(document))

    @property
    def environment(self) -> dict[str, str]:
        backend = self.home / "backend"
        backend.mkdir(exist_ok=True)
        return {
            **os.environ,
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": "of a test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_ERROR_OUTPUT_STRING": "true",
        }

    def stackctl(self, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command line on this stack, as its user would, with `env` over its environment."""
        command = (sys.executable, "-m", "stackctl", *args, "--stack", self.name)
        done = subprocess.run(
            (*command, "--config-file", str(self.config_file)),
            capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL,
            env={**self.environment, **env},
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"stackctl {' '.join(args)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def up(self, *, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        self.write_config()
        done = self.stackctl("up", "--engine", self.engine, check=check, **env)
        self.said += done.stdout + done.stderr
        return done

    def destroy(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.stackctl("destroy", "--yes", check=check)

    @contextmanager
    def running(self) -> Iterator[Stack]:
        """Bring it up, and remove it at the end whatever came of that."""
        try:
            self.up()
            yield self
        finally:
            self.destroy(check=False)

    def outputs(self) -> dict[str, Any]:
        return dict(json.loads(self.stackctl("outputs", "--output", "json", "--show-secrets").stdout))

    def leftovers(self) -> list[str]:
        """Every container, volume and network that carries this stack's name."""
        found: list[str] = []
        for kind, pattern in (("ps -a", "{{.Names}}"), ("volume ls", "{{.Name}}"), ("network ls", "{{.Name}}")):
            found += [name for name in docker(*kind.split(), "--format", pattern).split() if self.name in name]
        return found


def gateway() -> str:
    """The address by which containers reach this host (Docker documentation, "Bridge network driver")."""
    (found,) = json.loads(docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"))
    # An engine that made this network since it started has none to tell: it took the first address.
    return str(found.get("Gateway") or ipaddress.ip_network(found["Subnet"])[1])


def docker(*args: str) -> str:
    return subprocess.run(("docker", *args), capture_output=True, text=True, check=True).stdout


def run_in(container: str, *command: str, **env: str) -> str:
    """Run a command in a container; returns its output. `env` stays out of the host's process list."""
    names = [word for name in env for word in ("-e", name)]
    done = subprocess.run(
        ("docker", "exec", *names, container, *command),
        capture_output=True, text=True, check=False, env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)[:60]} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def inspect(container: str) -> dict[str, Any]:
    return dict(json.loads(docker("inspect", "--type", "container", container))[0])


def eventually(ask: Callable[[], Found], good: Callable[[Found], bool], what: str, seconds: float = 120) -> Found:
    """Ask twice a second until the answer is good; fails with the last one.

    A question that fails has no good answer yet: a server that comes up again may cut a connection or send half a page.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
        except (AssertionError, requests.RequestException, ValueError) as error:
            last = repr(error)
        else:
            if good(answer):
                return answer
            last = repr(answer)
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s; the last answer was {last}"
        time.sleep(0.5)


def unbroken(ask: Callable[[], requests.Response]) -> requests.Response:
    """Keycloak's first answer that is no 5xx, which it gives once with each connection to a database that was away."""
    for _ in range(KEYCLOAKS_CONNECTIONS):
        answer = ask()
        if answer.status_code < 500:
            return answer
        time.sleep(0.5)
    return ask()


@dataclass(frozen=True)
class Client:
    """Speaks to a stack's Keycloak and MLflow with nothing but its outputs."""

    outputs: Mapping[str, Any]

    def grant(self, **form: str) -> requests.Response:
        """Ask the token endpoint (RFC 6749, section 3.2)."""
        return requests.post(str(self.outputs["token_url"]), data=form, timeout=TIMEOUT)

    def password_token(self, username: str) -> dict[str, Any]:
        form = {
            "grant_type": "password",
            "client_id": self.outputs["client_id"],
            "client_secret": self.outputs["client_secret"],
            "username": username,
            "password": self.outputs["users"][username]["password"],
            "scope": "openid email profile",
        }
        answer = unbroken(lambda: self.grant(**form))
        answer.raise_for_status()
        return dict(answer.json())

    def mlflow(self, path: str, token: str | None = None, method: str = "GET", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method,
            f"{self.outputs['mlflow_url']}{path}",
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,
            **more,
        )
