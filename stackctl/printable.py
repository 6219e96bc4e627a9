"""Text for a terminal or a log."""

from __future__ import annotations


def printable(text: str, keep: str = "\n\t") -> str:
    """The text without characters that act on a terminal, which show as escapes instead; those of `keep` stay.

    Users name their tokens and themselves: a name could otherwise rewrite what an administrator sees (CWE-150).
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
