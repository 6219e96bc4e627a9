"""Text with secrets in it, and its one reader."""

from __future__ import annotations

import re

from platforms.secrets import Secret, SecretText, UrlQuoted
from settings import ROOT

A, B = Secret("a"), Secret("b")
TEXT = SecretText.of("x://", UrlQuoted(A), ":", B, "/", A)


def test_every_part_is_read_in_its_order_by_what_it_is() -> None:
    parts = TEXT.fold(
        lambda plain: plain, lambda secret: f"<{secret.name}>", lambda written: f"%{written.secret.name}%"
    )
    assert parts == ["x://", "%a%", ":", "<b>", "/", "<a>"]
    assert TEXT.secrets == (A, B, A)


def test_a_secret_alone_is_told_from_one_with_something_beside_it_or_in_a_url() -> None:
    assert SecretText.of(A).alone == A
    for text in (TEXT, SecretText.of(UrlQuoted(A)), SecretText.of("a"), SecretText.of(A, ""), SecretText.of()):
        assert text.alone is None
    assert TEXT.quotes
    assert SecretText.of(UrlQuoted(A)).quotes
    assert not SecretText.of("a", A).quotes


def test_nothing_else_takes_a_text_apart() -> None:
    """A reader of its own is one that a new kind of part is forgotten in."""
    files = [
        file for room in ("components", "platforms", "settings", "stackctl") for file in (ROOT / room).rglob("*.py")
    ]
    readers = [file for file in files if re.search(r"isinstance\([^)]*\b(Written|\w+Quoted)\b", file.read_text())]
    assert readers == [ROOT / "platforms" / "secrets.py"]
