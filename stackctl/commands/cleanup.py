"""`stackctl cleanup` and `stackctl verify-clean`: for a stack whose state is lost, and the proof that it is gone."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from mlflow_sso_client import logins

from platforms.inventory import Inventory, InventoryError
from platforms.select import inventory
from problems import StackError
from settings import Environment, Platform, Settings
from settings.catalogue import refs
from settings.versions import selection
from stackctl.commands.common import (
    ConfigOption,
    StackOption,
    TargetOption,
    YesOption,
    confirm_name,
    holders,
    list_items,
    reported,
)
from stackctl.context import check_name, load
from stackctl.engines import remains
from stackctl.engines.targets import platform_of
from stackctl.errors import FAILED
from stackctl.people import offline
from stackctl.progress import say


def cleanup(
    *,
    stack: StackOption = "dev",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    yes: YesOption = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Leave volumes, and the secrets they know.")] = False,
    target: TargetOption = None,
    images: Annotated[bool, typer.Option("--images", help="Also the stack's images that nothing else uses.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Remove every object that carries the stack's labels, for a stack that `destroy` does not know any more."""
    with reported("the same `stackctl cleanup` goes on"):
        place, settings = _place(stack, config_file, target)
        names = tuple(refs(selection(settings)).values()) if settings else ()
        found = remains.find(
            place,
            stack,
            keep_data=keep_data,
            images=names if images else None,
            protected=settings is not None and settings.environment is not Environment.DEV,
        )
        list_items("To be removed:", found.gone)
        list_items("Left as they are:", found.kept)
        protected = [item for item in found.kept if item.protected]
        if protected:
            shown = ", ".join(f"{item.kind} {item.name}" for item in protected)
            say(f"Protected, so data and secrets stay: {shown}. Whoever wants them gone removes them by name:")
            for item in protected:
                say(f"  {place.removal(item)}")
        if not found.gone:
            say(f"Nothing of stack {stack} is here to remove.")
            return
        remains.refuse_blocked(found, place)
        if dry_run:
            say("Nothing was removed: this was a dry run.")
            return
        if not yes:
            confirm_name(stack, found.gone)
        remains.remove(found, place, stack, lambda item: say(f"removed {item.kind} {item.name}"))
        _epilogue(stack, found, keep_data or bool(protected))


def verify_clean(stack: StackOption = "dev", target: TargetOption = None, config_file: ConfigOption = None) -> None:
    """Prove that nothing of the stack is left: exit code 0, or 1 with a list of what there is."""
    with reported():
        place, _ = _place(stack, config_file, target)
        left = remains.find(place, stack, keep_data=False, images=None).left
    for item in left:
        sys.stdout.write(f"{item.kind} {item.name}{holders(item)}\n")
    if left:
        say(f"{len(left)} of stack {stack} left; `stackctl cleanup --stack {stack}` removes them.")
        raise typer.Exit(1)
    say(f"Nothing of stack {stack} is left.")


def end_of_destroy(stack: str, config_file: Path | None, platform: Platform | None, *, known: bool) -> None:
    """Tell how a destroy has ended: by what the target still holds, as `verify_clean` finds it. Exit 1 for anything.

    platform: where the stack was; None: where its settings say. known: something here knew the stack, and removed it.
    """
    place, _ = _place(stack, config_file, platform)
    try:
        left = remains.find(place, stack, keep_data=False, images=None).left
    except InventoryError as error:
        ended = f"Stack {stack} was removed" if known else f"There is no stack {stack} here, so nothing was removed"
        say(f"{ended}; whether its target still holds anything of it is not known: {error}")
        raise typer.Exit(0 if known else FAILED) from None
    if not left:
        say(f"Stack {stack} is gone." if known else f"There is no stack {stack} here; nothing to remove.")
        if known:
            _forget_login(stack, config_file)
            offline.forget(stack)
        return
    cause = "" if known else " Nothing here knows how it was brought up, so nothing was removed."
    say(f"error: stack {stack} is not gone.{cause} There is still:")
    for item in left:
        say(f"  {item.kind} {item.name}{holders(item)}")
    words = f" --config-file {config_file}" if config_file else ""
    words += f" --target {platform}" if platform else ""
    say(f"`stackctl cleanup --stack {stack}{words}` removes what is not protected.")
    raise typer.Exit(FAILED)


def _forget_login(stack: str, config_file: Path | None) -> None:
    """A login to a stack that is gone opens nothing, also where one of the same name and address comes after it."""
    with suppress(StackError):
        url = load(stack, config_file, encrypted=True).settings.mlflow.url
        if logins.forget(stack, url):
            say(f"The login that was kept for {url} is forgotten.")


def _place(stack: str, config_file: Path | None, target: Platform | None) -> tuple[Inventory, Settings | None]:
    """Where to look, and the stack's settings. A cleanup does not need them: they may be lost or wrong."""
    check_name(stack)
    try:
        settings: Settings | None = load(stack, config_file, encrypted=True, platform=target).settings
    except StackError as error:
        settings = None
        platform = platform_of(stack, settings, target)
        say(f"The settings of stack {stack} cannot be read ({error.headline.rstrip('.')}); looking on {platform}.")
    return inventory(platform_of(stack, settings, target), settings, say), settings


def _epilogue(stack: str, found: remains.Remains, keep_data: bool) -> None:
    if not keep_data:
        say(f"Stack {stack} is gone; `stackctl verify-clean --stack {stack}` proves it.")
        return
    say("The data and the secrets it knows were kept; `stackctl up` with the same engine uses them again.")
    if any(item.kind == remains.PULUMI_STATE for item in found.kept):
        say(f"The Pulumi state still names what was removed: run `pulumi refresh --stack {stack}` before the next up.")
