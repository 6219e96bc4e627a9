"""Tiny chunks of bodies wait for each other, and nothing else waits for them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from mlflow_sso import chunks
from mlflow_sso.chunks import Budget, Slow

from tests.unit.asgi_client import run

NEED = object()


def budget() -> Budget:
    """One whose time stands still, as a busy machine takes long for a turn."""
    return Budget(lambda: 0.0)


class Chunk:
    def __init__(self, data: bytes) -> None:
        self.data = data


class Connection:
    """A parser with so many chunks of a size in it, and what a server does with them."""

    def __init__(self, count: int, size: int, budget: Budget) -> None:
        self.rest, self.size, self.handled = count, size, 0
        self.held: list[bool] = []
        self.state = "open"
        self.slow = Slow(self, NEED, Chunk, budget, self.held.append, self.handle)

    def next_event(self) -> Any:
        if not self.rest:
            return NEED
        self.rest -= 1
        return Chunk(b"x" * self.size)

    def handle(self) -> None:
        while self.slow.next_event() is not NEED:
            self.handled += 1


async def through(*connections: Connection) -> float:
    """Handles all that they have; the longest time in which nothing else could happen, in chunks of one turn."""
    for one in connections:
        one.handle()
    longest = max(one.handled for one in connections)
    while any(one.rest for one in connections):
        before = [one.handled for one in connections]
        await asyncio.sleep(0.001)
        longest = max(longest, sum(one.handled for one in connections) - sum(before))
    return longest


@pytest.mark.parametrize(("count", "size"), [(10_000, 1024), (10_000, 1 << 16), (60, 1)])
def test_what_is_not_tiny_and_what_is_few_waits_for_nothing(count: int, size: int) -> None:
    one = Connection(count, size, budget())
    one.handle()
    assert (one.handled, one.held) == (count, [])
    assert one.slow.state == "open", "what else is asked of it, it is asked"


def test_many_tiny_ones_are_all_handled_and_others_come_between() -> None:
    shared = budget()
    connections = [Connection(500, 1, shared) for _ in range(4)]
    assert run(through(*connections)) <= 2 * chunks._CHUNKS
    assert [one.handled for one in connections] == [500] * 4
    for one in connections:
        assert one.held[:2] == [True, False], "nothing is read meanwhile"
        assert one.held[-1] is False


def test_more_that_comes_in_does_not_come_before_its_turn() -> None:
    async def scenario() -> None:
        one, start = Connection(1000, 1, budget()), time.monotonic()
        one.handle()
        first = one.handled
        for _ in range(20):
            one.handle()
        assert one.handled == first == chunks._CHUNKS
        await asyncio.sleep(chunks._SECONDS * 2.5)
        turns = 1 + (time.monotonic() - start) / chunks._SECONDS
        assert first < one.handled <= turns * chunks._CHUNKS

    run(scenario())
