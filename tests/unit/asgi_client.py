"""Requests to an ASGI application without a server, and what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mlflow_sso.asgi import Application, Message, Scope

T = TypeVar("T")


@dataclass
class Answer:
    """status: 0 where the application has sent none. read: bytes of the body that it was given."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    read: int = 0
    whole: bool = False

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])


class Beside:
    """How many are inside at once, and were at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


def scope_of(method: str, path: str, headers: Mapping[str, str] | None = None) -> Scope:
    given = {"host": "ml.example.com", **(headers or {})}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
    }


async def ask(
    app: Application,
    method: str,
    path: str,
    pieces: Iterable[bytes] = (),
    headers: Mapping[str, str] | None = None,
    leaves: bool = False,
    hangs: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Answer:
    """One request. leaves: the client goes before the end of its body; hangs: it sends no more, and stays."""
    answer, queue = Answer(), [*pieces]
    never = asyncio.Event()
    given = list[bytes]()

    async def receive() -> Message:
        if queue:
            piece = queue.pop(0)
            answer.read += len(piece)
            given.append(piece)
            return {"type": "http.request", "body": piece, "more_body": bool(queue) or leaves or hangs}
        if leaves:
            return {"type": "http.disconnect"}
        if hangs or answer.whole or given:
            await never.wait()
        given.append(b"")
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not answer.status, "two answers to one request"
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert not answer.whole, "more after the end of the answer"
            answer.body += message.get("body", b"")
            answer.whole = not message.get("more_body", False)

    await app({**scope_of(method, path, headers), **(more or {})}, receive, send)
    return answer


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    """An application that reads all, and answers how many bytes there were."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client has gone")
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await reply(send, 200, str(size).encode())


async def reply(send: Any, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def run(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns; unlike asyncio.run, it leaves the thread's own event loop to tests of Pulumi."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
