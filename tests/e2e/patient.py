"""A stack that the doctor examines, and what can be done to it on every target."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from mlflow_sso_client.errors import AccessError

from platforms.labels import LABEL_COMPONENT, LABEL_PROJECT, LABEL_STACK
from settings import PROJECT
from tests.e2e.harness import Client, Stack, docker, inspect
from tests.e2e.people import keycloak_of
from tests.e2e.waits import renew_connections

WRONG = "not-the-secret-that-is-expected"


class Patient:
    """A stack that is made ill and well again."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.outputs = stack.outputs()
        self.admin = keycloak_of(self.outputs)

    def examine(self, *args: str) -> dict[str, list[dict[str, str]]]:
        """The findings by id; the exit code and the absence of secrets are checked on the way."""
        done = self.stack.stackctl("doctor", "--output", "json", *args, check=False)
        assert done.stderr.count("Traceback") == 0, done.stderr
        document = json.loads(done.stdout)
        assert done.returncode == (0 if document["healthy"] else 1)
        assert document["unchecked"] == []
        for secret in self.secrets():
            assert secret not in done.stdout + done.stderr
        found: dict[str, list[dict[str, str]]] = {}
        for finding in document["findings"]:
            assert all(finding[part] for part in ("what", "evidence", "cause", "fix")), finding
            found.setdefault(finding["id"], []).append(finding)
        return found

    def secrets(self) -> list[str]:
        kept = (self.stack.home / "state" / PROJECT / self.stack.name).rglob("secrets.json")
        return [*(value for file in kept for value in json.loads(file.read_text()).values()), WRONG]

    def client(self, client_id: str) -> dict[str, Any]:
        return dict(self.admin.find_client(client_id).representation)

    def change_client(self, client_id: str, **change: Any) -> None:
        self.admin.request("PUT", f"/clients/{self.client(client_id)['id']}", json=change)

    def change_realm(self, **change: Any) -> None:
        self.admin.request("PUT", "", json=change)

    def drop_mapper(self, client_id: str, name: str) -> None:
        client = self.client(client_id)
        mapper = next(m for m in client["protocolMappers"] if m["name"] == name)
        self.admin.request("DELETE", f"/clients/{client['id']}/protocol-mappers/models/{mapper['id']}")

    def settle(self) -> None:
        """Wait until Keycloak and MLflow reach their databases."""
        self.wait(lambda: bool(self.admin.realm()))
        self.wait(lambda: requests.get(f"{self.outputs['mlflow_url']}/health/ready", timeout=5).status_code == 200)
        # The doctor asks once, and takes no connection that broke for a reason.
        renew_connections(Client(self.outputs))

    @staticmethod
    def wait(ready: Callable[[], bool], seconds: int = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if ready():
                    return
            except (AccessError, requests.exceptions.RequestException):
                pass
            assert time.monotonic() < deadline, "the stack did not become ready"
            time.sleep(0.5)


class DockerPatient(Patient):
    """One on Docker, whose containers can be made in another way."""

    def sql(self, statement: str) -> None:
        script = "PGPASSWORD=$POSTGRES_PASSWORD exec psql -q -h 127.0.0.1 -U postgres"
        subprocess.run(
            ("docker", "exec", "-i", self.stack.container("postgres"), "bash", "-c", script),
            input=statement, text=True, check=True, capture_output=True,
        )  # fmt: skip

    @contextmanager
    def other_mlflow(self, changes: Mapping[str, str | None]) -> Iterator[None]:
        """MLflow with other variables, and afterwards as it is defined."""
        try:
            self.remake("mlflow", changes)
            self.settle()
            yield
        finally:
            docker("rm", "-fv", self.stack.container("mlflow"))
            self.stack.up()

    def remake(self, workload: str, changes: Mapping[str, str | None], *more: str) -> None:
        """A workload again as it was, but for these variables, None takes one away, and further options."""
        name = self.stack.container(workload)
        was = inspect(name)
        env = dict(entry.partition("=")[::2] for entry in was["Config"]["Env"]) | dict(changes)
        words = [w for key, value in env.items() if value is not None for w in ("-e", f"{key}={value}")]
        words += [w for key, value in was["Config"]["Labels"].items() for w in ("--label", f"{key}={value}")]
        for inside, ends in was["HostConfig"]["PortBindings"].items():
            words += ["-p", f"{ends[0]['HostIp']}:{ends[0]['HostPort']}:{inside.partition('/')[0]}"]
        words += [w for bind in was["HostConfig"]["Binds"] for w in ("-v", bind)]
        words += [w for path, options in was["HostConfig"]["Tmpfs"].items() for w in ("--tmpfs", f"{path}:{options}")]
        networks = list(was["NetworkSettings"]["Networks"])
        docker("rm", "-fv", name)
        words += ["-m", str(was["HostConfig"]["Memory"]), "--network", networks[0], "--network-alias", workload]
        docker("create", "--name", name, *words, *more, was["Config"]["Image"], *was["Config"]["Cmd"])
        for network in networks[1:]:
            docker("network", "connect", "--alias", workload, network, name)
        docker("start", name)

    @contextmanager
    def beside(self, role: str, *words: str) -> Iterator[None]:
        """One more container with the stack's labels."""
        name = self.stack.container(f"extra-{role}")
        labels = {LABEL_PROJECT: PROJECT, LABEL_STACK: self.stack.name, LABEL_COMPONENT: f"extra-{role}"}
        shown = [w for key, value in labels.items() for w in ("--label", f"{key}={value}")]
        docker("run", "-d", "--name", name, *shown, *words)
        try:
            yield
        finally:
            docker("rm", "-fv", name)


def mend(finding: Mapping[str, str]) -> None:
    """Run the command that the finding names."""
    subprocess.run(("bash", "-c", finding["fix"]), check=True, capture_output=True, timeout=600)
