"""The options that say which stack a command is about, in one place for every command that speaks to one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from stackctl.commands.common import CaOption, ConfigOption, IssuerOption, StackOption, UrlOption
from stackctl.people.connection import Where

# By the field of `Where` that each fills in.
_OPTIONS: dict[str, tuple[Any, str | None]] = {
    "stack": (StackOption, "dev"),
    "url": (UrlOption, None),
    "issuer": (IssuerOption, None),
    "ca_bundle": (CaOption, None),
    "config_file": (ConfigOption, None),
}


def about_a_stack(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, behind its own, in place of its parameter `where`, which is made of them.

    Typer reads the options of a command from its signature.
    """
    signature, keyword = inspect.signature(command, eval_str=True), inspect.Parameter.KEYWORD_ONLY
    own = [p.replace(kind=keyword) for name, p in signature.parameters.items() if name != "where"]
    options = _OPTIONS.items()
    parameters = [*own, *(inspect.Parameter(n, keyword, default=d, annotation=kind) for n, (kind, d) in options)]

    @wraps(command)
    def with_where(**given: Any) -> None:
        command(where=Where(**{name: given.pop(name) for name in _OPTIONS}), **given)

    with_where.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_where.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_where
