"""Flask under ASGI: a thread computes each answer, and none waits for whoever reads it.

asgiref's adapter, which the plugin uses, answers all requests in one thread that waits for whoever reads, writes bodies
into files, and goes between thread and event loop for each piece. See docs/decisions/mlflow/0013-threads-of-mlflow.md.

Source: PEP 3333; the ASGI specification, "HTTP & WebSocket ASGI Message Format", of which a server may drop what is
sent after a disconnect without a word.
"""

import asyncio
import contextvars
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlflow_sso.asgi import Receive, Scope, Send
from mlflow_sso.guard.below import path_of
from mlflow_sso.guard.bodies import whole

# Answers up to this size are sent at once; longer ones in pieces of it.
PIECE = 1 << 16
Environ = dict[str, Any]


def environ_of(scope: Scope, body: bytes) -> Environ:
    """A request as WSGI has it."""
    server = scope.get("server") or ("localhost", 80)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", "").encode().decode("latin-1"),
        "PATH_INFO": path_of(scope).encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": _file,
    }
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").upper().replace("-", "_")
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + name
        text = value.decode("latin-1")
        there = environ.get(key)
        environ[key] = text if there is None else there + ("; " if key == "HTTP_COOKIE" else ",") + text
    if body and "CONTENT_LENGTH" not in environ:
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers of WSGI as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


class _FilePieces:
    """A file in pieces that are worth a change of threads."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.close = getattr(file, "close", lambda: None)
        # Werkzeug looks for these where a part of the file is asked for.
        self.seek, self.tell = file.seek, file.tell
        self.seekable = getattr(file, "seekable", lambda: True)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._file.read(PIECE)
        if not piece:
            raise StopIteration
        return piece


def _file(file: Any, _size: int = 0) -> _FilePieces:
    return _FilePieces(file)


class Bridge:
    """An ASGI application around a WSGI one.

    threads: how many requests are computed at once; those that anybody may make have as many of their own.
    extra: what of the scope the WSGI application finds in its environ. is_open: whether anybody may make a request.
    """

    def __init__(
        self,
        wsgi: Callable[..., Iterable[bytes]],
        threads: int,
        extra: Callable[[Scope], Environ],
        is_open: Callable[[Scope], bool],
    ) -> None:
        self._wsgi, self._extra, self._is_open = wsgi, extra, is_open
        self._threads = ThreadPoolExecutor(threads, "flask")
        self._open = ThreadPoolExecutor(threads, "flask-open")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await whole(receive)
        if body is None:
            return
        pool = self._open if self._is_open(scope) else self._threads
        answer = _Answer(self._wsgi, environ_of(scope, body) | self._extra(scope), pool)
        await answer.send(receive, send)

    async def call(self, work: Callable[[Environ], Any], scope: Scope) -> Any:
        """What work makes of a request without its body, in a thread."""
        environ = environ_of(scope, b"") | self._extra(scope)
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, work, environ)


class _Answer:
    """One call of the WSGI application."""

    def __init__(self, wsgi: Callable[..., Iterable[bytes]], environ: Environ, pool: ThreadPoolExecutor) -> None:
        self._wsgi, self._environ, self._pool = wsgi, environ, pool
        self._context = contextvars.copy_context()
        self._status, self._headers = 500, list[tuple[bytes, bytes]]()
        self._result: Any = None
        self._pieces: Iterator[bytes] = iter(())

    async def send(self, receive: Receive, send: Send) -> None:
        try:
            first, whole = await self._in_thread(self._begin)
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            if whole:
                await send({"type": "http.response.body", "body": first})
            else:
                await self._stream(first, receive, send)
        finally:
            if self._result is not None:
                await self._in_thread(self._close)

    async def _stream(self, first: bytes, receive: Receive, send: Send) -> None:
        # After the body there is one message more, whenever it comes: http.disconnect.
        gone = asyncio.ensure_future(receive())
        try:
            piece: bytes | None = first
            while piece is not None and not gone.done():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await self._in_thread(self._next)
            if piece is None:
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await asyncio.wait([gone])

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._context.run, work)

    def _begin(self) -> tuple[bytes, bool]:
        """The first piece, and whether it is all there is."""
        self._result = self._wsgi(self._environ, self._start)
        self._pieces = iter(self._result)
        pieces, size = [], 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= PIECE:
                return b"".join(pieces), (b"content-length", str(size).encode()) in self._headers
        # Here and now, since another change of threads costs as much as a short answer.
        self._close()
        return b"".join(pieces), True

    def _close(self) -> None:
        result, self._result = self._result, None
        if hasattr(result, "close"):
            result.close()

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        self._status = int(status.split(" ", 1)[0])
        self._headers = raw(headers)
        return _no_write


def _no_write(_: bytes) -> None:
    raise NotImplementedError("the write callable of PEP 3333, which Flask does not use")
