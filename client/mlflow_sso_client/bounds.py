"""What an answer may cost whoever asked for it: so many seconds and so many bytes, whatever the server sends."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import requests

# Seconds for a whole answer, from the call on: a server that sends a byte at times ends no other time limit.
SECONDS = 120.0
# Bytes of one: tokens and descriptions have thousands; in a list of an organization's people a thousand take a million.
DOCUMENT, LIST = 1 << 20, 64 << 20
# Seconds after which a wait looks whether somebody pressed Ctrl-C, which interrupts none on Windows.
_LOOK_SECONDS = 0.5
_PLAIN = ("", "identity")

T = TypeVar("T")


class UnfitError(requests.exceptions.RequestException):
    """An answer went beyond one of its bounds. Its text says which."""


def ask(
    http: requests.Session,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str | None] | None = None,
    seconds: float | None = None,
    size: int = DOCUMENT,
    **more: Any,
) -> requests.Response:
    """The answer to a request, read whole. Raises what requests raises, and UnfitError.

    seconds: for all of it; SECONDS by default. size: bytes. What is compressed is refused: a few bytes of it may be
    gigabytes, and nobody asked for it.
    """
    seconds = SECONDS if seconds is None else seconds
    bound = _Bound(size, seconds)
    # Before requests looks at the answer itself, which reads that of a redirect.
    more |= {"stream": True, "hooks": {"response": bound.put}}
    headers = {**(headers or {}), "Accept-Encoding": "identity"}

    def read() -> requests.Response:
        answer = http.request(method, url, headers=headers, **more)
        _ = answer.content
        return answer

    return _within(seconds, read, bound.cut)


def _within(seconds: float, work: Callable[[], T], cut: Callable[[], None]) -> T:
    """What `work` gives, from a thread that is left to itself where it takes longer, after `cut`."""
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:
            # It is raised where the work was asked for.
            future.set_exception(error)

    try:
        threading.Thread(target=run, name="answer", daemon=True).start()
    except RuntimeError:
        # Python starts no thread as it ends, and the system none beyond a limit: then it is read here and now.
        return work()
    end = time.monotonic() + seconds
    while not future.done() and (left := end - time.monotonic()) > 0:
        wait([future], min(left, _LOOK_SECONDS))
    if not future.done():
        cut()
        raise _late(seconds)
    return future.result()


def _late(seconds: float) -> UnfitError:
    return UnfitError(f"no whole answer in {seconds:g} s")


class _Bound:
    """The bounds of one answer, and of those that lead to it."""

    def __init__(self, size: int, seconds: float) -> None:
        self.size, self.seconds, self._end = size, seconds, time.monotonic() + seconds
        self._raw: Any = None

    def put(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        """Bounds the body of an answer before anybody reads it. A hook of requests."""
        self._raw = answer.raw
        if answer.headers.get("Content-Encoding", "").lower() not in _PLAIN:
            raise UnfitError("a compressed answer, which was not asked for")
        answer.raw = _Bounded(answer.raw, self)

    def check(self, read: int) -> None:
        if read > self.size:
            raise UnfitError(f"an answer of more than {self.size >> 20} MiB")
        if time.monotonic() > self._end:
            raise _late(self.seconds)

    def cut(self) -> None:
        """Ends the connection of an answer that is being read, where urllib3 can do that (2.3)."""
        shutdown = getattr(self._raw, "shutdown", None)
        if shutdown is not None:
            shutdown()


class _Bounded:
    """The body of an answer, as requests reads it (`Response.raw`)."""

    def __init__(self, raw: Any, bound: _Bound) -> None:
        self._raw, self._bound = raw, bound

    def stream(self, amount: int, decode_content: bool) -> Iterator[bytes]:
        read = 0
        for piece in self._raw.stream(amount, decode_content=decode_content):
            read += len(piece)
            try:
                self._bound.check(read)
            except UnfitError:
                self._raw.close()
                raise
            yield piece

    def __getattr__(self, name: str) -> Any:
        if name == "_raw":
            raise AttributeError(name)
        return getattr(self._raw, name)
