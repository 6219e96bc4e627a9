"""`stackctl destroy`: what goes with a stack and what stays, and a question where the stack is not for development."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from platforms.inventory import Item
from platforms.places import outside
from platforms.select import inventory
from problems import StackError
from settings import PROJECT, Environment, Platform
from stackctl.commands import cleanup
from stackctl.commands.common import ConfigOption, StackOption, YesOption, confirm_name, list_items, reported
from stackctl.context import Context, load
from stackctl.engines import pulumi_cli
from stackctl.engines.rendered import OUTPUTS_FILE, read_outputs
from stackctl.engines.targets import TARGETS, Target, owner
from stackctl.progress import say

_NOTHING: Mapping[str, Any] = {}


def destroy(*, stack: StackOption = "dev", yes: YesOption = False, config_file: ConfigOption = None) -> None:
    """Remove the stack with its data: containers, volumes, networks and secrets.

    Outside development it shows what goes and asks for the stack's name.
    """
    with reported("the same `stackctl destroy` goes on"):
        target = owner(stack)
        platform: Platform | None = None
        known = target is not None or (pulumi_cli.find() is not None and pulumi_cli.exists(stack))
        if target is not None:
            platform = next(name for name, one in TARGETS.items() if one is target)
            _destroy_rendered(stack, target, config_file, yes=yes)
        elif known:
            context = load(stack, config_file, encrypted=True)
            platform = context.settings.platform
            _destroy_with_pulumi(context, yes=yes)
        cleanup.end_of_destroy(stack, config_file, platform, known=known)


def _destroy_rendered(stack: str, target: Target, config_file: Path | None, *, yes: bool) -> None:
    found = target.inventory(stack).find(PROJECT, stack)
    environments: set[Environment | None] = set()
    # Both may be lost or damaged, and the stack goes all the same.
    with suppress(StackError):
        environments.add(load(stack, config_file, encrypted=True).settings.environment)
    outputs = _NOTHING
    with suppress(StackError, OSError):
        outputs = read_outputs(target.home(stack) / OUTPUTS_FILE)
    _agree(stack, environments | _of(outputs) or {None}, found, outputs, yes=yes)
    target.destroy(stack)


def _destroy_with_pulumi(context: Context, *, yes: bool) -> None:
    stack, settings = context.stack, context.settings
    found = [*inventory(settings.platform, settings).find(PROJECT, stack), *_realm(context)]
    outputs = pulumi_cli.outputs(stack, settings.environment)
    protected = _agree(stack, {settings.environment} | _of(outputs), found, outputs, yes=yes)
    target = TARGETS[settings.platform]
    target.open_routes(context)
    pulumi_cli.destroy(context, protected=protected)
    target.close_routes(stack)


def _of(outputs: Mapping[str, Any]) -> set[Environment | None]:
    """What the stack was for at its last `up`, as far as its outputs say it: earlier releases wrote nothing of it."""
    told = outputs.get("environment")
    return {Environment(told)} if told in set(Environment) else set()


def _realm(context: Context) -> list[Item]:
    """The realm, where the engine removes it by itself: in a Keycloak or a database that stays."""
    spec = context.spec
    if not spec.realm.create or spec.keycloak_data:
        return []
    return [Item("realm", f"{spec.realm.name} with its people, in {spec.keycloak.public_url}", data=True)]


def _agree(
    stack: str,
    environments: Collection[Environment | None],
    found: Sequence[Item],
    outputs: Mapping[str, Any],
    *,
    yes: bool,
) -> bool:
    """Whether the stack is protected, once somebody has confirmed that its data go.

    environments: what it is for by each witness; None: nothing tells. Raises StackError where it is not confirmed.
    """
    reasons = [f"is for {one}" if one else "is for nobody knows what" for one in environments if one != Environment.DEV]
    reasons += ["holds protected data"] if any(item.protected for item in found) else []
    if not reasons:
        return False
    data = [item for item in found if item.data]
    list_items(f"Stack {stack} {' and '.join(sorted(reasons))}. What it knows goes with it:", data)
    lines = outputs.get("data")
    staying = outside(lines) if isinstance(lines, Mapping) else []
    if staying:
        say(f"Not removed, because it is not the stack's own: {', '.join(staying)}.")
    if not yes:
        confirm_name(stack, data)
    return True
