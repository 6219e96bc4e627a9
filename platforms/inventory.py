"""What a target still holds of a stack, found by the stack's labels alone: no settings, no state, no engine.

A platform that makes objects also finds and removes them here, so that a stack whose state is lost can be
cleared away, and its absence proven, in the same way on every target.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


class InventoryError(Exception):
    """The target did not answer, or refused to remove an object. The text says which and why."""


@dataclass(frozen=True)
class Item:
    """One object of a stack.

    kind: as the target calls it ("container", "volume").
    component: the workload it belongs to, from its label; empty where the target has none.
    data: holds what only this stack knows; `--keep-data` leaves it.
    shared: others may use it too; while they do it stays, and that stops nothing.
    protected: nothing removes it before a person has confirmed that.
    used_by: objects outside the stack that hold it. It cannot be removed while there is one.
    """

    kind: str
    name: str
    component: str = ""
    data: bool = False
    shared: bool = False
    protected: bool = False
    used_by: tuple[str, ...] = ()


class Inventory(Protocol):
    """Finds and removes what carries a stack's labels on one target."""

    def find(self, project: str, stack: str, *, images: Collection[str] | None = None) -> list[Item]:
        """Every object of the stack, in the order in which they can be removed. Raises InventoryError.

        images: the images its settings name. When given, these and those its containers run are listed too,
            as far as the project built them and they are here.
        """
        ...

    def remove(self, item: Item) -> None:
        """Remove one object; one that is gone already is no error. Raises InventoryError."""
        ...

    def removal(self, item: Item) -> str:
        """The command that removes one object by its name."""
        ...

    def free_hint(self, user: str) -> str:
        """The command that makes a user from `Item.used_by` let go of what it holds."""
        ...
