"""Logical names, each the key of a resource in people's state: one that changes is a resource made anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.contract.engine import Run

SNAPSHOTS = Path(__file__).parent / "snapshots"


def names(done: Run) -> list[str]:
    """Every logical name below its parents. What carries files has their digest in its name."""
    return sorted(re.sub(r"-[0-9a-f]{8}(?=-carrier$|$)", "-<digest>", done.path(urn)) for urn in done.resources)


def hold_to_snapshot(name: str, done: Run) -> None:
    """Fails where the names are others than those written down. `make snapshots` writes them."""
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("SNAPSHOT"):
        file.write_text("".join(f"{line}\n" for line in names(done)))
    kept = set(file.read_text().splitlines())
    gone, new = sorted(kept - set(names(done))), sorted(set(names(done)) - kept)
    assert not gone, f"stacks that are up would lose these of {name}, with what is in them: {gone}"
    assert not new, f"{name} has more than is written down (`make snapshots`): {new}"
