"""What the command line keeps on this machine for each stack, readable by its user alone.

Secrets that are lost here lock their owner out of the data in the volumes, so they are kept outside the
checkout (XDG Base Directory Specification, state home).
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlflow_sso_client.files import config_home, write_private

from platforms.secrets import MIXTURE, Secret
from problems import Problem, StackError

ALPHABET = string.ascii_letters + string.digits


def read_kept(path: Path, what: str, expected: str) -> dict[str, Any]:
    """The JSON object in a file that was written here. Raises StackError for a damaged one, and FileNotFoundError.

    what: the stack's what, and expected: the next step, for that message.
    """
    try:
        document = json.loads(path.read_text())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _unreadable(path, what, expected)
    return document


def _unreadable(path: Path, what: str, expected: str) -> StackError:
    return StackError(f"The stack's {what} cannot be read; nothing was changed.", [Problem(str(path), "", expected)])


def generated_passphrase(*, create: bool) -> Path | None:
    """The passphrase file of this user's development stacks; None when there is none and none is wanted."""
    path = config_home() / "passphrase"
    if not path.exists():
        if not create:
            return None
        text = "".join(secrets.choice(ALPHABET) for _ in range(48)) + "\n"
        write_private(path, text, replace=False)
    return path


def _generated(secret: Secret) -> str:
    if not secret.mixed:
        return "".join(secrets.choice(ALPHABET) for _ in range(secret.length))
    kinds = (
        (string.ascii_lowercase, MIXTURE.lower),
        (string.ascii_uppercase, MIXTURE.upper),
        (string.digits, MIXTURE.digits),
        (MIXTURE.specials, MIXTURE.special),
    )
    signs = [secrets.choice(kind) for kind, least in kinds for _ in range(least)]
    signs += [secrets.choice(ALPHABET + MIXTURE.specials) for _ in range(secret.length - len(signs))]
    secrets.SystemRandom().shuffle(signs)
    return "".join(signs)


class SecretStore:
    """Named secrets in one 0600 file: made once and kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def values(self, wanted: Iterable[Secret]) -> dict[str, str]:
        """The value of each secret by name; those not there yet are generated and kept.

        A secret that the stack no longer uses stays in the file: its volume may still know it.
        """
        kept = self._read()
        found = dict(kept)
        given: dict[str, str] = {}
        for secret in wanted:
            if secret.value is not None:
                given[secret.name] = secret.value
                continue
            if secret.stored not in found:
                found[secret.stored] = _generated(secret)
            given[secret.name] = found[secret.stored]
        if found != kept:
            write_private(self._path, json.dumps(found, indent=1, sort_keys=True) + "\n")
        return {**found, **given}

    def kept(self) -> dict[str, str]:
        """The secrets that are kept, without making one."""
        return self._read()

    def _read(self) -> dict[str, str]:
        expected = "expected the JSON that was written here; restore it from a backup"
        try:
            document = read_kept(self._path, "secrets", expected)
        except FileNotFoundError:
            return {}
        if not all(isinstance(value, str) for value in document.values()):
            raise _unreadable(self._path, "secrets", expected)
        return document


# What env files have in the place of a text that both generations of Compose would read as something else: they put
# variables into every value with ${ in it, and take a backslash before the last quote for one before a sign.
_SIGNS = {"STACK_DOLLAR": "$", "STACK_NOTHING": ""}


def env_file(values: Mapping[str, str]) -> str:
    """An env file that both generations of Compose read back unchanged.

    Raises ValueError for a value with a line break, which no line of it can hold.
    """
    lines = "".join(f"{name}={_env_value(value)}\n" for name, value in sorted(values.items()))
    # Before whoever refers to them.
    signs = "".join(f"{name}='{sign}'\n" for name, sign in _SIGNS.items() if f"${{{name}}}" in lines)
    return signs + lines


def _env_value(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError("a value with a line break")
    if not re.search(r"['\"\\]|\$\{", value):
        return f"'{value}'"
    # In double quotes a backslash keeps a sign from its meaning (python-dotenv; dotenv of compose-go).
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("$", "${STACK_DOLLAR}")
    return f'"{escaped}{"${STACK_NOTHING}" if value.endswith(chr(92)) else ""}"'
