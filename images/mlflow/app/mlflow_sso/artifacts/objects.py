"""Artifacts in an object store: what is the same for all kinds of them.

A kind is told of in a module of its own: s3.py, gcs.py, azure.py.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate
from typing import Any, NoReturn, Protocol

from mlflow_sso.artifacts.ranges import READS, Found, part
from mlflow_sso.guard.answers import Refusal

_log = logging.getLogger(__name__)
MIB = 1 << 20
# The least that S3 takes as a part.
PART = 5 * MIB
# Parts grow by as much with each thousand, up to ten times of it, so that their number suffices.
_STEP, _STEPS = 1000, 10


@dataclass(frozen=True)
class Facts:
    """A version of an object. etag: what stands for it in HTTP; handle: what its store knows it by."""

    key: str
    size: int
    etag: str
    modified: datetime
    handle: Any = None


class Parts(Protocol):
    """An object on its way into a store. Nobody sees it before `finish`."""

    def send(self, number: int, body: bytes) -> None:
        """A part that is not the last one, with its number from 1."""

    def finish(self, number: int, rest: bytes) -> None:
        """The last part, and the end."""

    def abort(self) -> None:
        """Removes what was sent, as far as the store can. What it raises is of no interest."""


class Kind(Protocol):
    """An object store, below a root. Its methods raise what its client raises, which `told` knows.

    parts: how many an object may have; None: as many as there are, all of one size.
    longest: bytes of an object.
    """

    @property
    def parts(self) -> int | None: ...

    @property
    def longest(self) -> int: ...

    def facts(self, key: str) -> Facts: ...

    def read(self, facts: Facts, start: int, length: int) -> tuple[Callable[[int], bytes], Callable[[], None]]:
        """What reads bytes of a version of an object, and what ends that. length: at least 1."""

    def put(self, key: str, body: bytes) -> None:
        """An object in one call."""

    def begin(self, key: str) -> Parts: ...

    def told(self, path: str) -> AbstractContextManager[None]:
        """Errors of the store as answers: which one, and nothing of what was sent."""


def part_size(number: int, parts: int | None) -> int:
    """Bytes of a part, by its number from 1."""
    return PART * min(1 + (number - 1) // _STEP, _STEPS) if parts else PART


def longest(parts: int) -> int:
    """Bytes of an object that is in so many parts."""
    steps = min(parts // _STEP, _STEPS)
    return sum(_STEP * PART * step for step in range(1, steps + 1)) + (parts - steps * _STEP) * PART * _STEPS


class Objects:
    """A store of artifacts in an object store, below a prefix."""

    piece = PART
    reads = READS

    def __init__(self, kind: Kind, prefix: str) -> None:
        self._kind, self._prefix = kind, prefix.strip("/")

    def begin(self, path: str, length: int | None) -> "ObjectUpload":
        if length is not None and length > self._kind.longest:
            raise Refusal(413, f"An artifact in a bucket has {self._kind.longest >> 30} GiB at most.")
        return ObjectUpload(self._kind, self._key(path), path, length)

    def find(self, path: str, wanted: str | None, unless: str | None) -> Found:
        with self._kind.told(path):
            facts = self._kind.facts(self._key(path))
            some = part(wanted, facts.size) if unless in (None, facts.etag) else None
            start, length = some or (0, facts.size)
            read, close = self._kind.read(facts, start, length) if length else (bytes, _nothing)

        def piece(size: int) -> bytes:
            with self._kind.told(path):
                return read(size)

        modified = formatdate(facts.modified.timestamp(), usegmt=True)
        return Found(piece, close, length, facts.size, start, some is not None, facts.etag, modified)

    def refuse(self, error: Exception, path: str) -> NoReturn:
        """Raises Refusal for an error of the store's client, and another error as it is."""
        with self._kind.told(path):
            raise error
        raise AssertionError("what told an error kept it")

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


def _nothing() -> None:
    pass


class ObjectUpload:
    """One object, in one call where it fits into a part, and else in parts that become an object at the end."""

    def __init__(self, kind: Kind, key: str, path: str, length: int | None) -> None:
        self._kind, self._key, self._path, self._length = kind, key, path, length
        self._parts: Parts | None = None
        self._number = 1
        self._waiting: list[bytes | bytearray] = []
        self._size = self._got = 0

    def write(self, piece: list[bytes | bytearray]) -> None:
        # What may be the last part waits for the end. Without a length that is known once no more comes.
        if self._size >= self._full:
            self._send()
        self._waiting += piece
        length = sum(map(len, piece))
        self._size += length
        self._got += length
        if self._length is not None and self._got < self._length and self._size >= self._full:
            self._send()

    @property
    def _full(self) -> int:
        return part_size(self._number, self._kind.parts)

    def _send(self) -> None:
        with self._kind.told(self._path):
            if self._parts is None:
                self._parts = self._kind.begin(self._key)
            self._parts.send(self._number, self._taken())
            self._number += 1

    def _taken(self) -> bytes:
        taken = b"".join(self._waiting)
        self._waiting, self._size = [], 0
        return taken

    def publish(self) -> None:
        with self._kind.told(self._path):
            if self._parts is None:
                self._kind.put(self._key, self._taken())
            else:
                self._parts.finish(self._number, self._taken())

    def give_up(self) -> None:
        if self._parts is None:
            return
        try:
            self._parts.abort()
        except Exception as error:
            # Whoever sent it is told why it was given up.
            _log.warning("what was sent of '%s' stays in the store: %s", self._path, type(error).__name__)


class Ranges:
    """Reads an object by one call for each few MiB of it, so that nothing is held while its reader is slow.

    get: bytes of an object, from an offset, of a length. limit: the most of one call.
    """

    def __init__(self, get: Callable[[int, int], bytes], start: int, length: int, limit: int = 2 * READS) -> None:
        self._get, self._at, self._left, self._limit = get, start, length, limit
        self._piece = b""

    def read(self, size: int) -> bytes:
        if not self._piece:
            length = min(self._limit, self._left)
            self._piece = self._get(self._at, length) if length else b""
            self._at += len(self._piece)
            self._left -= len(self._piece)
        taken, self._piece = self._piece[:size], self._piece[size:]
        return taken

    def close(self) -> None:
        self._piece, self._left = b"", 0
