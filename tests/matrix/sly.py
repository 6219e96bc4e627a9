"""Asks what is refused in other words, and says which of them were answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.matrix.asked import AT_ONCE, Matrix
from tests.matrix.more_makers import MAKERS
from tests.matrix.rows import ADMINISTRATOR, GIVEN_OUT, NOBODY, PLAIN, READ, Row, filled
from tests.matrix.spellings import SPELLINGS, Request, confused
from tests.matrix.tables import ROWS, TABLES
from tests.matrix.world import World

# What a plain user has of their own, beside what they may not see.
OWN = (
    *("experiment", "run", "run_files", "file", "logged_model", "dataset", "trace", "span_trace", "assessment"),
    *("secret", "definition", "endpoint", "scorer", "issue", "label", "queue", "model", "prompt"),
)


def owned(world: World) -> World:
    """One of most things, made by a plain user."""
    mine = world.owned_by(PLAIN)
    for kind in OWN:
        mine.values.update(MAKERS[kind](mine, ""))
    return mine


def spelled(*, every: bool) -> Iterator[tuple[Row, str]]:
    """Rows with the names of their spellings: of each table one that reads, and one that writes."""
    for rows in TABLES.values():
        guarded = [row for row in rows if row.needs in GIVEN_OUT]
        reads = [row for row in guarded if row.method == "GET"]
        writes = [row for row in guarded if row.method != "GET"]
        for row in guarded if every else (*reads[:1], *writes[:1]):
            for name in SPELLINGS:
                yield row, name


class Sly:
    """Asks a matrix in other words. mine: what a plain user has."""

    def __init__(self, matrix: Matrix, mine: World) -> None:
        self._matrix, self._ask, self._world, self._mine = matrix, matrix.ask, matrix.world, mine

    def spellings(self, asked: Iterable[tuple[Row, str]]) -> list[str]:
        """The spellings that change something, show what is hidden, or end in an error of the server's."""
        before = self._matrix.digest()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            faults = [fault for fault in pool.map(lambda pair: self._spelled(*pair), asked) if fault]
        after = self._matrix.digest()
        return faults + [f"a spelling changed {name}" for name in sorted(after) if before.get(name) != after[name]]

    def _new(self) -> dict[str, str]:
        """What each request names anew, where a plain user asks."""
        return {**self._world.new(), "caller": self._world.names[PLAIN], "hidden": self._mine.hidden}

    def _spelled(self, row: Row, name: str) -> str:
        values = {**self._world.values, **self._new()}
        address, _, query = filled(row.path, values).partition("?")
        path = SPELLINGS[name](f"{row.prefixes[0]}{address}") + (f"?{query}" if query else "")
        headers = filled(dict(row.headers), values)
        for caller in (NOBODY, PLAIN):
            status, text = self._ask.raw(caller, row.method, path, filled(row.body, values), **headers)
            if status >= 500 or self._world.hidden in text:
                return f"{row.method} {path} ({name}) as {caller}: {status} {text[:200]}"
        return ""

    def confusions(self, *, every: bool) -> list[str]:
        """The confusions that change something of others, show it, or end in an error of the server's."""
        rows = [row for row in ROWS if row.needs in GIVEN_OUT and not row.fresh and not row.never]
        before = self._seen()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda pair: self._confused(pair[1], pair[0], every=every), enumerate(rows))
        faults = [fault for faults in found for fault in faults]
        after = self._seen()
        return faults + [f"{read} is another one afterwards" for read in before if before[read] != after[read]]

    def _confused(self, row: Row, number: int, *, every: bool) -> list[str]:
        new = self._new()
        ways = list(confused(row, {**self._world.values, **new}, {**self._mine.values, **new}))
        # Of many ways to confuse a row three are tried, others with each row.
        chosen = ways if every or len(ways) <= 3 else [ways[(number + step) % len(ways)] for step in (0, 5, 9)]
        return [fault for name, request in chosen if (fault := self._fault(name, request))]

    def _fault(self, name: str, request: Request) -> str:
        answer = self._ask(PLAIN, **request)
        if answer.status_code >= 500 or self._world.hidden in answer.text:
            return f"{name}: {request['method']} {request['path']}: {answer.status_code} {answer.text[:200]}"
        return ""

    def _seen(self) -> dict[str, str]:
        """What an administrator reads of the world's things."""
        reads = [row for row in ROWS if row.method == "GET" and row.needs is READ and not row.never]
        seen = {}
        for row in reads:
            path = f"{row.prefixes[0]}{filled(row.path, self._world.values)}"
            seen[path] = self._ask(ADMINISTRATOR, "GET", path).text
        return seen
