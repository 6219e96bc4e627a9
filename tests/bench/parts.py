"""The parts of the bench, by the names that `make bench BENCH=...` takes."""

from __future__ import annotations

from enum import Enum


class Part(Enum):
    """What can be measured alone.

    STARTS: from nothing to the first call. IDLE: `up` with nothing to change. MEMORY: of a stack that nobody uses.
    CALLS: what logging in costs. SWEEP: 64 clients at once. NEIGHBOUR: the worst of one user beside another.
    VOLUME, BUCKET: a large artifact both ways. IMAGES: their sizes. KUBERNETES: starts there against those on Docker.
    """

    STARTS = "starts"
    IDLE = "idle"
    MEMORY = "memory"
    CALLS = "calls"
    SWEEP = "sweep"
    NEIGHBOUR = "neighbour"
    VOLUME = "volume"
    BUCKET = "bucket"
    IMAGES = "images"
    KUBERNETES = "kubernetes"


# What is looked at in a stack that has just started, by its engine.
LOOKED_AT = {
    "compose": frozenset({Part.CALLS, Part.MEMORY}),
    "pulumi": frozenset({Part.IDLE, Part.MEMORY}),
}


def chosen(text: str) -> frozenset[Part]:
    """The parts that a list with commas names; all of them where it is empty. Raises ValueError for names of none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {part.value: part for part in Part}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"BENCH names {', '.join(unknown)}; the parts are {', '.join(known)}")
    return frozenset(known[name] for name in names) or frozenset(Part)
