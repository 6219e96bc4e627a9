"""What the engines that run rendered files share: the realm they import, and outputs with their secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.realm.document import IMPORT_PATH, realm_import
from platforms.inventory import Inventory
from platforms.secrets import Secret
from platforms.workload import Workload
from problems import Problem, StackError
from settings import PROJECT
from stackctl.context import Context
from stackctl.progress import say
from stackctl.state import read_kept

REALM_FILE = "realm.json"
OUTPUTS_FILE = "outputs.json"
SECRETS_FILE = "secrets.json"
# What names an entry of each list in a realm import.
_ENTRY_NAMES = {"clients": "clientId", "groups": "name", "users": "username"}
WRITTEN_AGAIN = "expected the JSON that was written here; `stackctl up` with the same engine writes it again"


def realm_of(workloads: Sequence[Workload]) -> str:
    """The realm import among the workloads' files."""
    return next(f.content for w in workloads for f in w.files if f.path == IMPORT_PATH)


def check_keycloak(context: Context) -> list[Problem]:
    """An import is for a Keycloak of the stack's own, and holds no text that Keycloak would replace."""
    if context.spec.keycloak_is_ours:
        return _substituted(realm_import(context.spec.realm, lambda _: ""), "realm")
    where = f"{PROJECT}:keycloak.existing"
    return [Problem(where, "", "expected ENGINE=pulumi: only the engine changes a Keycloak that is there")]


def _substituted(tree: object, path: str) -> list[Problem]:
    """The texts in which Keycloak's import would put variables of its environment, and so the stack's secrets."""
    if isinstance(tree, Mapping):
        return [found for key, value in tree.items() for found in _substituted(value, f"{path}.{key}")]
    if isinstance(tree, list):
        return [found for i, value in enumerate(tree) for found in _substituted(value, f"{path}[{i}]")]
    if isinstance(tree, str) and "${" in tree:
        return [Problem(path, tree, "expected no ${ in it: Keycloak's import puts a variable of its own there")]
    return []


def kept_realm(directory: Path) -> str:
    """The realm import that was written into a directory; empty where there is none."""
    try:
        return (directory / REALM_FILE).read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def refuse_changed_realm(workloads: Sequence[Workload], kept: Path) -> None:
    """Keycloak imports a realm once; a later change would be ignored without a word."""
    if not kept.exists():
        return
    before = read_kept(kept, "realm", "expected the JSON that was written here; restore it, or `make destroy` first")
    after = json.loads(realm_of(workloads))
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if keys:
        changed = ", ".join(_difference(key, before.get(key), after.get(key)) for key in keys)
        say(f"The realm differs from the one that was imported, in: {changed}.")
        expected = "expected no change: a realm is imported once; make the change in Keycloak, or `make destroy` first"
        raise StackError("The realm has changed; nothing was changed.", [Problem("realm", changed, expected)])


def _difference(key: str, before: object, after: object) -> str:
    """A key of the realm that differs, with the names of its entries that do where it is a list of them."""
    name = _ENTRY_NAMES.get(key)
    if name is None or not isinstance(before, list) or not isinstance(after, list):
        return key
    entries = [entry for entry in (*before, *after) if isinstance(entry, dict)]
    differing = sorted({str(entry.get(name)) for entry in entries if entry not in before or entry not in after})
    return f"{key} ({', '.join(differing)})" if differing else key


def refuse_protected(inventory: Inventory, stack: str) -> None:
    """Raises StackError, before anything is removed, when data of the stack is protected."""
    problems = [
        Problem(f"{item.kind} {item.name}", "protected", "expected whoever wants it gone to remove it by name")
        for item in inventory.find(PROJECT, stack)
        if item.protected
    ]
    if problems:
        raise StackError(f"Stack {stack} holds protected data; nothing was removed.", problems)


def read_outputs(path: Path) -> dict[str, Any]:
    """The outputs that `up` has written. Raises StackError for a damaged file."""
    return read_kept(path, "outputs", WRITTEN_AGAIN)


def resolve(value: object, values: Mapping[str, str]) -> object:
    """Outputs with the value of each `Secret` in its place."""
    if isinstance(value, Secret):
        return values[value.name]
    if isinstance(value, Mapping):
        return {key: resolve(inner, values) for key, inner in value.items()}
    return value
