"""Functions of MLflow and of the plugin that the image replaces, each known by the text that it replaces.

A replacement is right for the function that it was written for. `changed` compares that function with the one that is
installed; the image's build asks it, so that a later version cannot be covered by a mend of an earlier one.
"""

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Replaced:
    """A function of upstream. home: a module or class; digest: the first 16 hex digits of its text's SHA-256."""

    home: Any
    name: str
    original: Callable[..., Any]
    digest: str

    @property
    def place(self) -> str:
        return f"{self.home.__name__}.{self.name}"


_REPLACED: list[Replaced] = []


def digest(function: Callable[..., Any]) -> str:
    """What the text of a function is known by."""
    text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def replace(home: Any, name: str, known: str, by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Puts what `by` makes of a function in its place. known: its digest as this was written."""
    original = getattr(home, name)
    _REPLACED.append(Replaced(home, name, original, known))
    setattr(home, name, by(original))


def reads(home: Any, name: str, known: str) -> None:
    """Says that a mend is right only while this function, which it does not replace, is what it was."""
    _REPLACED.append(Replaced(home, name, getattr(home, name), known))


def changed() -> Iterator[str]:
    """Each function that is another one than its mend was written for, with its digest now."""
    for replaced in _REPLACED:
        now = digest(replaced.original)
        if now != replaced.digest:
            yield f"{replaced.place} is {now}, and its mend was written for {replaced.digest}"
