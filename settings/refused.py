"""Validates settings value by value: names each wrong one once, and says what can be judged without it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from problems import Problem
from settings.known import Known
from settings.model import PROJECT, Settings
from settings.types import is_tag

Loc = tuple[int | str, ...]
# What is expected where pydantic names a type of Python's.
_KEYS = "expected keys with values below it"
_SHAPES = {"model_type": _KEYS, "model_attributes_type": _KEYS, "dict_type": _KEYS, "tuple_type": "expected a list"}

_SECRET_NAME = re.compile("secret|pass|pwd|token|key|credential", re.IGNORECASE)
_CREDENTIALS = re.compile(r"//[^/@]*@")
# Stand for a text or a number that was refused where there has to be one. Every pattern and bound takes them.
_STAND_IN, _STAND_IN_NUMBER = "refused", 1


def validate(raw: Mapping[str, Any]) -> tuple[Settings, list[Problem], Known]:
    """The settings without what is wrong in them, what that is, and which of them are known in spite of it.

    A refused value makes way for its default, or for a stand-in where it has none, so that the rules between settings
    can be asked about all others.
    """
    problems: list[Problem] = []
    refused: list[Loc] = []
    current = json.loads(json.dumps(raw, default=str))
    while True:
        try:
            return Settings.model_validate(current), problems, Known(map(_path, refused))
        except ValidationError as error:
            details = {_place(detail): detail for detail in reversed(error.errors())}
        before = tuple(refused)
        # A group that misses a key which a misspelt one was meant for has one mistake.
        meant = {near for loc, detail in details.items() for near in _meant(loc, detail)}
        for loc, detail in reversed(details.items()):
            follows = any(_within(other, loc) for other in details if other != loc)
            if not follows and loc not in meant and not any(_within(loc, o) or _within(o, loc) for o in before):
                problems.append(_problem(loc, detail, raw))
            # One that is refused again had a stand-in that is no better: what it is in goes, and at last its group.
            given_up = loc[: max(1, len(loc) - before.count(loc))]
            refused += {loc, given_up}
            _replace(current, given_up)
        refused += meant


def shown(name: str, value: Any) -> str:
    """The value of a key that is none of the stack's, unless it may be a secret."""
    return "[secret]" if _SECRET_NAME.search(name) else _text(value)


def _place(detail: ErrorDetails) -> Loc:
    """Where an error stands, as people write it: without the member of a union that was tried."""
    return tuple(part for part in detail["loc"] if not is_tag(part))


def _within(loc: Loc, group: Loc) -> bool:
    """Whether a place is another one, or lies in it."""
    return loc[: len(group)] == group


def _meant(loc: Loc, detail: ErrorDetails) -> list[Loc]:
    """The key that an unknown one was probably meant for."""
    if detail["type"] != "extra_forbidden":
        return []
    return [(*loc[:-1], near) for near in difflib.get_close_matches(str(loc[-1]), _known_keys(loc[:-1]), n=1)]


def _problem(loc: Loc, detail: ErrorDetails, raw: Mapping[str, Any]) -> Problem:
    where = f"{PROJECT}:" + _path(loc)
    value: Any = raw
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = ""
            break
    text = _text(value)
    if text not in ("", "null") and _may_be_secret(loc, known=detail["type"] != "extra_forbidden"):
        text = "[secret]"
    if detail["type"] == "extra_forbidden":
        known, near = _known_keys(loc[:-1]), _meant(loc, detail)
        hint = f"did you mean {near[0][-1]}?" if near else f"expected one of {', '.join(known)}"
        return Problem(where, text, f"unknown key; {hint}")
    if detail["type"] == "missing":
        return Problem(where, "", "required, and not given")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in _SHAPES:
        message = _SHAPES[detail["type"]]
    if detail["type"] == "string_pattern_mismatch":
        message = f"expected text matching {detail.get('ctx', {}).get('pattern', '')}"
    return Problem(where, text, message[0].lower() + message[1:])


def _path(loc: Loc) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _replace(tree: Any, loc: Loc) -> None:
    """Put a stand-in in the place of a refused value that has to be there, and remove any other."""
    node = tree
    try:
        for part in loc[:-1]:
            node = node[part]
        field = _field_at(loc)
        if isinstance(loc[-1], int) or (field is not None and field.is_required()):
            node[loc[-1]] = _stand_in(_model_at(loc), field)
        else:
            node.pop(loc[-1], None)
    except (KeyError, IndexError, TypeError, AttributeError):
        # Another refusal in the same pass has taken its group away.
        return


def _stand_in(model: type[BaseModel] | None, field: FieldInfo | None) -> object:
    if model is None:
        return _STAND_IN_NUMBER if field is not None and field.annotation is int else _STAND_IN
    required = {str(inner.alias): inner for inner in model.model_fields.values() if inner.is_required()}
    return {name: _stand_in(_model_in(inner.annotation), inner) for name, inner in required.items()}


def _field_at(loc: Loc) -> FieldInfo | None:
    """The field of a group that a place names; None for an entry of a list or a map, and for an unknown key."""
    group = _model_at(loc[:-1])
    return next((f for f in (group.model_fields if group else {}).values() if f.alias == loc[-1]), None)


def _model_at(loc: Loc) -> type[BaseModel] | None:
    """The group that stands at a place; None for a value, a list or a map, and for what is unknown."""
    model: type[BaseModel] | None = Settings
    parts = iter(part for part in loc if isinstance(part, str))
    for part in parts:
        field = next((f for f in (model.model_fields if model else {}).values() if f.alias == part), None)
        # The next part of a map's entry is its key, which people choose.
        value = field is not None and (get_origin(field.annotation) is not dict or next(parts, None) is not None)
        model = _model_in(field.annotation) if field is not None and value else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found:
            return found
    return None


def _known_keys(loc: Loc) -> list[str]:
    model = _model_at(loc)
    return [str(field.alias) for field in model.model_fields.values()] if model else []


def _may_be_secret(loc: Loc, *, known: bool) -> bool:
    """Whether a wrong value is a secret, or could be one that stands in the wrong place."""
    group = _model_at(loc[:-1])
    below = any(_is_secret(loc[:end]) for end in range(1, len(loc) + 1))
    if not known:
        # A misspelt key, or a secret that the settings have no place for.
        beside = group is not None and _holds_secrets(group, deep=False)
        return below or beside or bool(_SECRET_NAME.search(str(loc[-1])))
    inner = _model_at(loc)
    return below or (inner is not None and _holds_secrets(inner, deep=True))


def _is_secret(loc: Loc) -> bool:
    """Whether the key at `loc` holds a secret, or a map of them."""
    field = _field_at(loc)
    return field is not None and "SecretStr" in str(field.annotation)


def _holds_secrets(model: type[BaseModel], *, deep: bool) -> bool:
    for field in model.model_fields.values():
        inner = _model_in(field.annotation)
        # A misspelt key stands for one value; a map has its own place for each.
        secret = "SecretStr" in str(field.annotation) and (deep or "dict" not in str(field.annotation))
        if secret or (deep and inner and _holds_secrets(inner, deep=True)):
            return True
    return False


def _text(value: Any) -> str:
    """A wrong value for people to read, without the credentials that a URL may hold."""
    if value == "" or isinstance(value, dict | list):
        return ""
    return _CREDENTIALS.sub("//[secret]@", json.dumps(value, default=str))
