"""The settings as a table for people: every key, its type, its default and what it means."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from settings.model import Settings


@dataclass(frozen=True)
class Row:
    """One key as it is written below the project's namespace."""

    key: str
    type: str
    default: str
    meaning: str


def rows(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Row]:
    """Every key that can be set, in the order of the model."""
    for field in model.model_fields.values():
        key = f"{prefix}{field.alias}"
        group = _group(field.annotation)
        if group is None:
            default = "required" if field.default is PydanticUndefined else _value(field.default)
            yield Row(key, _type(field.annotation), default, field.description or "")
            continue
        many = get_origin(_bare(field.annotation)) is tuple
        if field.description or many:
            yield Row(key, "list" if many else "group", "none", field.description or (group.__doc__ or "").strip())
        yield from rows(group, f"{key}[]." if many else f"{key}.")


def markdown() -> str:
    """The table as docs/settings.md holds it."""
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{r.key}` | {r.type} | {r.default} | {r.meaning} |" for r in rows()]
    return "\n".join(lines) + "\n"


def _bare(annotation: Any) -> Any:
    """The type without its None and its constraints."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _bare(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _group(annotation: Any) -> type[BaseModel] | None:
    bare = _bare(annotation)
    if get_origin(bare) is tuple:
        bare = _bare(get_args(bare)[0])
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _type(annotation: Any) -> str:
    bare = _bare(annotation)
    if get_origin(bare) is tuple:
        return f"list of {_type(get_args(bare)[0])}"
    if get_origin(bare) is dict:
        return "map of maps of text" if get_origin(_bare(get_args(bare)[1])) is dict else "map of text"
    if get_origin(bare) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(bare))
    if isinstance(bare, type) and issubclass(bare, enum.StrEnum):
        return ", ".join(f"`{value}`" for value in bare)
    return {str: "text", int: "integer", bool: "boolean", SecretStr: "secret"}[bare]


def _value(value: Any) -> str:
    if value is None or value in ((), {}, ""):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value}`"


if __name__ == "__main__":
    print(markdown(), end="")
