"""Tells what is going on, how far it is and what it waits for; on stderr, for people."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from problems import printable

# How often a log tells of something that is not ready yet.
LOG_SECONDS = 15
console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    console.print(printable(text), markup=False)


class Board:
    """The state of several things that become ready side by side.

    A terminal shows one moving line each; a log gets a plain line for whatever becomes ready, and once in a while
    for what does not.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._states = dict.fromkeys(names, "starting")
        self._done: set[str] = set()
        self._logged = dict.fromkeys(names, 0.0)
        self._start = time.monotonic()
        self._live: Live | None = None

    def update(self, name: str, state: str, *, done: bool = False) -> None:
        with self._lock:
            self._states[name] = state
            if done:
                self._done.add(name)
            if self._live is not None:
                self._live.update(self._table())
                return
            seconds = time.monotonic() - self._start
            if done or seconds - self._logged[name] >= LOG_SECONDS:
                self._logged[name] = seconds
                say(f"  [{len(self._done)}/{len(self._states)}] {seconds:4.0f} s  {name}: {state}")

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, state in self._states.items():
            table.add_row("  ✔" if name in self._done else "  …", name, state)
        return table

    @contextmanager
    def shown(self) -> Iterator[Board]:
        if not console.is_terminal:
            yield self
            return
        with Live(self._table(), console=console, refresh_per_second=4) as live:
            self._live = live
            try:
                yield self
            finally:
                self._live = None
