"""What Keycloak's pages and mails say in a realm. Texts that nobody declared stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from components.realm_words import TEXTS
from stackctl.realm.actual import Actual
from stackctl.realm.step import Step, Tree, said


def steps(wanted: Tree, actual: Actual) -> Iterator[Step]:
    for language, declared in sorted(wanted.get(TEXTS, {}).items()):
        now = actual.texts(language)
        # An empty text is one that a page shows.
        differing = {key: text for key, text in sorted(declared.items()) if now.get(key) != text}
        if differing:
            changes = tuple(said(key, _line(now.get(key)), _line(text)) for key, text in differing.items())
            # Keycloak keeps the texts that it is not told of.
            yield Step(f"texts {language}", changes, partial(actual.send, "POST", _path(language), differing))


def _path(language: str) -> str:
    return f"/localization/{language}"


def _line(text: str | None) -> str | None:
    return None if text is None else text.replace("\n", "\\n")
