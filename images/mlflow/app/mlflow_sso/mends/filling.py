"""Pages of a list in which some rows are hidden, without MLflow."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Row = TypeVar("Row")
# Rows asked for at once: many may be hidden where few are asked for.
STEP = 100


def fill(
    fetch: Callable[[int, int], tuple[Sequence[Row], bool]], keep: Callable[[Row], bool], most: int, start: int
) -> tuple[list[Row], int | None]:
    """The next visible rows, and where the page behind them starts.

    A full page always has another behind it, which may be empty: whether it is would tell of hidden rows. fetch: rows
    from an offset on, so many at most, and whether there are more; keep: whether a row is visible.
    """
    kept: list[Row] = []
    while True:
        rows, more = fetch(start, STEP)
        for number, row in enumerate(rows):
            if keep(row):
                kept.append(row)
                if len(kept) == most:
                    return kept, start + number + 1
        if not more:
            return kept, None
        start += len(rows)
