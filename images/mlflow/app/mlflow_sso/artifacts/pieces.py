"""A body in pieces that are worth a change of threads, or a request of their own to a bucket."""

from collections.abc import Awaitable, Callable

from mlflow_sso.asgi import Receive
from mlflow_sso.guard.bodies import gather

# Bytes of a body that are worth a turn among others.
_PACED = 1 << 14


class Incoming:
    """size: bytes of each piece but the last. gone: whether the client went early.

    step: waits until more may come, for every _PACED bytes: who sends little takes nobody's turn.
    """

    def __init__(self, receive: Receive, size: int, step: Callable[[], Awaitable[None]]) -> None:
        self._receive, self._size, self._step = receive, size, step
        self._over = self._ended = False
        self._rest = b""
        self._moved = _PACED
        self.gone = False

    async def next(self) -> list[bytes | bytearray] | None:
        """The next piece as it came; None after the last. One that was begun is dropped where the client went."""
        if self._over:
            return None
        parts: list[bytes | bytearray] = [self._rest[: self._size]]
        room = self._size - len(parts[0])
        self._rest = self._rest[self._size :]
        while room:
            if self._ended:
                self._over = True
                break
            if self._moved >= _PACED:
                await self._step()
                self._moved = 0
            message = await self._receive()
            if message["type"] != "http.request":
                self.gone = self._over = True
                return None
            piece = message.get("body", b"")
            self._moved += len(piece)
            if len(piece) > room:
                self._rest = piece[room:]
                piece = piece[:room]
            gather(parts, piece)
            room -= len(piece)
            self._ended = not message.get("more_body")
        return [part for part in parts if part]
