"""A body in pieces that are worth a change of threads, or a request of their own to a bucket."""

from mlflow_sso.asgi import Receive


class Incoming:
    """size: bytes of each piece but the last. gone: whether the client went before the end."""

    def __init__(self, receive: Receive, size: int) -> None:
        self._receive, self._size = receive, size
        self._over = self._ended = False
        self._rest = b""
        self.gone = False

    async def next(self) -> bytes | None:
        """The next piece; None after the last. One that was begun is dropped where the client went."""
        if self._over:
            return None
        whole = bytearray(self._rest[: self._size])
        self._rest = self._rest[self._size :]
        while len(whole) < self._size:
            if self._ended:
                self._over = True
                break
            message = await self._receive()
            if message["type"] != "http.request":
                self.gone = self._over = True
                return None
            piece = message.get("body", b"")
            room = self._size - len(whole)
            if len(piece) > room:
                self._rest = piece[room:]
                piece = piece[:room]
            whole += piece
            self._ended = not message.get("more_body")
        # A client of a store copies an array where it takes bytes as they are, and does so in all threads at once.
        return bytes(whole)
