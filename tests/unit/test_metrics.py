"""What is counted of requests, and who is answered at the port of metrics."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from mlflow_sso import metrics
from mlflow_sso.guard import Guard, Limits, Origins
from mlflow_sso.guard.line import Line
from mlflow_sso.metrics import Measured

from components.mlflow import METRICS_PATH, METRICS_PORT
from components.stack import stack_spec
from platforms.workload import Workload
from tests.e2e.harness import free_ports
from tests.samples import settings
from tests.unit.asgi_client import ask, reply, run

SEARCH = "/api/2.0/mlflow/runs/search"


class Meter:
    """A figure, by its labels."""

    def __init__(self, labels: tuple[str, ...] = (), counts: dict[Any, float] | None = None) -> None:
        self.name, self.counts = labels, counts if counts is not None else {}

    def labels(self, *labels: str) -> Meter:
        return Meter(labels, self.counts)

    def inc(self, amount: float = 1) -> None:
        self.counts[self.name] = self.counts.get(self.name, 0) + amount

    def dec(self) -> None:
        self.inc(-1)

    def observe(self, amount: float) -> None:
        assert amount >= 0
        self.inc()


class Meters:
    """As `mlflow_sso.metrics.Meters`, without the library that the image has."""

    def __init__(self) -> None:
        self.requests, self.seconds, self.read, self.sent, self.now = (Meter() for _ in range(5))

    @staticmethod
    def text() -> bytes:
        return b"figures 1\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive()).get("body", b"")
    await reply(send, 200, body * 2)


def measured(meters: Meters, app: Any = application) -> Any:
    return Measured(Guard(app, Limits(), Origins((), ()), None), meters)  # type: ignore[arg-type]


def test_requests_count_by_kind_and_status_with_their_bytes() -> None:
    meters = Meters()
    served = measured(meters)
    run(ask(served, "POST", SEARCH, [b"12345"]))
    run(ask(served, "POST", "/login"))
    run(ask(served, "POST", "/v1/traces", headers={"content-length": str(1 << 30)}))
    assert meters.requests.counts == {("api", "200"): 1, ("open", "405"): 1, ("trace", "413"): 1}
    assert (meters.read.counts["api",], meters.sent.counts["api",]) == (5, 10)
    assert meters.seconds.counts == {("api",): 1, ("open",): 1, ("trace",): 1}
    assert set(meters.now.counts.values()) == {0}


def test_a_request_that_failed_is_counted_and_is_over() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    meters = Meters()
    with pytest.raises(RuntimeError):
        run(ask(measured(meters, fails), "GET", SEARCH))
    assert meters.requests.counts == {("api", "0"): 1}
    assert meters.now.counts == {("api",): 0}


def test_a_connection_can_be_dropped_through_the_counting() -> None:
    class Connection:
        transport = "the transport"

        async def send(self, message: Any) -> None: ...

    found: list[Any] = []

    async def looks(scope: Any, receive: Any, send: Any) -> None:
        found.append(send.__self__.transport)

    scope = {"type": "http", "method": "GET", "path": "/"}
    run(Measured(looks, Meters())(scope, Connection().send, Connection().send))  # type: ignore[arg-type]
    assert found == ["the transport"]


def test_the_wait_for_a_turn_is_told() -> None:
    async def scenario() -> list[float]:
        waits: list[float] = []
        line = Line(1, 1, 9, 5, waits.append)

        async def one() -> None:
            async with line.turn("bob"):
                await asyncio.sleep(0.05)

        await asyncio.gather(one(), one())
        return waits

    first, second = run(scenario())
    assert first == 0
    assert 0.03 < second < 4


def test_scrapers_get_the_figures_and_nothing_else() -> None:
    (port,) = free_ports(1)
    metrics.serve(Meters(), port, "127.0.0.1")  # type: ignore[arg-type]
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{METRICS_PATH}", timeout=5) as answer:
                assert answer.read() == b"figures 1\n"
            break
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)


def _mlflow(config: dict[str, Any]) -> Workload:
    (found,) = [workload for workload in stack_spec(settings(config)).workloads if workload.name == "mlflow"]
    return found


def test_metrics_have_a_port_that_nobody_calls_and_no_url_leads_to() -> None:
    workload = _mlflow({"mlflow": {"metrics": True}})
    (port,) = [port for port in workload.ports if port.metrics]
    assert (port.number, port.metrics, port.callers, port.entrance) == (METRICS_PORT, METRICS_PATH, (), None)
    assert workload.env["MLFLOW_SSO_METRICS_PORT"] == str(METRICS_PORT)
    assert METRICS_PATH == metrics.PATH
    assert metrics.VARIABLE in workload.env


@pytest.mark.parametrize("metrics", [True, False, None])
@pytest.mark.parametrize("url", ["http://localhost:5000", "https://ml.example.com"])
def test_only_a_loopback_url_leads_to_metrics_and_only_by_default(url: str, metrics: bool | None) -> None:
    found = _mlflow({"mlflow": {"url": url, "metrics": metrics, "tls": {"proxy": url.startswith("https")}}})
    assert ("--expose-prometheus" in found.args) is (metrics is None and "localhost" in url)


def test_nothing_is_counted_unless_it_is_asked_for() -> None:
    workload = _mlflow({})
    assert [port.name for port in workload.ports] == ["http"]
    assert metrics.VARIABLE not in workload.env
    assert (metrics.told({}), metrics.told(workload.env)) == (0, 0)
