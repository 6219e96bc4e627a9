"""What a rule between settings says is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from problems import Problem
from settings.known import Known
from settings.model import PROJECT, Settings


@dataclass(frozen=True)
class Wrong:
    """One broken rule. keys: the settings that it names, by their paths below the project."""

    keys: tuple[str, ...]
    value: str
    expected: str

    @property
    def problem(self) -> Problem:
        return Problem(" and ".join(f"{PROJECT}:{key}" for key in self.keys), self.value, self.expected)


Rule = Callable[[Settings, Known], Iterator[Wrong]]
