"""A small HTTP server in this process that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from mlflow_sso_client.logins import Login, LoginStore


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body))


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class Fake:
    """routes: what answers "METHOD /path"; a value, or a function of the request."""

    url: str = ""
    routes: dict[str, Answer | Callable[[Asked], Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def times(self, route: str) -> int:
        return sum(f"{one.method} {one.path}" == route for one in self.asked)

    def issuer(self, realm: str = "mlflow") -> str:
        """Answer as an issuer; the token endpoint is left to the test."""
        base = f"{self.url}/realms/{realm}"
        endpoint = f"{base}/protocol/openid-connect"
        self.routes[f"GET /realms/{realm}/.well-known/openid-configuration"] = (
            200,
            {
                "issuer": base,
                "token_endpoint": f"{endpoint}/token",
                "authorization_endpoint": f"{endpoint}/auth",
                "device_authorization_endpoint": f"{endpoint}/auth/device",
                "revocation_endpoint": f"{endpoint}/revoke",
            },
        )
        return base


def token(sub: str, number: int = 1, issuer: str = "https://keycloak.test") -> str:
    """What Keycloak's tokens look like, without a signature."""
    body = json.dumps({"iss": issuer, "sub": sub, "jti": number}).encode()
    return f"e30.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}.x"


def bare_machine(monkeypatch: pytest.MonkeyPatch, home: Path, variables: Iterable[str]) -> None:
    """A user's machine without a stack, a login, Pulumi, and variables that could say where they are."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("stackctl.engines.pulumi_cli.find", lambda: None)
    for name in variables:
        monkeypatch.delenv(name, raising=False)


def kept_login(
    url: str, issuer: str = "https://keycloak.test/realms/mlflow", name: str = "dev", **changes: object
) -> LoginStore:
    """A login of alice's whose token is good for five minutes, unless `changes` say otherwise; where it is kept."""
    login = Login(
        mlflow_url=url, issuer=issuer, client_id="mlflow-cli", username="alice", kind="device", offline=False,
        access_token="good", access_from=time.time(), access_until=time.time() + 300, refresh_token="refresh-1",
    )  # fmt: skip
    store = LoginStore(name)
    store.write(replace(login, **changes))  # type: ignore[arg-type]
    return store


@contextmanager
def fake_server() -> Iterator[Fake]:
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body)
            fake.asked.append(asked)
            found = fake.routes.get(f"{self.command} {parts.path}", (404, {"error": "not found"}))
            status, document, *more = found(asked) if callable(found) else found
            text = document if isinstance(document, str) else json.dumps(document)
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            """Tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
