"""What the engines that run rendered files share: the realm they import, and outputs with their secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.importing import IMPORT_PATH
from platforms.secrets import Secret
from platforms.workload import Workload
from problems import Problem
from settings import PROJECT
from stackctl.context import Context
from stackctl.state import read_kept

REALM_FILE = "realm.json"
OUTPUTS_FILE = "outputs.json"
SECRETS_FILE = "secrets.json"
# Places that differ in one object, of which more say little.
_SHOWN = 6
WRITTEN_AGAIN = "expected the JSON that was written here; `stackctl up` with the same engine writes it again"


def realm_of(workloads: Sequence[Workload]) -> str:
    """The realm import among the workloads' files."""
    return next(f.content for w in workloads for f in w.files if f.path == IMPORT_PATH)


def check_keycloak(context: Context) -> list[Problem]:
    """An import is for a Keycloak of the stack's own."""
    if context.spec.keycloak_is_ours:
        return []
    where = f"{PROJECT}:keycloak.existing"
    return [Problem(where, "", "expected ENGINE=pulumi: only the engine changes a Keycloak that is there")]


def kept_realm(directory: Path) -> str:
    """The realm import that was written into a directory; empty where there is none."""
    try:
        return (directory / REALM_FILE).read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def differences(before: Mapping[str, Any], after: Mapping[str, Any], staying: Mapping[str, str]) -> list[str]:
    """What is made, changed and removed between two sets of named objects, a line each and without values.

    staying: what holds data, so that `up` leaves it where it is no longer named, with the command that removes it.
    """
    lines = []
    for name in sorted({*before, *after}):
        if name not in before:
            lines.append(f"{name} is made")
        elif name not in after and name in staying:
            lines.append(f"{name} is no longer used and stays with its data; `{staying[name]}` removes both")
        elif name not in after:
            lines.append(f"{name} is removed")
        elif paths := sorted(set(_paths(before[name], after[name]))):
            lines.append(f"{name} changes: {', '.join(paths[:_SHOWN])}{' ...' if len(paths) > _SHOWN else ''}")
    return lines


def _paths(before: Any, after: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {*before, *after}:
            yield from _paths(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            name = new.get("name", number) if isinstance(new, Mapping) else number
            yield from _paths(old, new, f"{path}[{name}]")
    elif before != after:
        yield path


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
