"""What a store found of an artifact, and how an answer describes it (RFC 9110, sections 8.8 and 14)."""

import mimetypes
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from mlflow_sso.guard.answers import Refusal

# Bytes that are read at once: a little less than what glibc gets from the system anew each time (the image's
# Dockerfile), which costs more than to copy them.
READS = (1 << 20) - 4096
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True)
class Found:
    """An artifact, or a part of one. length: bytes to be read; total: bytes of the artifact; start: of the first."""

    read: Callable[[int], bytes]
    close: Callable[[], None]
    length: int
    total: int
    start: int
    partial: bool
    etag: str
    modified: str

    @property
    def status(self) -> int:
        return 206 if self.partial else 200

    def pieces(self, size: int) -> Iterator[bytes]:
        """What is to be read, in pieces of a size. Raises OSError where there is less than was found."""
        left = self.length
        while left > 0:
            piece = self.read(min(size, left))
            if not piece:
                raise OSError(f"an artifact ended {left} bytes early")
            left -= len(piece)
            yield piece

    def headers(self, path: str) -> list[tuple[bytes, bytes]]:
        """Those of its answer. It is an attachment: an uploaded page must not run as one of the server's."""
        name = posixpath.basename(path)
        shown = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
        headers = {
            "content-type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "content-length": str(self.length),
            "content-disposition": f"attachment; filename=\"{shown}\"; filename*=UTF-8''{quote(name, safe='')}",
            "accept-ranges": "bytes",
            "etag": self.etag,
            "last-modified": self.modified,
        }
        if self.partial:
            headers["content-range"] = f"bytes {self.start}-{self.start + self.length - 1}/{self.total}"
        return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def part(wanted: str | None, total: int) -> tuple[int, int] | None:
    """First byte and length of one range; None for the whole, also where several are wanted, as a server may.

    Raises Refusal, 416, for a range that begins behind the end.
    """
    match = _RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        length = min(int(last), total)
        start = total - length
    else:
        start = int(first)
        length = min(int(last) if last else total - 1, total - 1) - start + 1
        if last and int(last) < start:
            return None
    if start >= total or length <= 0:
        raise Refusal(416, f"The artifact has {total} bytes.", content_range=f"bytes */{total}")
    return start, length
