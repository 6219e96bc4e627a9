"""The body of a request, counted while it comes: no more bytes, no more values, no longer a wait than allowed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from mlflow_sso.asgi import Message, Receive, Scope, Send
from mlflow_sso.guard.answers import Refusal
from mlflow_sso.guard.limits import Limits

# Commas and colons, in text as well, for each object or array that a body may have.
_MEMBERS = 4
# After a refusal the rest of the body is read for so long, since many clients look for an answer only once all is sent.
_DRAIN_SECONDS = 5.0
_DRAIN_IDLE_SECONDS = 1.0
# Between two pieces of what is no artifact: who sends much for nothing keeps the server's thread from nobody.
DRAIN_PAUSE = 0.005
# Shorter pieces of a body become one: each that is kept takes some fifty bytes more than it has.
_SHORT, _GATHERED = 1 << 14, 1 << 16


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of a name, which is in small letters."""
    return next((value for key, value in scope["headers"] if key == name), None)


def declared(scope: Scope) -> int | None:
    """The length that a body says it has; None where it does not say; 0 where there is none."""
    length = header(scope, b"content-length")
    if length is not None:
        return int(length) if length.isdigit() else None
    return None if header(scope, b"transfer-encoding") is not None else 0


async def no_body() -> Message:
    """The receive of a request that has no body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def gather(pieces: list[bytes | bytearray], piece: bytes) -> None:
    """Adds a piece to those that are kept of a body."""
    last = pieces[-1] if pieces else None
    if len(piece) >= _SHORT:
        pieces.append(piece)
    elif isinstance(last, bytearray) and len(last) < _GATHERED:
        last += piece
    else:
        pieces.append(bytearray(piece))


async def _at_once() -> None:
    """What is done between two pieces where nobody says what."""


async def whole(
    receive: Receive,
    counted: Callable[[int], None] = lambda _: None,
    between: Callable[[], Awaitable[None]] = _at_once,
) -> bytes | None:
    """A body, all of it; None where its client has gone.

    counted: is told the bytes of each piece. between: is awaited before the next piece is read. Both may raise.
    """
    pieces: list[bytes | bytearray] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece = message.get("body", b"")
        counted(len(piece))
        if not message.get("more_body"):
            return b"".join((*pieces, piece)) if pieces else piece
        gather(pieces, piece)
        await between()


class Values:
    """The objects and arrays of JSON, counted in its text while it comes. most: how many it may have."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._opened = self._members = 0

    def too_many(self, piece: bytes) -> bool:
        """Whether there are too many, this piece among them."""
        self._opened += piece.count(b"{") + piece.count(b"[")
        self._members += piece.count(b",") + piece.count(b":")
        return self._opened > self.most or self._members > _MEMBERS * self.most


def within(text: str, most: int = Limits.json_values) -> Any:
    """JSON that a body holds as a text, whose escapes the count of the body did not see.

    Raises ValueError for what is none, and for more objects and arrays than a body may have.
    """
    if Values(most).too_many(text.encode(errors="replace")):
        raise ValueError(f"it has more than {most} objects and arrays")
    return json.loads(text)


class Body:
    """The receive of an application that is told nothing beyond the limits; `refusal` then says which one was met.

    maximum: bytes; None: any. values: objects and arrays of JSON; None: not looked for. idle: seconds. too_large: what
    is said of more bytes.
    """

    def __init__(self, receive: Receive, maximum: int | None, values: int | None, idle: float, too_large: str) -> None:
        self._receive, self._maximum, self._idle = receive, maximum, idle
        self._values = None if values is None else Values(values)
        self._too_large = too_large
        self._whole = False
        self._bytes = 0
        self.gone = False
        self.refusal: Refusal | None = None

    async def __call__(self) -> Message:
        if self.refusal is not None:
            return {"type": "http.disconnect"}
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle):
                message = await self._receive()
        except TimeoutError:
            self.refusal = Refusal(408, f"Nothing of the body came for {self._idle:g} seconds.", connection="close")
            return {"type": "http.disconnect"}
        if message["type"] != "http.request":
            self.gone = True
            return message
        self._whole = not message.get("more_body")
        self._count(message.get("body", b""))
        return {"type": "http.disconnect"} if self.refusal else message

    async def rest(self) -> Message:
        """What still comes after a refusal."""
        return {"type": "http.disconnect"} if self._whole else await self._receive()

    def _count(self, piece: bytes) -> None:
        self._bytes += len(piece)
        if self._maximum is not None and self._bytes > self._maximum:
            self.refusal = Refusal(413, self._too_large)
        if self._values is not None and self._values.too_many(piece):
            self.refusal = Refusal(413, f"The body has more than {self._values.most} objects and arrays.")


async def refuse(refusal: Refusal, receive: Receive, send: Send, pause: float = 0.0) -> None:
    """Answers, and reads for a while what the client goes on to send, without keeping any of it.

    pause: seconds between two pieces.
    """
    await refusal.begin(send)
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            more = True
            while more:
                async with asyncio.timeout(_DRAIN_IDLE_SECONDS):
                    message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                if more:
                    await asyncio.sleep(pause)
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})
