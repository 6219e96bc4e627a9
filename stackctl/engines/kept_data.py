"""Refuses settings that would part a stack from its data, before anything is made or changed."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow_sso_client.files import write_private

from platforms.inventory import InventoryError
from problems import Problem
from stackctl.context import Context, stack_directory
from stackctl.engines.targets import Target
from stackctl.state import read_kept

# Where the data were when an `up` from rendered files had succeeded. It outlives a `cleanup` that keeps the data.
DATA_FILE = "data.json"
_DAMAGED = "expected the JSON that was written here; remove it if the settings say where the data are"


def problems(context: Context, target: Target, others: list[Problem]) -> list[Problem]:
    """What of the stack's data these settings would leave or lose. Raises StackError for a damaged file.

    others: what is wrong beside that. Where it keeps the target from an answer, it has named the reason.
    """
    stores, before = target.stores(context), _before(context.stack)
    try:
        return context.spec.moves.problems(before, stores, stores.held())
    except InventoryError as error:
        return [] if others else [Problem(f"data of stack {context.stack}", "", f"expected an answer: {error}")]


def remember(context: Context, target: Target) -> None:
    """Keep where the data are now, for the next `up`."""
    lines = context.spec.moves.lines(target.stores(context))
    write_private(stack_directory(context.stack) / DATA_FILE, json.dumps(lines, indent=2) + "\n")


def _before(stack: str) -> Mapping[str, str]:
    """Where the data were; empty where nothing tells."""
    path = stack_directory(stack) / DATA_FILE
    return read_kept(path, "places of data", _DAMAGED) if path.exists() else {}
