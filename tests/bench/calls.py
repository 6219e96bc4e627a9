"""What logging in costs each call: MLflow behind the stack against `mlflow server` without any of it.

Both run in the same image, on the same database and artifacts, and are asked by turns. The figures are seconds for a
number of calls, so a ratio of 1.25 is 0.8 of the calls in a second.
"""

from __future__ import annotations

import json
import secrets
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.bench.beside import PORT, beside
from tests.bench.figures import Figure, Held, timed
from tests.e2e.asking import person
from tests.e2e.harness import Client, Stack
from tests.e2e.login import ui_session

ROUNDS = 5
CALLS = 240
API = "/api/2.0/mlflow"
# At least 0.8 of the calls in a second that read, and 0.9 of those that write.
BOUNDS = {"read": 1 / 0.8, "log-batch": 1 / 0.9}


# The headers by which somebody is known now.
Known = Callable[[], dict[str, str]]


@dataclass(frozen=True)
class Asked:
    """A server, and how its callers are known."""

    url: str
    credentials: Mapping[str, str]

    def ask(self, method: str, path: str, body: object, times: int) -> None:
        """One caller's calls, one after the other on one connection. Raises RuntimeError for an answer that is none."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        headers = {"Content-Type": "application/json", **self.credentials}
        for _ in range(times):
            connection.request(method, path, json.dumps(body).encode() if body else None, headers)
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
    kept = ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION")
    command = (
        "mlflow", "server", "--host", "0.0.0.0", "--port", str(PORT), "--workers", "1", "--artifacts-destination",
        "/mlflow/artifacts", "--allowed-hosts", "*",
    )  # fmt: skip
    with beside(stack, "bare", command, "/health", kept.__contains__, {}) as url:
        yield Asked(url, {})


def _bearer(client: Client) -> Known:
    # A bearer token lives for minutes.
    return lambda: {"Authorization": f"Bearer {client.password_token('bob')['access_token']}"}


def _personal(client: Client) -> Known:
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"name": f"bench-{secrets.token_hex(4)}", "expiration": expires}
    access = str(client.password_token("bob")["access_token"])
    made = client.mlflow(f"{API}/users/current/tokens", access, "POST", json=body).json()["token"]
    headers = {"Authorization": "Basic " + b64encode(f"bob:{made}".encode()).decode()}
    return lambda: headers


def _session(client: Client) -> Known:
    cookies = ui_session(client, "bob").cookies
    headers = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)}
    return lambda: headers


WAYS = {"bearer": _bearer, "personal token": _personal, "session": _session}


@dataclass(frozen=True)
class Call:
    """What is asked: a run's metrics where there is one, else what can be read."""

    method: str
    path: str
    run: str | None = None

    def body(self, number: int) -> object:
        if self.run is None:
            return None
        metrics = [{"key": f"m{n}", "value": float(number), "timestamp": number, "step": number} for n in range(10)]
        return {"run_id": self.run, "metrics": metrics}


def calls(stack: Stack) -> list[Held]:
    """A read and a batch of metrics by a plain user, one and eight at once, each against one without a login."""
    client = Client(stack.outputs())
    bob = person(client, "bob")
    experiment = bob.experiment()
    asked = {
        "read": Call("GET", f"{API}/experiments/get?experiment_id={experiment}"),
        "log-batch": Call("POST", f"{API}/runs/log-batch", bob.run(experiment)),
    }
    with without_login(stack) as bare:
        return [
            Figure(f"{stack.engine}: {what}, {way}, {callers} at once", ours, "s", theirs, BOUNDS[what])
            for way, login in WAYS.items()
            for known in [login(client)]
            for what, call in asked.items()
            for callers in (1, 8)
            for ours, theirs in [_by_turns(client, known, bare, call, callers)]
        ]


def _by_turns(client: Client, known: Known, bare: Asked, call: Call, callers: int) -> tuple[list[float], list[float]]:
    """Seconds of the stack's rounds, and of those without a login."""
    sides: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        ours = Asked(client.outputs["mlflow_url"], known())
        for asked, seconds in zip((ours, bare), sides, strict=True):
            one = partial(asked.ask, call.method, call.path, call.body(number), CALLS // callers)
            seconds.append(timed(partial(at_once, callers, one)))
    # The first round warms both sides.
    return sides[0][1:], sides[1][1:]
