"""What every room may say is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it stands, its value, and what was expected there."""

    where: str
    value: str
    expected: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.where}{shown}: {self.expected}"


class StackError(Exception):
    """The stack cannot be brought up as described. Its text names every problem at once."""

    def __init__(self, headline: str, problems: Sequence[Problem]) -> None:
        self.headline = headline
        self.problems = tuple(problems)
        lines = [headline, *(f"  - {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines))
