"""What is said to people: on standard error, so that standard output holds data alone."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str) -> None:
    """Write a line for people. Control characters of a server's answer do not reach the terminal."""
    plain = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    # A program without a terminal may have none (pythonw on Windows).
    if sys.stderr is not None:
        sys.stderr.write(plain + "\n")
        sys.stderr.flush()


def line(value: object, most: int = 200) -> str:
    """What a server told, as a part of a line: no line of its own, and no more of it than a person reads."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


def span(seconds: float) -> str:
    """A length of time as people say it: to the second below two minutes, to the minute below two hours."""
    if seconds < 120:
        return f"{max(0, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"


class Once:
    """Says each thing once in a process, whichever thread says it first."""

    def __init__(self) -> None:
        self._said: dict[str, object] = {}

    def first(self, key: str) -> bool:
        """Whether nobody has asked this of that key before."""
        mine = object()
        # One step of the interpreter: no lock that a process forked meanwhile would find held for ever.
        return self._said.setdefault(key, mine) is mine

    def say(self, key: str, text: str) -> None:
        """Say `text`, unless something was said under that key already. No program ends because nothing can be said."""
        if self.first(key):
            with suppress(OSError, ValueError):
                say(text)
