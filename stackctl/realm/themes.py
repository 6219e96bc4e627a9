"""How Keycloak's pages and mails look: by themes that its server has, or by its own."""

from __future__ import annotations

from collections.abc import Iterator

from components.realm_words import THEMES, unknown_themes
from problems import Problem
from stackctl.realm.actual import Actual
from stackctl.realm.step import Tree


def unknown(wanted: Tree, actual: Actual) -> Iterator[Problem]:
    """The declared themes that the server does not have. It would show its own in their place, and say nothing.

    One that the realm names already may have gone since: that is a finding of the doctor, and stops no change.
    """
    new = {word: wanted[word] for word in THEMES.values() if word in wanted and actual.realm.get(word) != wanted[word]}
    if not new:
        return
    for kind, names in unknown_themes(new, actual.admin.themes()).items():
        yield Problem(f"realm.themes.{kind}", wanted[THEMES[kind]], f"expected one that Keycloak has: {names}")
