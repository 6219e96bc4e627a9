"""Languages and texts of Keycloak's pages and mails, as far as it can use them.

Measured with Keycloak 26.7.3: a text that Java's `MessageFormat` cannot read makes each page that has it an error 500.
"""

from __future__ import annotations

import re
import unicodedata

# Keycloak falls back on it at last, and has no other language where none is declared (`LocaleUtil`).
ENGLISH = "en"
_TAG = re.compile(r"([a-z]{2,3})(-[a-z]{4})?(-(?:[a-z]{2}|[0-9]{3}))?", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
# Of `MessageFormat`: an apostrophe, braces that are quoted, and the place of a value.
_READ = re.compile(r"''|'[{}][^']*'|\{[0-9]\}")
# Signs that control, that nobody has named, and that turn the order of others around (Unicode, UAX 9).
_CONTROLS, _TURNS = (
    frozenset({"Cc", "Cs", "Co", "Cn"}),
    frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),
)


def language_tag(language: str) -> str:
    """A language as Keycloak looks its texts up (Java's `Locale.toLanguageTag`); empty for what is none."""
    found = _TAG.fullmatch(language)
    if found is None:
        return ""
    name, script, region = found.groups(default="")
    return name.lower() + script.title() + region.upper()


def text_languages(languages: tuple[str, ...]) -> tuple[str, ...]:
    """The languages whose texts Keycloak uses where it offers these: with their regions, without them, and English."""
    tags = [tag for language in languages if (tag := language_tag(language))]
    return tuple(dict.fromkeys([*(name for tag in tags for name in (tag, without_region(tag))), ENGLISH]))


def without_region(tag: str) -> str:
    """Where Keycloak looks for a text next: with a region it leaves everything but the language's name out."""
    found = _TAG.fullmatch(tag)
    return found[1] if found and found[3] else tag


def is_message_key(key: str) -> bool:
    """Whether a text is one that Keycloak's messages can be called by."""
    return _KEY.fullmatch(key) is not None


def wrong_in(text: str) -> str:
    """What is expected of a text that Keycloak cannot show, or shows without a part of it; empty for any other."""
    plain = _READ.sub("", text)
    if not text.strip():
        return "expected a text that is not empty"
    if "${" in text:
        return "expected none of ${: Keycloak puts another text there"
    if any((unicodedata.category(sign) in _CONTROLS and sign not in "\n\t") or sign in _TURNS for sign in text):
        return "expected no control characters"
    if "'" in plain:
        return "expected '' for an apostrophe: Keycloak leaves a single one out, with which it quotes"
    if "{" in plain or "}" in plain:
        return "expected braces around the number of a value alone ({0}), or quoted ('{'): Keycloak's page would fail"
    return ""
