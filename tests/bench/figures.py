"""What the bench measures in: the ratio of two sides, by the medians of their rounds, and numbers with a bound."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol


class Held(Protocol):
    """Something measured, and whether it is beyond what it is held to; as text, one line for people."""

    @property
    def missed(self) -> bool: ...


@dataclass(frozen=True)
class Figure:
    """One ratio and what it is held to. Each side is the median of its rounds: the same machine, by turns."""

    name: str
    measured: Sequence[float]
    unit: str
    against: Sequence[float]
    limit: float

    @property
    def ratio(self) -> float:
        return median(self.measured) / median(self.against)

    @property
    def missed(self) -> bool:
        return self.ratio > self.limit

    def __str__(self) -> str:
        return (
            f"{self.name:38} {spread(self.measured):>22} {self.unit} / {spread(self.against):>22} {self.unit}"
            f" = {self.ratio:5.2f}   (at most {self.limit:.2f}: {_verdict(self)})"
        )


@dataclass(frozen=True)
class Count:
    """One number with a bound of its own. limit: the most; None: it is only told."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def missed(self) -> bool:
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        bound = "" if self.limit is None else f"   (at most {self.limit:g}: {_verdict(self)})"
        return f"{self.name:38} {self.value:g} {self.unit}{bound}"


def _verdict(figure: Held) -> str:
    return "ABOVE" if figure.missed else "ok"


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent of the values do not exceed (nearest rank). Raises ValueError of none."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where the rounds went."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def until(answers: Callable[[], bool], seconds: float = 300) -> None:
    """Ask ten times a second until the answer is yes. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer in {seconds:.0f} s")
        time.sleep(0.1)
