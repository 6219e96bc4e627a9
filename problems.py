"""What every room may say is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Of a place and of a value: enough to find either by.
_PLACE, _VALUE = 500, 200


def printable(text: str, keep: str = "\n\t") -> str:
    """The text without characters that act on a terminal, which show as escapes instead; those of `keep` stay.

    Users name their tokens and themselves: a name could otherwise rewrite what an administrator sees (CWE-150).
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it stands, its value, and what was expected there."""

    where: str
    value: str
    expected: str

    def __str__(self) -> str:
        shown = f" = {_line(self.value, _VALUE)}" if self.value else ""
        return f"{_line(self.where, _PLACE)}{shown}: {printable(self.expected)}"


class StackError(Exception):
    """The stack cannot be brought up as described. Its text names every problem at once."""

    def __init__(self, headline: str, problems: Sequence[Problem]) -> None:
        self.headline = headline
        self.problems = tuple(problems)
        lines = [printable(headline), *(f"  - {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines))


def _line(text: str, longest: int) -> str:
    """The beginning of a text, on one line."""
    return printable(text if len(text) <= longest else f"{text[:longest]}...", keep="")
