"""Writes the counts of the matrix into docs/security.md: `python -m tests.matrix.counts` (by `make docs`)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.matrix.asked import cells
from tests.matrix.rows import CALLERS, CLASSES
from tests.matrix.tables import CLASSIFIED, ROWS, TABLES

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- counts of tests/matrix, by `make docs` -->", "<!-- end of the counts -->"


def _counted() -> list[str]:
    every, some = list(cells(ROWS, every=True)), list(cells(ROWS, every=False))
    refused = sum(not cell.is_served for cell in every)
    routes = f"{len(CLASSIFIED)} routes (method and path) in {len(TABLES)} tables, {len(CALLERS)} callers"
    asked = f"CI asks {len(some)} of them, those on both sides of each route's line first; `make soak` asks all."
    whole = f"{len(every)} cells, of which {refused} have to be refused."
    return [f"{routes}: {whole} {asked} Holes: 0, or the test fails."]


def _classes() -> list[str]:
    routes = Counter(row.needs for row in ROWS for _ in row.routes)
    lines = [f"| {needs.name} | {', '.join(needs.callers)} | {routes[needs]} |" for needs in CLASSES if routes[needs]]
    return ["| A route needs | Who is served | Routes |", "| --- | --- | --- |", *lines]


def _exceptions() -> list[str]:
    reasons: dict[str, int] = {}
    for row in ROWS:
        if row.never:
            reasons[row.never] = reasons.get(row.never, 0) + len(row.routes)
    lines = [f"| {reason} | {count} |" for reason, count in sorted(reasons.items())]
    return ["| Why no request to a route succeeds here | Routes |", "| --- | --- |", *lines]


def section() -> str:
    """The generated part of the page, with its marks."""
    return "\n\n".join((BEGIN, "\n".join(_counted()), "\n".join(_classes()), "\n".join(_exceptions()), END))


def page() -> str:
    """The page with its counts as they are now."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    return before + section() + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page())
