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
_FACTS: list[tuple[str, Any, Any]] = []
# What stands in the places of those functions.
_MADE: list[Callable[..., Any]] = []


def digest(function: Callable[..., Any]) -> str:
    """What the text of a function is known by."""
    text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def replace(
    home: Any, name: str, known: str, by: Callable[[Callable[..., Any]], Callable[..., Any]], *, around: bool = False
) -> None:
    """Puts what `by` makes of a function in its place. known: its digest as this was written.

    around: whether this is meant to stand around what another mend put there. Raises ValueError where it is not, and
    there is one: neither was written with the other in mind.
    """
    original = getattr(home, name)
    replaced = Replaced(home, name, original, known)
    if around != any(original is made for made in _MADE):
        raise ValueError(f"{replaced.place} is {'not replaced yet' if around else 'replaced already'}")
    made = by(original)
    _REPLACED.append(replaced)
    _MADE.append(made)
    setattr(home, name, made)


def replace_listed(home: Any, table: str, name: str, known: str, by: Callable[[Callable[..., Any]], Any]) -> None:
    """Replaces a function that a module also lists by its keys, such as a validator by its routes, in both places.

    Raises LookupError where the table has it no more.
    """
    listed, original = getattr(home, table), getattr(home, name)
    keys = [key for key, function in listed.items() if function is original]
    if not keys:
        raise LookupError(f"{home.__name__}.{table} has {name} no more")
    replace(home, name, known, by)
    listed.update(dict.fromkeys(keys, getattr(home, name)))


def reads(home: Any, name: str, known: str) -> None:
    """Says that a mend is right only while this function, which it does not replace, is what it was."""
    _REPLACED.append(Replaced(home, name, getattr(home, name), known))


def holds(fact: str, value: Any, known: Any) -> None:
    """Says that a mend is right only while something else than a function is what it was: a table, a default.

    fact: what it is, for whoever reads that it changed.
    """
    _FACTS.append((fact, value, known))


def changed() -> Iterator[str]:
    """Each function and fact that is another one than its mend was written for, with what it is now."""
    for fact, value, known in _FACTS:
        if value != known:
            yield f"{fact} is {value!r}, and its mend was written for {known!r}"
    for replaced in _REPLACED:
        now = digest(replaced.original)
        if now != replaced.digest:
            yield f"{replaced.place} is {now}, and its mend was written for {replaced.digest}"
