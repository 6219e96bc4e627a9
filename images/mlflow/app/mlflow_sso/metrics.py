"""What this server did, for Prometheus, on a port of its own: requests by kind and status, their time and bytes.

Every process of the server counts into files that they share (`prometheus_client`, "Multiprocess Mode"), and whichever
holds the port answers for all of them. The port is for scrapers alone; the public one says nothing of this.
"""

import os
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mlflow_sso.asgi import Application, Message, Receive, Scope, Send
from mlflow_sso.guard.below import path_of
from mlflow_sso.guard.routes import kind

VARIABLE, PATH = "MLFLOW_SSO_METRICS_PORT", "/metrics"
_SHARED = Path("/tmp/metrics")
# How soon another process answers once the one with the port is gone.
_RETRY_SECONDS = 5.0
_SCRAPER_SECONDS = 10
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


def told(env: Mapping[str, str] = os.environ) -> int:
    """The port to answer scrapers at; 0 where nobody reads metrics."""
    return int(env.get(VARIABLE, "0"))


def share() -> None:
    """Has every process count into the same files; to be called before the library is imported, whoever does."""
    if told():
        _SHARED.mkdir(parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_SHARED)


class Meters:
    """The figures of one process. shared: the directory of all processes' figures, as `share` has made it."""

    def __init__(self, shared: Path = _SHARED) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.shared = shared
        self.requests: Any = Counter("mlflow_sso_requests", "Requests that were answered.", ["kind", "status"])
        self.seconds: Any = Histogram(
            "mlflow_sso_request_seconds",
            "From first byte asked to last byte answered.",
            ["kind"],
            buckets=_BUCKETS,
        )
        self.read: Any = Counter("mlflow_sso_read_bytes", "Bytes of bodies of requests that were read.", ["kind"])
        self.sent: Any = Counter("mlflow_sso_sent_bytes", "Bytes of bodies of answers that were sent.", ["kind"])
        self.now: Any = Gauge(
            "mlflow_sso_requests_now", "Requests that are being answered.", ["kind"], multiprocess_mode="livesum"
        )
        self.waits: Any = Histogram(
            "mlflow_sso_turn_wait_seconds", "How long requests of users waited for a turn.", buckets=_BUCKETS
        )

    def text(self) -> bytes:
        """The figures of all processes, in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

        for process in {file.stem.rpartition("_")[2] for file in self.shared.glob("gauge_live*.db")}:
            if not Path("/proc", process).exists():
                mark_process_dead(int(process), str(self.shared))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.shared))
        return bytes(generate_latest(registry))


class Measured:
    """An application whose requests are counted."""

    def __init__(self, app: Application, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        what, start = kind(scope["method"], path_of(scope)).name.lower(), time.monotonic()
        one = _Request(receive, send)
        meters = self._meters
        meters.now.labels(what).inc()
        try:
            await self._app(scope, one.receive, one.send)
        finally:
            meters.now.labels(what).dec()
            meters.requests.labels(what, str(one.status)).inc()
            meters.seconds.labels(what).observe(time.monotonic() - start)
            meters.read.labels(what).inc(one.read)
            meters.sent.labels(what).inc(one.sent)


class _Request:
    """One request on its way. status: 0 where it got no answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.status = self.read = self.sent = 0

    @property
    def transport(self) -> Any:
        """The connection, where the server is uvicorn (`mlflow_sso.guard.guard.abort`)."""
        return getattr(getattr(self._send, "__self__", None), "transport", None)

    async def receive(self) -> Message:
        message = await self._receive()
        self.read += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.sent += len(message.get("body", b""))
        await self._send(message)


def serve(meters: Meters, port: int, host: str = "0.0.0.0") -> threading.Thread:
    """Answers scrapers from now on, or from when no other process does any more."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _SCRAPER_SECONDS

        def do_GET(self) -> None:
            there = self.path.partition("?")[0] == PATH
            body = meters.text() if there else b""
            self.send_response(200 if there else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A scraper comes every few seconds."""

    def answer() -> None:
        while True:
            try:
                with ThreadingHTTPServer((host, port), Handler) as server:
                    server.serve_forever()
            except OSError:
                # Another process of this server answers.
                time.sleep(_RETRY_SECONDS)

    thread = threading.Thread(target=answer, name="metrics", daemon=True)
    thread.start()
    return thread
