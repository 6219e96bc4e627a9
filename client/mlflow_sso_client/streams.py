"""The standard streams of a command: whoever starts it may have closed them, or sent them to a disk that is full."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.files import CONFIG, config_home, remedy
from mlflow_sso_client.words import say


class _Closed(io.TextIOBase):
    """In the place of a stream that is closed, for which Python has None: using it fails as a file does."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, size: int | None = -1, /) -> NoReturn:
        raise OSError(errno.EBADF, "it is closed", self._name)

    def readline(self, size: int = -1, /) -> NoReturn:  # type: ignore[override] # nothing is ever read
        self.read()

    def write(self, text: str, /) -> NoReturn:
        self.read()


def run(command: Callable[[], object]) -> int:
    """Run a command to its end, and give its exit code: what it returns or exits with, 1 where a stream fails.

    A failure is one line on standard error, if that can be written to; its own closing is a wish for silence.
    """
    sys.stdin = sys.stdin or _Closed("standard input")
    sys.stdout = sys.stdout or _Closed("standard output")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 # for as long as the process lives
    code: object
    try:
        code = command()
    except SystemExit as end:
        code = end.code
    except OSError as error:
        code = failure(error)
    number = code if isinstance(code, int) else int(code is not None)
    # What is in a buffer still would fail when Python ends, with a traceback or without a word.
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError as error:
            if number == 0:
                with suppress(OSError):
                    say(f"error: the standard streams cannot be written to ({error.strerror or error})")
            setattr(sys, name, None)
            number = number or 1
    return number


def failure(error: OSError) -> int:
    """Say what the system refused, where it can be said; the exit code of it."""
    where, more = f"{error.filename}: " if error.filename else "", ""
    with suppress(RefusedError):
        more = remedy(error, CONFIG, config_home())
    with suppress(OSError):
        say(f"error: {where}{error.strerror or error}{more}")
    return 1
