"""Decompression with a bound, in steps, without MLflow."""

import os
import re
import zlib

BOUND = "MLFLOW_SSO_MAX_DECOMPRESSED_BYTES"
DEFAULT_BOUND = 64 * 1024 * 1024
_STEP = 1024 * 1024
# Bytes that are given to a stream at once, and streams in one body.
_WINDOW, _MEMBERS = 1 << 16, 1000
# zlib's `wbits`: 16 and more is gzip (RFC 1952), positive is zlib (RFC 1950), negative is bare deflate (RFC 1951).
_FILLED = re.compile(rb"[^\0]")
_FORMATS = {"gzip": (16 + zlib.MAX_WBITS,), "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS)}


class TooMuch(ValueError):
    """More than the bound."""


class Unreadable(ValueError):
    """Not what its encoding says."""


def bound() -> int:
    """Bytes that a body may have when it is decompressed. Raises ValueError, which names the variable."""
    text = os.environ.get(BOUND, "")
    if text and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"{BOUND} is {text!r} and has to be a number of bytes")
    return int(text) if text else DEFAULT_BOUND


def _member(data: memoryview, wbits: int, room: int) -> tuple[bytes, int]:
    """One compressed stream: what it holds, and how long it is. What follows it is never copied as a whole."""
    stream, parts, size, at = zlib.decompressobj(wbits), [], 0, 0
    while not stream.eof:
        given = stream.unconsumed_tail or data[at : at + _WINDOW]
        if not stream.unconsumed_tail:
            at += len(given)
        part = stream.decompress(given, min(_STEP, room - size + 1))
        size += len(part)
        if size > room:
            raise TooMuch
        parts.append(part)
        if not part and not given and not stream.eof:
            raise Unreadable("it ends too early")
    return b"".join(parts), at - len(stream.unused_data)


def _inflated(data: bytes, wbits: int, most: int) -> bytes:
    parts, size, at = list[bytes](), 0, 0
    rest = memoryview(data)
    while at < len(rest):
        if len(parts) == _MEMBERS:
            # One that is empty is twenty bytes long, and the bound of what they hold would never be reached.
            raise Unreadable(f"it has more than {_MEMBERS} members")
        try:
            part, length = _member(rest[at:], wbits, most - size)
        except zlib.error as error:
            raise Unreadable(str(error)) from error
        parts.append(part)
        size += len(part)
        at += length
        if wbits <= zlib.MAX_WBITS:
            # A gzip file may have many members, and zeros behind them (RFC 1952, section 2.2); deflate has one.
            break
        # Nothing of what follows is copied: there may be zeros behind each of a thousand members.
        more = _FILLED.search(data, at)
        at = len(data) if more is None else more.start()
    return b"".join(parts)


def inflate(data: bytes, encoding: str, most: int) -> bytes:
    """What a body holds. Raises TooMuch before it is held, Unreadable, and KeyError for an unknown encoding."""
    problem: Unreadable | None = None
    for wbits in _FORMATS[encoding]:
        try:
            return _inflated(data, wbits, most)
        except Unreadable as error:
            problem = problem or error
    raise problem or Unreadable(encoding)
