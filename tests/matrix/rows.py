"""What a row of the tables says: a route, whom it serves, and a request for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Who asks. `plain` and `account` are a person and a service account to whom nobody granted anything; the four after
# them hold what their name says on everything that the world has; `directory` has a token of SCIM's.
NOBODY, PLAIN, ACCOUNT, DIRECTORY = "nobody", "plain", "account", "directory"
READER, USER, EDITOR, MANAGER, ADMINISTRATOR = "reader", "user", "editor", "manager", "admin"
LADDER = (READER, USER, EDITOR, MANAGER, ADMINISTRATOR)
HOLDERS = {READER: "READ", USER: "USE", EDITOR: "EDIT", MANAGER: "MANAGE"}
CALLERS = (NOBODY, PLAIN, ACCOUNT, *LADDER, DIRECTORY)
# Callers that nothing was granted to: what they are answered shows nothing of the world.
WITHOUT = (NOBODY, PLAIN, ACCOUNT, DIRECTORY)


class Needs(NamedTuple):
    """A class of routes: its name, and the callers that it serves."""

    name: str
    callers: tuple[str, ...]


ANYBODY = Needs("nothing", CALLERS)
LOGIN = Needs("a login", (PLAIN, ACCOUNT, *LADDER))
READ = Needs("READ", LADDER)
USE = Needs("USE", LADDER[1:])
UPDATE = Needs("EDIT", LADDER[2:])
# The plugin's EDIT does not delete.
DELETE = MANAGE = Needs("MANAGE", LADDER[3:])
ADMIN = Needs("an administrator", (ADMINISTRATOR,))
SCIM = Needs("a token of SCIM's", (DIRECTORY,))
# A queue of reviews is its reviewers' beside its experiment's managers'; the world's has the editor for its reviewer.
REVIEWER = Needs("EDIT, and to be a reviewer", (EDITOR, ADMINISTRATOR))
QUEUE = Needs("MANAGE, or to be a reviewer", (EDITOR, MANAGER, ADMINISTRATOR))
# What is given on a thing, or to administrators alone.
GIVEN_OUT = (READ, USE, UPDATE, MANAGE, ADMIN, REVIEWER, QUEUE)
CLASSES = (ANYBODY, LOGIN, READ, USE, UPDATE, MANAGE, ADMIN, SCIM, REVIEWER, QUEUE)

API, AJAX, ROOT = "/api/", "/ajax-api/", "/"


@dataclass(frozen=True)
class Row:
    """One route under all of its prefixes.

    rule: the path as the server has it, its parameters in braces, after the prefix. path: what is asked in its place,
    with a query. fresh: what a request uses up, made anew for each caller who may. good: statuses of a request that
    succeeds. shows: who sees the world's hidden word in the answer. never: why no request can succeed here; `good`
    then has what those are answered who may ask. refused: statuses of those who may not; stranger: of those whom the
    server does not know.
    """

    method: str
    prefixes: tuple[str, ...]
    rule: str
    path: str
    needs: Needs
    body: Any = None
    fresh: tuple[str, ...] = ()
    good: tuple[int, ...] = (200,)
    shows: Needs | None = None
    never: str = ""
    refused: tuple[int, ...] = (403,)
    stranger: tuple[int, ...] = (401,)
    headers: Mapping[str, str] = field(default_factory=dict)
    data: str | None = None

    @property
    def routes(self) -> tuple[str, ...]:
        """Its names, as `server.routes` has them."""
        return tuple(f"{self.method} {prefix}{self.rule}" for prefix in self.prefixes)


Make = Callable[..., Row]


def under(base: str, *prefixes: str, at: Mapping[str, str] | None = None, **defaults: Any) -> Make:
    """What makes the rows of a table. at: the value of the world that stands for a parameter of a path."""

    def make(method: str, rule: str, needs: Needs, body: Any = None, **more: Any) -> Row:
        given = {**(at or {}), **more.pop("at", {})}
        key, _, query = rule.partition("?")
        path = f"{base}{key}" + (f"?{query}" if query else "")
        for name, value in given.items():
            path = path.replace(f"{{{name}}}", f"{{{value}}}")
        for name in ("good", "refused", "stranger", "fresh"):
            if name in more and not isinstance(more[name], tuple):
                more[name] = (more[name],)
        return Row(method, prefixes or (API, AJAX), f"{base}{key}", path, needs, body, **{**defaults, **more})

    return make


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """A template with the values of the world in place of their names in braces."""
    if isinstance(template, str):
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)
    if isinstance(template, dict):
        return {filled(key, values): filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(each, values) for each in template]
    return template
