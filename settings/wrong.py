"""What a rule between settings says is wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """One broken rule. keys: the settings that it names, by their paths below the project."""

    keys: tuple[str, ...]
    value: str
    expected: str
