"""Refusals as MLflow answers them: JSON with `error_code` and `message`.

MLflow's client calls whatever has no `error_code` an INTERNAL_ERROR, as if the server were broken. The plugin refuses
with a message alone, or with FastAPI's `detail`, or with plain text.
"""

import json
from typing import Any

from mlflow_sso.asgi import Application, Message, Receive, Scope, Send
from mlflow_sso.guard.below import path_of

_CODES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
# What is behind these is answered by others, in their own form.
_OTHERS = ("/gateway/",)
_API = ("/api/", "/ajax-api/", "/v1/")
# The plugin's refusals are short; what is longer goes as it is.
_LONGEST = 1 << 16


def denied(text: str) -> Exception:
    """Answered with 403."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    refusal: Exception = MlflowException(text, error_code=PERMISSION_DENIED)
    return refusal


def invalid(text: str) -> Exception:
    """Answered with 400."""
    from mlflow.exceptions import MlflowException

    refusal: Exception = MlflowException.invalid_parameter_value(text)
    return refusal


class Coded:
    """Around the whole plugin: its refusals leave with the code that says what they are."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "HEAD" or path_of(scope).startswith(_OTHERS):
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _Answer(path_of(scope), send).take)


class _Answer:
    """One answer, which is held back while it may be a refusal without a code."""

    def __init__(self, path: str, send: Send) -> None:
        self._path, self._send = path, send
        self._start: Message | None = None
        self._body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._is_short(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            await self._add(message)
        else:
            await self._send(message)

    def _is_short(self, start: Message) -> bool:
        headers = dict(start.get("headers", ()))
        kind = headers.get(b"content-type", b"").partition(b";")[0]
        taken = kind == b"application/json" or (kind == b"text/plain" and self._path.startswith(_API))
        return start["status"] in _CODES and taken and b"content-encoding" not in headers

    async def _add(self, message: Message) -> None:
        assert self._start is not None
        self._body += message.get("body", b"")
        more = message.get("more_body", False)
        if more and len(self._body) <= _LONGEST:
            return
        start, self._start = self._start, None
        body = self._body if more else coded(start["status"], self._body)
        if body != self._body:
            changed = {b"content-length": str(len(body)).encode(), b"content-type": b"application/json"}
            kept = [(name, value) for name, value in start["headers"] if name.lower() not in changed]
            start = {**start, "headers": [*kept, *changed.items()]}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def coded(status: int, body: bytes) -> bytes:
    """A refusal with its code and its message; what is none of these forms, or has a code, is left as it is."""
    text = body.decode(errors="replace").strip()
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        told = {} if "<" in text or not text else {"message": text}
    if not isinstance(told, dict) or not told or "error_code" in told:
        return body
    detail = told.get("detail")
    message = {"message": detail} if isinstance(detail, str) and "message" not in told else {}
    return json.dumps({"error_code": _CODES[status], **message, **told}).encode()


def install() -> None:
    from mlflow_oidc_auth.app import app
    from starlette.middleware import Middleware

    # The first in the list is outermost.
    app.user_middleware.insert(0, Middleware(Coded))
