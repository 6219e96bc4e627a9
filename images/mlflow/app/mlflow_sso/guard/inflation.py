"""Decompression with a bound, in steps, without MLflow."""

import os
import zlib

BOUND = "MLFLOW_SSO_MAX_DECOMPRESSED_BYTES"
DEFAULT_BOUND = 64 * 1024 * 1024
_STEP = 1024 * 1024
# zlib's `wbits`: 16 and more is gzip (RFC 1952), positive is zlib (RFC 1950), negative is bare deflate (RFC 1951).
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


def _member(data: bytes, wbits: int, room: int) -> tuple[bytes, bytes]:
    """One compressed stream: what it holds, and what follows it."""
    stream, parts, size = zlib.decompressobj(wbits), [], 0
    while not stream.eof:
        part = stream.decompress(data, min(_STEP, room - size + 1))
        size += len(part)
        if size > room:
            raise TooMuch
        parts.append(part)
        data = stream.unconsumed_tail
        if not part and not data and not stream.eof:
            raise Unreadable("it ends too early")
    return b"".join(parts), stream.unused_data


def _inflated(data: bytes, wbits: int, most: int) -> bytes:
    parts, size = [], 0
    while data:
        try:
            part, data = _member(data, wbits, most - size)
        except zlib.error as error:
            raise Unreadable(str(error)) from error
        parts.append(part)
        size += len(part)
        # A gzip file may have many members, and zeros behind them (RFC 1952, section 2.2); deflate has one.
        data = data.lstrip(b"\0") if wbits > zlib.MAX_WBITS else b""
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
