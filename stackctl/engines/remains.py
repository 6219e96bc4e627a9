"""Everything that is left of a stack, on its target and on this machine, and how it is cleared away."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from platforms.inventory import Inventory, Item
from problems import Problem, StackError
from settings import PROJECT
from stackctl.context import stack_directory
from stackctl.engines import forward, pulumi_cli
from stackctl.engines.targets import TARGETS
from stackctl.progress import say

STATE_DIRECTORY = "directory of secrets and rendered files"
PULUMI_STATE = "Pulumi state"


@dataclass(frozen=True)
class Remains:
    """What is left of a stack.

    gone: what a cleanup removes, in order. kept: what it leaves, as asked, because others use it or because data of the
        stack is protected.
    """

    gone: tuple[Item, ...]
    kept: tuple[Item, ...]

    @property
    def left(self) -> tuple[Item, ...]:
        """What a stack that is gone has none of."""
        return (*self.gone, *(item for item in self.kept if item.data))

    @property
    def blocked(self) -> tuple[Item, ...]:
        return tuple(item for item in self.gone if item.used_by)


def find(
    inventory: Inventory, stack: str, *, keep_data: bool, images: Collection[str] | None, protected: bool = False
) -> Remains:
    """Look at the target and at this machine. Raises InventoryError when the target gives no answer.

    protected: the data of components are, also where no label says so: a volume of Docker keeps the labels it was made
        with.
    """
    there = inventory.find(PROJECT, stack, images=images)
    there = [replace(item, protected=True) if protected and item.data and item.component else item for item in there]
    items = [*there, *_local(stack)]
    # Protected data is worth nothing without the secrets it knows.
    keep_data = keep_data or any(item.protected for item in items)
    kept = [item for item in items if (keep_data and item.data) or (item.shared and item.used_by)]
    return Remains(tuple(i for i in items if i not in kept), tuple(kept))


def _local(stack: str) -> list[Item]:
    found = []
    if stack_directory(stack).exists():
        found.append(Item(STATE_DIRECTORY, str(stack_directory(stack)), data=True))
    # It holds the generated secrets, which the volumes know.
    if pulumi_cli.find() is not None and _has_state(stack):
        found.append(Item(PULUMI_STATE, stack, data=True))
    return found


def _has_state(stack: str) -> bool:
    try:
        return pulumi_cli.exists(stack)
    except pulumi_cli.PulumiError as error:
        # Somebody whose state is lost may have no access to its backend either.
        say(f"Whether Pulumi has a state of stack {stack} is not known: {str(error).splitlines()[0]}")
        return False


def refuse_blocked(remains: Remains, inventory: Inventory) -> None:
    """Raises StackError, before anything is removed, when something outside the stack uses a part of it."""
    problems = [
        Problem(f"{item.kind} {item.name}", f"in use by {', '.join(item.used_by)}", _let_go(item, inventory))
        for item in remains.blocked
    ]
    if problems:
        raise StackError("Something outside the stack uses a part of it; nothing was removed.", problems)


def _let_go(item: Item, inventory: Inventory) -> str:
    return "expected nobody; first " + " and ".join(inventory.free_hint(user) for user in item.used_by)


def remove(remains: Remains, inventory: Inventory, stack: str, told: Callable[[Item], None]) -> None:
    """Remove what is to go, and make sure that what is kept does not look like a stack that runs."""
    forward.stop(stack)
    for item in remains.gone:
        if item.kind == STATE_DIRECTORY:
            shutil.rmtree(item.name)
        elif item.kind == PULUMI_STATE:
            pulumi_cli.forget(stack)
        else:
            inventory.remove(item)
        told(item)
    if any(item.kind == STATE_DIRECTORY for item in remains.kept):
        for target in TARGETS.values():
            target.disown(stack)
