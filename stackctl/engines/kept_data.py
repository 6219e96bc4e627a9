"""Refuses settings that would part a stack from its data, before anything is made or changed."""

from __future__ import annotations

from collections.abc import Mapping

from platforms.inventory import InventoryError
from problems import Problem, StackError
from stackctl.context import Context
from stackctl.engines.targets import Target, owner


def problems(context: Context, target: Target, others: list[Problem]) -> list[Problem]:
    """What of the stack's data these settings would leave or lose.

    others: what is wrong beside that. Where it keeps the target from an answer, it has named the reason.
    """
    stores = target.stores(context)
    try:
        held = stores.held()
    except InventoryError as error:
        return [] if others else [Problem(f"data of stack {context.stack}", "", f"expected an answer: {error}")]
    return context.spec.moves.problems(_before(context.stack), stores, held)


def _before(stack: str) -> Mapping[str, str]:
    """Where the data were at the last `up` from rendered files here; empty where nothing tells."""
    target = owner(stack)
    try:
        found = target.outputs(stack).get("data") if target else None
    except StackError:
        # The next `up` writes it again.
        return {}
    return found if isinstance(found, Mapping) else {}
