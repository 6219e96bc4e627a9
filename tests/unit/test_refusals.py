"""How refusals of the plugin leave the server: with the code by which MLflow's client knows them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mlflow_sso.mends.refusals import _LONGEST, Coded

JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"


def answered(
    status: int, kind: bytes, *pieces: bytes, path: str = "/api/2.0/mlflow/runs/get", method: str = "GET", **more: bytes
) -> tuple[dict[bytes, bytes], bytes]:
    """The headers and the body of an answer of the plugin's as they leave the server."""
    sent: list[Any] = []

    async def plugin(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind), (b"content-length", b"%d" % sum(map(len, pieces)))]
        headers += [(name.replace("_", "-").encode(), value) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    asyncio.run(Coded(plugin)(scope, receive, send))
    start, *bodies = sent
    assert start["status"] == status
    assert [body.get("more_body", False) for body in bodies] == [True] * (len(bodies) - 1) + [False]
    headers, body = dict(start["headers"]), b"".join(body["body"] for body in bodies)
    assert int(headers[b"content-length"]) == len(body)
    return headers, body


@pytest.mark.parametrize(
    ("status", "kind", "pieces", "told"),
    [
        (403, JSON, [b'{"message": "Permission', b' denied"}\n'], {"message": "Permission denied"}),
        (403, TEXT, [b"Permission denied"], {"message": "Permission denied"}),
        (403, JSON, [b'{"detail": "Only for some"}'], {"message": "Only for some", "detail": "Only for some"}),
        (401, JSON, [b'{"detail": "Log in"}'], {"message": "Log in", "detail": "Log in"}),
    ],
)
def test_a_refusal_has_its_code_and_keeps_its_message(
    status: int, kind: bytes, pieces: list[bytes], told: dict[str, str]
) -> None:
    headers, body = answered(status, kind, *pieces, www_authenticate=b"Basic")
    assert json.loads(body) == {"error_code": {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}[status], **told}
    assert headers[b"content-type"] == JSON
    assert headers[b"www-authenticate"] == b"Basic"


@pytest.mark.parametrize(
    ("status", "kind", "body", "more"),
    [
        (403, JSON, b'{"error_code": "OTHER", "message": "x"}', {}),
        (403, JSON, b'["x"]', {}),
        (403, JSON, b"", {}),
        (403, TEXT, b"<html>", {}),
        (403, TEXT, b"Permission denied", {"path": "/x"}),
        (403, JSON, b'{"error": "of a provider"}', {"path": "/gateway/x/invocations"}),
        (401, b"application/scim+json", b'{"detail": "x"}', {"path": "/scim/v2/Users"}),
        (403, JSON, b'{"message": "x"}', {"method": "HEAD"}),
        (403, JSON, b'{"message": "x"}', {"content_encoding": b"gzip"}),
        (404, JSON, b'{"message": "x"}', {}),
        (200, JSON, b'{"message": "x"}', {}),
    ],
)
def test_any_other_answer_is_left_as_it_is(status: int, kind: bytes, body: bytes, more: dict[str, Any]) -> None:
    headers, sent = answered(status, kind, body, **more)
    assert (headers[b"content-type"], sent) == (kind, body)


def test_a_refusal_longer_than_the_plugins_is_not_held_back() -> None:
    pieces = [b'{"message": "', b"x" * _LONGEST, b"y" * _LONGEST, b'"}']
    assert answered(403, JSON, *pieces)[1] == b"".join(pieces)
