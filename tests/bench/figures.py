"""What the bench measures in: seconds of several rounds, and the ratio of their medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


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

    def __str__(self) -> str:
        verdict = "ok" if self.ratio <= self.limit else "ABOVE"
        return (
            f"{self.name:38} {spread(self.measured):>22} {self.unit} / {spread(self.against):>22} {self.unit}"
            f" = {self.ratio:5.2f}   (at most {self.limit:.2f}: {verdict})"
        )


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
