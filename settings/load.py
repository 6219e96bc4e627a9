"""Reads settings from the engine or from `Pulumi.<stack>.yaml`, and reports every mistake at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import SecretStr

from problems import Problem, StackError
from settings.document import read, too_deep
from settings.model import PROJECT, Platform, Settings
from settings.refused import shown, validate
from settings.rules import check
from settings.wrong import Rule

ROOT = Path(__file__).resolve().parent.parent
# Stands for a value that only the engine can read.
ENCRYPTED = "encrypted"
# What a stack's file has beside its config (Pulumi, "Pulumi stack settings file reference").
FILE_KEYS = ("config", "encryptedkey", "encryptionsalt", "environment", "secretsprovider")
# Namespaces of providers: theirs to validate, not ours.
PROVIDER_NAMESPACES = ("pulumi", "docker", "keycloak", "kubernetes", "random")


def from_engine(config: Mapping[str, str], stack: str, root: Path = ROOT, *, rules: Sequence[Rule] = ()) -> Settings:
    """Settings as the Pulumi engine passes them: a flat map whose structured values are JSON. rules: as of parse."""
    raw = {key: _decode(key, value) for key, value in config.items()}
    return parse(raw, stack, root, rules=rules)


def from_files(
    stack: str,
    root: Path = ROOT,
    *,
    file: Path | None = None,
    encrypted: bool = False,
    platform: Platform | None = None,
    rules: Sequence[Rule] = (),
) -> Settings:
    """Settings as they stand in `Pulumi.<stack>.yaml` or another `file`, without the engine.

    encrypted: accept values that only the engine can read, with a placeholder in their place; for questions
    whose answer no secret changes.
    platform: where to run it, in place of what the file says.
    rules: as of parse.
    """
    path = file or root / f"Pulumi.{stack}.yaml"
    try:
        document = read(path.read_text(), path.name) or {}
    except FileNotFoundError:
        have = ", ".join(sorted(p.name.split(".")[1] for p in root.glob("Pulumi.*.yaml")))
        problem = Problem("stack", stack, f"expected one of {have}, or a new {path.name}")
        raise StackError("There is no such stack.", [problem]) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise StackError(f"{path.name} cannot be read.", [Problem(path.name, "", reason)]) from None
    config, problems = _config(document, path.name)
    if not encrypted:
        problems += [Problem(where, "[secret]", _ENCRYPTED) for where in _encrypted(config)]
    given = {str(key): _without_ciphers(value) for key, value in config.items()}
    if platform is not None:
        given[f"{PROJECT}:platform"] = platform.value
    return parse(given, stack, root, path.name, rules=rules, before=problems)


def _config(document: object, name: str) -> tuple[dict[object, object], list[Problem]]:
    """The settings of a file, and what is wrong beside them. Raises StackError where none can be told apart."""
    expected = f"expected config:, and below it {PROJECT}:<key>"
    if not isinstance(document, dict):
        raise StackError(f"{name} cannot be read.", [Problem(name, "", expected)])
    problems = [Problem(str(key), "", expected) for key in document if key not in FILE_KEYS]
    config = document.get("config")
    if not isinstance(config, dict | None):
        problems.append(Problem("config", "", "expected a mapping of keys"))
        raise StackError(f"{name} cannot be read.", problems)
    return config or {}, problems


_ENCRYPTED = "expected ENGINE=pulumi for a stack with encrypted values"


def parse(
    config: Mapping[str, object],
    stack: str,
    root: Path = ROOT,
    file: str | None = None,
    *,
    rules: Sequence[Rule] = (),
    before: Sequence[Problem] = (),
) -> Settings:
    """Validate a config map of namespaced keys.

    file: the name of where they stand; default: the stack's own.
    rules: further ones, of what only rooms above this one know.
    before: what was wrong already; of these keys nothing more is said.
    Raises StackError naming every wrong key, its value (never a secret one) and what was expected.
    """
    problems = list(before)
    raw: dict[str, Any] = {}
    for name, value in config.items():
        namespace, _, rest = name.partition(":")
        if namespace == PROJECT:
            raw[rest] = value
        elif namespace not in PROVIDER_NAMESPACES:
            problems.append(Problem(name, shown(name, value), f"unknown; expected {PROJECT}:<key>"))
    validated, found, known = validate(raw)
    settings = validated.below(root)
    named = {problem.where for problem in problems}
    problems += [problem for problem in found if problem.where not in named]
    for where in named:
        # A key of another name is no mistake of the group that is called so.
        if where.startswith(f"{PROJECT}:"):
            known.refuse(where.removeprefix(f"{PROJECT}:"))
    problems += check(settings, known, root, rules)
    if problems:
        count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        place = file or f"Pulumi.{stack}.yaml"
        raise StackError(f"{count} wrong in stack {stack} ({place}); nothing was created.", problems)
    return settings


def _decode(key: str, value: str) -> object:
    """The engine hands structured values and scalars alike as text; only JSON containers differ."""
    if key.partition(":")[0] == PROJECT and value[:1] in ("{", "["):
        try:
            found = cast(object, json.loads(value))
        except (ValueError, RecursionError):
            # Cut off, of too many digits, or too deep: it is refused where it stands, as text.
            return value
        return value if too_deep(found) else found
    return value


def _encrypted(tree: object, path: str = "") -> list[str]:
    if isinstance(tree, dict):
        if set(tree) == {"secure"}:
            return [path]
        return [w for k, v in tree.items() for w in _encrypted(v, f"{path}.{k}" if path else str(k))]
    if isinstance(tree, list):
        return [w for i, v in enumerate(tree) for w in _encrypted(v, f"{path}[{i}]")]
    return []


def _without_ciphers(tree: object) -> object:
    if isinstance(tree, dict):
        if set(tree) == {"secure"}:
            return ENCRYPTED
        return {key: _without_ciphers(value) for key, value in tree.items()}
    return [_without_ciphers(value) for value in tree] if isinstance(tree, list) else tree


def reveal(value: SecretStr | None) -> str | None:
    """The text of an operator's secret, for `Secret.value` alone."""
    return None if value is None else value.get_secret_value()
