"""The standard streams of a command, which may be closed, full, or pipes that nobody reads."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.files import CONFIG, config_home, remedy
from mlflow_sso_client.words import say


def run(command: Callable[[], object]) -> int:
    """Run a command to its end, and give its exit code: what it returns or exits with, 1 where a stream fails.

    A failure is one line on standard error, if that can be written to; its own closing is a wish for silence.
    """
    _open_closed()
    code: object
    try:
        code = command()
    except SystemExit as end:
        code = end.code
    except OSError as error:
        settle(sys.stdout)
        code = failure(error)
    number = code if isinstance(code, int) else int(code is not None)
    for stream in (sys.stdout, sys.stderr):
        trouble = settle(stream)
        if trouble is not None:
            failure(trouble)
            number = number or 1
    return number


def _open_closed() -> None:
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


def told(error: OSError) -> str:
    """What the system refused: where, and why."""
    return f"{f'{error.filename}: ' if error.filename else ''}{error.strerror or error}"


def failure(error: OSError) -> int:
    """Say what the system refused, where it can be said; the exit code of it.

    Nothing is said of a reader that has gone: it has seen what it wanted.
    """
    if error.errno != errno.EPIPE:
        more = ""
        with suppress(RefusedError):
            more = remedy(error, CONFIG, config_home())
        with suppress(OSError):
            say(f"error: {told(error)}{more}")
    return 1
