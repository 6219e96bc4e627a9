"""What an answer may cost whoever asked for it: so many seconds and so many bytes, whatever the server sends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import requests

# Seconds for a whole answer, from the call on: a server that sends a byte at times ends no other time limit.
SECONDS = 120.0
# Bytes of one after decompression. The longest here are lists of people, of whom a thousand take 1 MB.
BYTES = 64 << 20

T = TypeVar("T")


class TooLongError(requests.exceptions.RequestException):
    """An answer went on beyond one of its bounds. Its text says which."""


def ask(call: Callable[[], requests.Response]) -> requests.Response:
    """The answer that `call` gets by `stream=True`, read whole. Raises what it raises, and TooLongError."""

    def read() -> requests.Response:
        answer = call()
        answer.raw = _Bounded(answer.raw)
        _ = answer.content
        return answer

    return _within(SECONDS, read)


def _within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` gives. Its thread is left to itself where it takes longer: nothing else ends each of its waits."""
    ended: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            ended.put((work(), None))
        except BaseException as error:
            # It is raised where the work was asked for.
            ended.put((None, error))

    threading.Thread(target=run, name="answer", daemon=True).start()
    try:
        found, error = ended.get(timeout=seconds)
    except Empty:
        raise TooLongError(f"no whole answer in {seconds:.0f} s") from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]


class _Bounded:
    """The body of an answer, as requests reads it (`Response.raw`), up to a bound."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def stream(self, amount: int, decode_content: bool) -> Iterator[bytes]:
        read = 0
        for piece in self._raw.stream(amount, decode_content=decode_content):
            read += len(piece)
            if read > BYTES:
                self._raw.close()
                raise TooLongError(f"an answer of more than {BYTES >> 20} MiB")
            yield piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
