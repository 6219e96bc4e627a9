"""Distinguished names and filters of LDAP, as far as two of them have to be compared, or one to be understood."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A pair that stands for a sign or an octet, or any other sign (RFC 4514, section 3).
_SIGN = re.compile(r"\\(?:[0-9A-Fa-f]{2}|[ \"#+,;<=>\\])|[^\\]", re.DOTALL)
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)*")
_DEEPEST = 50
_SIMPLE = re.compile(r"[^()=]+=[^()]*")


def parts(name: str) -> list[tuple[str, str]]:
    """The attribute and the value of each part of a distinguished name: unescaped, in small letters, without space.

    Raises ValueError for what is none (RFC 4514, section 2), and for one with two attributes in a part.
    """
    return [_part(part) for part in _split(name)]


def leads_below(name: str, place: str) -> bool:
    """Whether one distinguished name is that of an entry below another one. Raises ValueError as `parts` does."""
    inner, outer = parts(name), parts(place)
    return len(inner) > len(outer) and inner[-len(outer) :] == outer


def _split(name: str) -> Iterator[str]:
    signs = _SIGN.findall(name)
    if "".join(signs) != name:
        raise ValueError("a backslash before a sign that needs none")
    start = 0
    for i, sign in enumerate([*signs, ","]):
        if sign == ",":
            yield "".join(signs[start:i])
            start = i + 1


def _part(part: str) -> tuple[str, str]:
    attribute, equals, value = part.partition("=")
    signs = _SIGN.findall(value.strip(" ") if not value.rstrip(" ").endswith("\\") else value.lstrip(" "))
    if not equals or not signs or not _ATTRIBUTE.fullmatch(attribute.strip()) or {"+", ";", '"', "<", ">"} & set(signs):
        raise ValueError(f"{part!r} is no part of a distinguished name")
    return attribute.strip().casefold(), _unescaped(signs).casefold()


def _unescaped(signs: list[str]) -> str:
    octets = b"".join(bytes.fromhex(sign[1:]) if len(sign) == 3 else sign[-1:].encode() for sign in signs)
    return octets.decode(errors="replace")


def is_filter(text: str) -> bool:
    """Whether a text is one search filter in parentheses (RFC 4515, section 3)."""
    try:
        return _after(text, 0) == len(text)
    except ValueError:
        return False


def _after(text: str, start: int, depth: int = 0) -> int:
    """Where a filter ends. Raises ValueError for what is none, and for more within each other than anybody reads."""
    if text[start : start + 1] != "(" or depth > _DEEPEST:
        raise ValueError(start)
    kind, end = text[start + 1 : start + 2], start + 2
    if kind in ("&", "|", "!"):
        inner = 0
        while text[end : end + 1] == "(":
            end, inner = _after(text, end, depth + 1), inner + 1
        if inner == 0 or (kind == "!" and inner > 1):
            raise ValueError(start)
    else:
        simple = _SIMPLE.match(text, start + 1)
        end = simple.end() if simple else start
    if text[end : end + 1] != ")":
        raise ValueError(start)
    return end + 1
