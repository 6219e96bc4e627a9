"""What logging in costs each call: MLflow behind the stack against `mlflow server` without any of it.

Both run in the same image, on the same database and artifacts, and are asked by turns. The figures are seconds for a
number of calls, so a ratio of 1.25 is 0.8 of the calls in a second.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

from platforms.docker.daemon import docker
from tests.bench.figures import Figure, timed, until
from tests.e2e.harness import Client, Stack, free_ports, inspect

ROUNDS = 5
CALLS = 240
API = "/api/2.0/mlflow"
# At least 0.8 of the calls in a second that read, and 0.9 of those that write.
BOUNDS = {"read": 1 / 0.8, "log-batch": 1 / 0.9}


@dataclass(frozen=True)
class Asked:
    """A server, and how its callers are known."""

    url: str
    headers: dict[str, str]

    def ask(self, method: str, path: str, body: object, times: int) -> None:
        """One caller's calls, one after the other on one connection. Raises RuntimeError for an answer that is none."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        for _ in range(times):
            connection.request(method, path, json.dumps(body).encode() if body else None, self.headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
        connection.close()


def at_once(callers: int, work: Callable[[], None]) -> None:
    """Work of several callers. Raises the first error of any of them."""
    errors: list[Exception] = []

    def call() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def without_login(stack: Stack) -> Iterator[Asked]:
    """`mlflow server` of the stack's own image, on its database and with its artifacts."""
    mlflow = inspect(stack.container("mlflow"))
    (port,) = free_ports(1)
    name = f"{stack.physical}-bare"
    given = ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION")
    variables = [word for one in mlflow["Config"]["Env"] if one.startswith(given) for word in ("--env", one)]
    image = mlflow["Config"]["Image"]
    networks = sorted(mlflow["NetworkSettings"]["Networks"])
    docker(
        "create", "--name", name, "--network", networks[0], "--publish", f"127.0.0.1:{port}:5000", "--cpus", "2",
        "--volumes-from", mlflow["Id"], *variables, "--tmpfs", "/tmp", "--entrypoint", "mlflow", image,
        "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", "--artifacts-destination",
        "/mlflow/artifacts", "--allowed-hosts", "*",
    )  # fmt: skip
    try:
        for network in networks[1:]:
            docker("network", "connect", network, name)
        docker("start", name)
        asked = Asked(f"http://127.0.0.1:{port}", {"Content-Type": "application/json"})
        until(lambda: _answers(asked))
        yield asked
    finally:
        docker("rm", "--force", name)


def _answers(asked: Asked) -> bool:
    try:
        asked.ask("GET", "/health", None, 1)
    except OSError:
        return False
    return True


def calls(stack: Stack) -> list[Figure]:
    """A read and a batch of metrics, by one and by eight callers, each against the same without a login."""
    client = Client(stack.outputs())
    token = client.password_token("alice")["access_token"]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    ours = Asked(client.outputs["mlflow_url"], headers)
    made = client.mlflow(f"{API}/experiments/create", token, "POST", json={"name": f"bench-{secrets.token_hex(4)}"})
    experiment = made.json()["experiment_id"]
    run = client.mlflow(f"{API}/runs/create", token, "POST", json={"experiment_id": experiment, "start_time": 1})
    run_id = run.json()["run"]["info"]["run_id"]
    figures = []
    with without_login(stack) as bare:
        for what, method, path in (
            ("read", "GET", f"{API}/experiments/get?experiment_id={experiment}"),
            ("log-batch", "POST", f"{API}/runs/log-batch"),
        ):
            for callers in (1, 8):
                sides: tuple[list[float], list[float]] = ([], [])
                for number in range(ROUNDS + 1):
                    body = None if method == "GET" else _batch(run_id, number)
                    for asked, seconds in zip((ours, bare), sides, strict=True):
                        one = partial(asked.ask, method, path, body, CALLS // callers)
                        seconds.append(timed(partial(at_once, callers, one)))
                # The first round warms both sides.
                name = f"{stack.engine}: {what}, bearer, {callers} at once"
                figures.append(Figure(name, sides[0][1:], "s", sides[1][1:], BOUNDS[what]))
    return figures


def _batch(run_id: str, number: int) -> object:
    metrics = [{"key": f"m{n}", "value": float(number), "timestamp": number, "step": number} for n in range(10)]
    return {"run_id": run_id, "metrics": metrics}
