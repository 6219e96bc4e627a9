"""When pieces of long bodies may move: between short requests, whoever sent them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from mlflow_sso.guard import Guard, Limits, Origins, pace
from mlflow_sso.guard.pace import Calls, Pace

from tests.unit.asgi_client import ask, reply, run


def test_short_requests_come_between_the_pieces_of_many_artifacts() -> None:
    async def scenario(bodies: int) -> int:
        pace, moved = Pace(Calls()), 0

        async def artifact() -> None:
            nonlocal moved
            with pace.body():
                await asyncio.sleep(0)
                for _ in range(1000):
                    await pace.step()
                    moved += 1

        artifacts = [asyncio.create_task(artifact()) for _ in range(bodies)]
        for _ in range(100):
            await asyncio.sleep(0)
        there = moved
        # Those whose clients go take nobody's turn.
        for gone in artifacts[::2]:
            gone.cancel()
        await asyncio.wait_for(asyncio.gather(*artifacts[1::2]), 9)
        await asyncio.wait_for(pace.step(), 1)
        return there

    assert 150 < run(scenario(20)) <= 200
    assert run(scenario(2)) == 2000, "two need not wait for each other"


async def moved(calls: Calls, bodies: int, seconds: float) -> tuple[int, float]:
    """How many pieces moved of so many bodies, two at least, and in which time; `seconds` unless it takes longer."""
    paced, count = Pace(calls), 0

    async def artifact() -> None:
        nonlocal count
        with paced.body():
            while True:
                await paced.step()
                count += 1
                await asyncio.sleep(0)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        start = time.monotonic()
        artifacts = [group.create_task(artifact()) for _ in range(bodies)]
        await asyncio.sleep(seconds)
        while count < 2:
            await asyncio.sleep(0)
        for one in artifacts:
            one.cancel()
        spent = time.monotonic() - start
    return count, spent


@pytest.mark.parametrize("bodies", [1, 2, 16])
def test_pieces_are_far_apart_while_a_short_request_waits(bodies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine a short request would be taken for one that is slow in itself.
    monkeypatch.setattr(pace, "_SHORT", 60)

    async def scenario() -> tuple[tuple[int, float], list[tuple[int, float]]]:
        calls = Calls()
        with calls.one():
            beside = await moved(calls, bodies, 0.05)
        return beside, [await moved(calls, bodies, 0.05) for _ in range(3)]

    (beside, spent), alone = run(scenario())
    assert beside <= spent / pace._APART + 2
    # As fast as the machine is, in a time in which nothing else held it up.
    assert max(count / seconds for count, seconds in alone) > 4 * beside / spent


def test_what_is_slow_in_itself_keeps_no_piece_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_SHORT", 0.01)

    async def scenario() -> tuple[bool, bool, bool, bool]:
        calls = Calls()
        with calls.one():
            at_first = calls.wait()
            await asyncio.sleep(0.02)
            later = calls.wait()
            with suppress(ValueError), calls.one():
                beside = calls.wait()
                raise ValueError
            return at_first, later, beside, calls.wait()

    assert run(scenario()) == (True, False, True, False)


@pytest.mark.parametrize(
    ("headers", "counted"),
    [
        ({}, True),
        ({"content-length": "2"}, True),
        ({"content-length": "65537"}, False),
        ({"transfer-encoding": "chunked"}, False),
    ],
)
def test_requests_with_short_bodies_are_told(headers: dict[str, str], counted: bool) -> None:
    """Those with long ones are paced themselves, and would wait for themselves."""
    calls, seen = Calls(), list[bool]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(calls.wait())
        await reply(send, 200)

    guard = Guard(app, Limits(), Origins(("ml.example.com",), ()), None, calls)
    run(ask(guard, "POST", "/api/2.0/mlflow/runs/search", headers=headers))
    assert (seen, calls.wait()) == ([counted], False)
