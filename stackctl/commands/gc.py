"""`stackctl gc`: what was deleted in MLflow is removed for good, with its artifacts and the grants on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from components.mlflow import SERVER
from platforms.select import running
from problems import Problem, StackError
from settings import PROJECT, Platform, Settings
from stackctl.clients.trash import Thing, Trash
from stackctl.commands.common import (
    TABLE,
    ConfigOption,
    OutputOption,
    StackOption,
    TargetOption,
    YesOption,
    confirm,
    reported,
    show_rows,
)
from stackctl.context import check_name, load
from stackctl.engines.targets import platform_of
from stackctl.progress import say

COLUMNS = ("kind", "id", "name", "experiment", "deleted", "size", "holds", "registered")
# As `mlflow gc --older-than` spells it.
_AGE = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def gc(
    *,
    stack: StackOption = "dev",
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Only what was deleted that long ago: 30d, 12h, 1d6h.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    yes: YesOption = False,
    output: OutputOption = TABLE,
    target: TargetOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Remove for good what was deleted in MLflow: experiments, runs, logged models, data of traces, grants on them."""
    with reported():
        age = _milliseconds(older_than)
        trash = _trash(stack, target, config_file)
        things, grants = trash.things(age)
        if things or output is not TABLE:
            show_rows([_row(thing) for thing in things], COLUMNS, output)
        if not things and not grants:
            say(f"Nothing that was deleted in stack {stack} is left to remove.")
            return
        say(_told(things, grants))
        if dry_run:
            say("Nothing was removed: this was a dry run.")
            return
        confirm(f"Remove that for good{_registered(things)}", yes=yes)
        failed = _remove(trash, things)
    if failed:
        raise typer.Exit(1)


def _trash(stack: str, target: Platform | None, config_file: Path | None) -> Trash:
    check_name(stack)
    settings: Settings | None = None
    try:
        settings = load(stack, config_file, encrypted=True, platform=target).settings
    except StackError as error:
        say(f"The settings of stack {stack} cannot be read ({error.headline.rstrip('.')}).")
    platform = platform_of(stack, settings, target)
    place = running(platform, settings)
    server = place.serving(PROJECT, stack, SERVER)
    if server is None:
        problem = Problem("stack", stack, f"expected one whose MLflow runs on {platform}; `stackctl up` starts it")
        raise StackError("There is no server to ask; nothing was removed.", [problem])
    return Trash(place, server)


def _remove(trash: Trash, things: Sequence[Thing]) -> int:
    """Removes them and tells of it; how many stay."""
    names = {(thing.kind, thing.id): thing for thing in things}
    failed = grants = 0
    for told in trash.remove(things):
        if isinstance(told, int):
            grants = told
        elif told.failed is None:
            say(f"removed {_called(names[told.kind, told.id])}")
        else:
            failed += 1
            say(f"error: {_called(names[told.kind, told.id])} stays: {told.failed}")
    say(f"Removed {len(things) - failed} of {len(things)}, and {grants} grants on experiments that are no more.")
    return failed


def _milliseconds(age: str | None) -> int:
    if age is None:
        return 0
    found = _AGE.fullmatch(age)
    if not age or found is None:
        problem = Problem("--older-than", age, "expected days, hours, minutes and seconds such as 30d, 12h or 1d6h")
        raise StackError("That is no age; nothing was removed.", [problem])
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    try:
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise StackError("That is no age.", [Problem("--older-than", age, "expected less than 3000 years")]) from None
    return span // timedelta(milliseconds=1)


def _called(thing: Thing) -> str:
    if thing.kind == "traces":
        return f"data of {thing.traces} deleted traces of experiment {thing.id}"
    return f"{thing.kind} {thing.id}" + (f" ({thing.name})" if thing.name else "")


def _row(thing: Thing) -> dict[str, Any]:
    counts = {"runs": thing.runs, "models": thing.models, "traces": thing.traces}
    deleted = datetime.fromtimestamp(thing.deleted / 1000, UTC) if thing.deleted is not None else None
    return {
        "kind": thing.kind,
        "id": thing.id,
        "name": thing.name,
        "experiment": thing.experiment or thing.id,
        "deleted": deleted.isoformat(timespec="seconds") if deleted else None,
        "size": _size(thing.size) if thing.size is not None else f"unknown ({thing.trouble})",
        "bytes": thing.size,
        "holds": [f"{count} {what}" for what, count in counts.items() if count],
        "registered": list(thing.registered),
    }


def _told(things: Sequence[Thing], grants: int) -> str:
    kinds = Counter(thing.kind for thing in things)
    traces = sum(thing.traces for thing in things if thing.kind == "traces")
    counts = [f"{count} {kind}s" for kind, count in kinds.items() if kind != "traces"]
    counts += [f"data of {traces} deleted traces"] if traces else []
    size = _size(sum(thing.size or 0 for thing in things))
    return f"{', '.join([*counts, f'{grants} grants'])}; {size} of artifacts."


def _registered(things: Sequence[Thing]) -> str:
    versions = sorted({version for thing in things for version in thing.registered})
    if not versions:
        return ""
    return f", with the files of {len(versions)} versions of registered models ({', '.join(versions[:5])})"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
