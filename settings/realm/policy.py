"""Keycloak's password policies: what the parts of one are called, and which password meets it.

Source: `org.keycloak.policy` and `org.keycloak.models.PasswordPolicy.parse` (26.7), and "Password policy types" in the
server administration guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NOTHING, _NUMBER, _TEXT = r"(undefined|)", r"[0-9]{1,9}", r".+"
# What each part may be given in its brackets. `passwordBlacklist` needs a file, which the stack's Keycloak has not.
_PARTS: Mapping[str, str] = {
    **dict.fromkeys(("length", "maxLength", "digits", "lowerCase", "upperCase", "specialChars"), _NUMBER),
    **dict.fromkeys(("passwordHistory", "passwordAge", "forceExpiredPasswordChange", "maxAuthAge"), _NUMBER),
    **dict.fromkeys(("hashIterations", "recoveryCodesWarningThreshold"), _NUMBER),
    "hashAlgorithm": r"argon2|pbkdf2(-sha(256|512))?",
    "regexPattern": _TEXT,
    **dict.fromkeys(("notUsername", "notEmail", "notContainsUsername"), _NOTHING),
}
_COUNTED: Mapping[str, Callable[[str], bool]] = {
    "digits": str.isdigit,
    "lowerCase": str.islower,
    "upperCase": str.isupper,
    "specialChars": lambda sign: not sign.isalnum(),
}


def password_policy(value: str) -> str:
    """A policy with parts that Keycloak has. Raises ValueError with those that it has not."""
    wrong = [
        part if name not in _PARTS else f"{part}, which takes {_takes(name)}"
        for part, name, given in _split(value)
        if name not in _PARTS or not re.fullmatch(_PARTS[name], given)
    ]
    if wrong:
        known = ", ".join(sorted(_PARTS))
        raise ValueError(
            f"expected parts joined by ' and ', such as length(12); wrong: {'; '.join(wrong)}. Parts: {known}"
        )
    return " and ".join(part for part, _, _ in _split(value))


def unmet(policy: str, password: str, username: str = "", email: str = "") -> str:
    """The first part of a policy that a password does not meet; empty where it meets all that can be judged here."""
    for part, name, given in _split(policy):
        if not _meets(name, given, password, username.lower(), email.lower()):
            return part
    return ""


def _split(policy: str) -> list[tuple[str, str, str]]:
    """The parts, each with its name and what is in its brackets."""
    parts = [part.strip() for part in policy.split(" and ")]
    found = [(part, re.fullmatch(r"(\w+)(?:\((.*)\))?", part)) for part in parts]
    return [(part, match[1], match[2] or "") if match else (part or "nothing", "", "") for part, match in found]


def _takes(name: str) -> str:
    return {_NUMBER: "a number", _TEXT: "a text", _NOTHING: "nothing"}.get(_PARTS[name], _PARTS[name])


def _meets(name: str, given: str, password: str, username: str, email: str) -> bool:
    if name == "length":
        return len(password) >= int(given)
    if name == "maxLength":
        return len(password) <= int(given)
    if name in _COUNTED:
        return sum(map(_COUNTED[name], password)) >= int(given)
    if name == "notUsername":
        return password.lower() != username
    if name == "notEmail":
        return password.lower() != email
    if name == "notContainsUsername":
        return not username or username not in password.lower()
    return _matches(given, password) if name == "regexPattern" else True


def _matches(pattern: str, password: str) -> bool:
    """Whether a password matches, or the pattern is one of Java's own, which nothing here can judge."""
    if "&&" in pattern:
        return True
    try:
        return bool(re.fullmatch(pattern, password))
    except re.error:
        return True
