"""One step from a realm as Keycloak has it to the realm as it is declared, and what all kinds of steps need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.realm.actual import Actual

# A realm import, or a part of one.
Tree = Mapping[str, Any]
_LONGEST = 100


@dataclass(frozen=True)
class Step:
    """where: what it is about. changes: what it does to that, for people. take: does it.

    remember: adds what it does to a declaration, for the next time, where Keycloak does not tell what is the stack's
    own. A later step may fail, and the declaration be taken back.
    """

    where: str
    changes: tuple[str, ...]
    take: Callable[[], None] = field(repr=False, compare=False)
    remember: Callable[[Tree, Tree], Tree] | None = field(default=None, repr=False, compare=False)


def make(actual: Actual, path: str, document: Tree) -> None:
    actual.send("POST", path, document)
    actual.forget()


def put(actual: Actual, path: str, document: Tree) -> None:
    actual.send("PUT", path, document)
    actual.forget()


def remove(actual: Actual, path: str, what: str) -> None:
    actual.send("DELETE", path, what=what)
    actual.forget()


def by(key: str, entries: Iterable[Tree]) -> dict[str, Any]:
    """Entries by what names them."""
    return {entry[key]: entry for entry in entries if key in entry}


def gone(part: str, key: str, wanted: Tree, before: Tree) -> list[str]:
    """The names of what was declared before, and is no longer."""
    return sorted(by(key, before.get(part, ())).keys() - by(key, wanted[part]).keys())


def noted(part: str, key: str, name: str, before: Tree, declared: Tree) -> Tree:
    """A declaration with one entry as it is declared now (`Step.remember`)."""
    found = by(key, before.get(part, ())) | {name: by(key, declared[part])[name]}
    return {**before, part: list(found.values())}


def same(now: Any, new: Any) -> bool:
    """Whether Keycloak means the same: its lists have no order, and an empty text is none."""
    if isinstance(new, list):
        return sorted(now or ()) == sorted(new)
    return bool((now or "") == (new or "")) if isinstance(new, str) else bool(now == new)


def said(key: str, now: Any, new: Any) -> str:
    """A change of a setting for people."""
    shown = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..." for text in (_text(now), _text(new))]
    return f"{key}: {shown[0]} -> {shown[1]}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
