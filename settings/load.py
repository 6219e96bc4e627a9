"""Reads settings from the engine or from `Pulumi.<stack>.yaml`, and reports every mistake at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from problems import Problem, StackError
from settings.model import PROJECT, Platform, Settings
from settings.rules import check

ROOT = Path(__file__).resolve().parent.parent
# Stands for a value that only the engine can read.
ENCRYPTED = "encrypted"
_SECRET_NAME = re.compile("secret|pass|pwd|token|key|credential", re.IGNORECASE)
_CREDENTIALS = re.compile(r"//[^/@]*@")
# Namespaces of providers: theirs to validate, not ours.
PROVIDER_NAMESPACES = ("pulumi", "docker", "keycloak", "kubernetes", "random")


def from_engine(config: Mapping[str, str], stack: str, root: Path = ROOT) -> Settings:
    """Settings as the Pulumi engine passes them: a flat map whose structured values are JSON."""
    raw = {key: _decode(key, value) for key, value in config.items()}
    return parse(raw, stack, root)


def from_files(
    stack: str,
    root: Path = ROOT,
    *,
    file: Path | None = None,
    encrypted: bool = False,
    platform: Platform | None = None,
) -> Settings:
    """Settings as they stand in `Pulumi.<stack>.yaml` or another `file`, without the engine.

    encrypted: accept values that only the engine can read, with a placeholder in their place; for questions
    whose answer no secret changes.
    platform: where to run it, in place of what the file says.
    """
    path = file or root / f"Pulumi.{stack}.yaml"
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        have = ", ".join(sorted(p.name.split(".")[1] for p in root.glob("Pulumi.*.yaml")))
        problem = Problem("stack", stack, f"expected one of {have}, or a new {path.name}")
        raise StackError("There is no such stack.", [problem]) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise StackError(f"{path.name} cannot be read.", [Problem(path.name, "", reason)]) from None
    config = document.get("config") if isinstance(document, dict) else None
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise StackError(f"{path.name} cannot be read.", [Problem("config", "", "expected a mapping of keys")])
    unreadable = [] if encrypted else [Problem(where, "[secret]", _ENCRYPTED) for where in _encrypted(config)]
    if unreadable:
        raise StackError(f"{path.name} holds values that only the engine can read.", unreadable)
    given = {str(key): _without_ciphers(value) for key, value in config.items()}
    if platform is not None:
        given[f"{PROJECT}:platform"] = platform.value
    return parse(given, stack, root)


_ENCRYPTED = "expected ENGINE=pulumi for a stack with encrypted values"


def parse(config: Mapping[str, object], stack: str, root: Path = ROOT) -> Settings:
    """Validate a config map of namespaced keys.

    Raises StackError naming every wrong key, its value (never a secret one) and what was expected.
    """
    problems: list[Problem] = []
    raw: dict[str, Any] = {}
    for name, value in config.items():
        namespace, _, rest = name.partition(":")
        if namespace == PROJECT:
            raw[rest] = value
        elif namespace not in PROVIDER_NAMESPACES:
            shown = "[secret]" if _SECRET_NAME.search(name) else _shown(value)
            problems.append(Problem(name, shown, f"unknown; expected {PROJECT}:<key>"))
    settings, found = _validate(raw)
    problems += found
    problems += check(settings, root)
    if problems:
        count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        raise StackError(f"{count} wrong in stack {stack} (Pulumi.{stack}.yaml); nothing was created.", problems)
    return settings


def _validate(raw: dict[str, Any]) -> tuple[Settings, list[Problem]]:
    """Validate, replacing what is wrong by its default, so that later rules are checked as well."""
    problems: list[Problem] = []
    current = json.loads(json.dumps(raw, default=str))
    for _ in range(100):
        try:
            return Settings.model_validate(current), problems
        except ValidationError as error:
            details = error.errors()
            places = [detail["loc"] for detail in details]
            for detail in details:
                # A list whose items were refused is also reported as too short.
                inside = (p for p in places if len(p) > len(detail["loc"]) and p[: len(detail["loc"])] == detail["loc"])
                if detail["type"] != "too_short" or not any(inside):
                    problems.append(_problem(detail, raw))
            for detail in details:
                _drop(current, detail["loc"])
    return Settings(), problems


def _problem(detail: ErrorDetails, raw: Mapping[str, Any]) -> Problem:
    loc = detail["loc"]
    where = f"{PROJECT}:" + _path(loc)
    value: Any = raw
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = ""
            break
    shown = _shown(value)
    if shown and _may_be_secret(loc, known=detail["type"] != "extra_forbidden"):
        shown = "[secret]"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        return Problem(where, shown, f"unknown key; {hint}")
    if detail["type"] == "missing":
        return Problem(where, "", "required, and not given")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "string_pattern_mismatch":
        message = f"expected text matching {detail.get('ctx', {}).get('pattern', '')}"
    return Problem(where, shown, message[0].lower() + message[1:])


def _path(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _drop(tree: Any, loc: tuple[int | str, ...]) -> None:
    """Remove the value at `loc`; a rejected list or required key takes its parent with it."""
    for cut in range(len(loc), 0, -1):
        node = tree
        try:
            for part in loc[: cut - 1]:
                node = node[part]
            if isinstance(node, dict) and loc[cut - 1] in node:
                del node[loc[cut - 1]]
                return
        except (KeyError, IndexError, TypeError):
            continue


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Settings
    for part in loc:
        if isinstance(part, int):
            continue
        field = next((f for f in (model.model_fields if model else {}).values() if f.alias == part), None)
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found:
            return found
    return None


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    model = _model_at(loc)
    return [str(field.alias) for field in model.model_fields.values()] if model else []


def _may_be_secret(loc: tuple[int | str, ...], *, known: bool) -> bool:
    """Whether a wrong value is a secret, or could be one that stands in the wrong place."""
    group = _model_at(loc[:-1])
    if not known:
        # A misspelt key, or a secret that the settings have no place for.
        return bool(_SECRET_NAME.search(str(loc[-1]))) or (group is not None and _holds_secrets(group, deep=False))
    inner = _model_at(loc)
    return any(_is_secret(loc[:end]) for end in range(1, len(loc) + 1)) or (
        inner is not None and _holds_secrets(inner, deep=True)
    )


def _is_secret(loc: tuple[int | str, ...]) -> bool:
    """Whether the key at `loc` holds a secret, or a map of them."""
    group = _model_at(loc[:-1])
    field = next((f for f in (group.model_fields if group else {}).values() if f.alias == loc[-1]), None)
    return field is not None and "SecretStr" in str(field.annotation)


def _holds_secrets(model: type[BaseModel], *, deep: bool) -> bool:
    for field in model.model_fields.values():
        inner = _model_in(field.annotation)
        # A misspelt key stands for one value; a map has its own place for each.
        secret = "SecretStr" in str(field.annotation) and (deep or "dict" not in str(field.annotation))
        if secret or (deep and inner and _holds_secrets(inner, deep=True)):
            return True
    return False


def _shown(value: Any) -> str:
    """A wrong value for people to read, without the credentials that a URL may hold."""
    if value == "" or isinstance(value, dict | list):
        return ""
    return _CREDENTIALS.sub("//[secret]@", json.dumps(value, default=str))


def _decode(key: str, value: str) -> object:
    """The engine hands structured values and scalars alike as text; only JSON containers differ."""
    if key.partition(":")[0] == PROJECT and value[:1] in ("{", "["):
        try:
            return cast(object, json.loads(value))
        except json.JSONDecodeError:
            return value
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
