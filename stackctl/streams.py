"""The standard streams of a process, which may be closed, full, or pipes that nobody reads."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TextIO


def open_closed() -> None:
    """Put a stream in the place of each standard one that is closed; the next file would take its number otherwise.

    There is nothing to read, and nobody to tell. Data for a closed standard output cannot be written.
    """
    # The lowest number that is free is the one that is given.
    for number, way in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, way)
    sys.stdin = sys.stdin or os.fdopen(0, "r")
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def settle(stream: TextIO) -> OSError | None:
    """Write what a stream still holds. Returns why it cannot be written; it holds nothing any more then."""
    try:
        stream.flush()
    except OSError as error:
        # Python writes it once more at its end, and would tell of the failure in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def tell(error: OSError) -> None:
    """One line for people, where they can be told. A reader that has gone has seen what it wanted."""
    if error.errno == errno.EPIPE:
        return
    where = f"{error.filename}: " if error.filename else ""
    with suppress(OSError):
        sys.stderr.write(f"error: {where}{error.strerror or error}\n")
