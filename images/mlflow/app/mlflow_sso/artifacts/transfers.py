"""One upload or download, for whatever store the server's artifacts are in."""

import asyncio
import posixpath
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from mlflow_sso.artifacts.pieces import Incoming
from mlflow_sso.artifacts.ranges import Found
from mlflow_sso.asgi import Receive, Scope, Send
from mlflow_sso.guard.answers import Refusal
from mlflow_sso.guard.bodies import declared, header
from mlflow_sso.guard.pace import Pace


class Store(Protocol):
    """Where artifacts are. It is called in threads; each method raises Refusal for what the client should know.

    piece, reads: bytes of an upload and of a download that are worth a change of threads.
    """

    piece: int
    reads: int

    def begin(self, path: str, length: int | None) -> "Upload":
        """An upload to a path below the store's root. length: bytes, where the client told."""

    def find(self, path: str, wanted: str | None, unless: str | None) -> Found:
        """An artifact. wanted: of which bytes, as Range has it; unless: only of this version, as If-Range has it."""


class Upload(Protocol):
    """Bytes on their way into a store. Nobody sees them before `publish`, and none are left after `give_up`."""

    def write(self, piece: list[bytes | bytearray]) -> None: ...

    def publish(self) -> None: ...

    def give_up(self) -> None: ...


class Transfers:
    """Moves artifacts of what `store` finds, under paths that `place` has checked. threads: pieces at once.

    pace: when each piece may move.
    """

    def __init__(self, store: Callable[[], Store], place: Callable[[str], str], threads: int, pace: Pace) -> None:
        self._find, self._place = store, place
        self._threads = ThreadPoolExecutor(threads, "artifacts")
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send, told: dict[str, str]) -> None:
        """Answers a request that may move the artifact whose path the application told."""
        store = await self._run(self._find)
        path = await self._run(partial(self._place, told["artifact_path"]))
        with self._pace.body():
            if scope["method"] == "PUT":
                await self._upload(store, path, scope, receive, send)
            else:
                await self._download(store, path, scope, receive, send)

    async def _run(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _upload(self, store: Store, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not posixpath.basename(path):
            raise Refusal(400, "The path of an artifact ends in its name.")
        incoming = Incoming(receive, store.piece, self._pace.step)
        upload: Upload | None = None
        whole = False
        try:
            upload = await self._run(partial(store.begin, path, declared(scope)))
            while (piece := await incoming.next()) is not None:
                if piece:
                    await self._run(partial(upload.write, piece))
                # Not kept while the next one comes: eight uploads would hold three pieces each.
                piece = []
            if incoming.gone:
                return
            await self._run(upload.publish)
            whole = True
        finally:
            if upload is not None and not whole:
                # Also where the server stops: the thread goes on.
                await asyncio.shield(asyncio.ensure_future(self._run(upload.give_up)))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    async def _download(self, store: Store, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        given = (header(scope, name) for name in (b"range", b"if-range"))
        wanted, unless = (value.decode("latin-1") if value else None for value in given)
        found: Found = await self._run(partial(store.find, path, wanted, unless))
        # The request has no body; behind its end comes one message more, whenever: http.disconnect.
        while (await receive()).get("more_body"):
            pass
        gone = asyncio.ensure_future(receive())
        pieces = iter(()) if scope["method"] == "HEAD" else found.pieces(store.reads)
        read = partial(self._threads.submit, next, pieces, None)
        reading = read()
        try:
            # Before the answer begins: a store that refuses to be read is an answer of its own.
            piece = await asyncio.wrap_future(reading)
            await send({"type": "http.response.start", "status": found.status, "headers": found.headers(path)})
            while piece is not None and not gone.done():
                # The next piece is read while this one is sent.
                reading = read()
                await self._pace.step()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await asyncio.wrap_future(reading)
            if piece is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            await asyncio.shield(asyncio.ensure_future(self._close(found, reading)))

    async def _close(self, found: Found, reading: Future[bytes | None]) -> None:
        """Ends a download, once no thread reads of it any more."""
        await asyncio.wait([asyncio.wrap_future(reading)])
        await self._run(found.close)
