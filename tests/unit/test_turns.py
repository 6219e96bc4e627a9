"""Turns of users: who asks for much waits for himself, nobody's body is read, and no turn is lost."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from mlflow_sso.asgi import Application
from mlflow_sso.guard import Guard, Limits, Lines, Turns
from mlflow_sso.guard.answers import Refusal
from mlflow_sso.guard.bodies import whole
from mlflow_sso.guard.line import Line

from tests.unit.asgi_client import Beside, ask, echo, reply, run, scope_of
from tests.unit.test_guard import LIMITS, MIB, SEARCH, guard, one


async def no_errand(*_: Any) -> None:
    raise AssertionError("nobody asked for an artifact")


def turns(app: Application, limits: Limits = LIMITS, user: str | None = "bob") -> Guard:
    return guard(Turns(app, Lines(limits), lambda scope: scope.get("user", user), no_errand), limits)


def slowly(beside: Beside) -> Application:
    """What takes a moment to answer. beside: counts who is answered."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with beside:
            await asyncio.sleep(0.02)
        await reply(send, 200)

    return app


async def unread(served: Application, pieces: Sequence[bytes] = (b"",), user: str = "bob") -> None:
    """A request of somebody who reads nothing of its answer. pieces: of its body."""
    never, left = asyncio.Event(), [*pieces]

    async def receive() -> Any:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def slow(message: Any) -> None:
        if message["type"] == "http.response.body":
            await never.wait()

    await served({**scope_of("POST" if any(pieces) else "GET", SEARCH), "user": user}, receive, slow)


def test_nobodys_body_is_read() -> None:
    for path in (SEARCH, "/graphql", "/v1/traces", "/api/2.0/mlflow/users", "/gateway/x"):
        answer = one(turns(echo, user=None), "POST", path, [b"x" * MIB] * 3)
        assert (answer.body, answer.read) == (b"0", 0), path


def test_requests_of_one_user_leave_turns_for_others() -> None:
    async def scenario() -> None:
        beside, go = Beside(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["user"] == "bob":
                with beside:
                    await go.wait()
            await reply(send, 200)

        served = turns(app)
        bobs = [asyncio.create_task(ask(served, "POST", SEARCH, more={"user": "bob"})) for _ in range(4)]
        await asyncio.sleep(0.05)
        alice = await asyncio.wait_for(ask(served, "POST", SEARCH, more={"user": "alice"}), 1)
        # As many again wait outside; the others come back, and not all at once.
        bobs += [asyncio.create_task(ask(served, "POST", SEARCH, more={"user": "bob"})) for _ in range(LIMITS.places)]
        await asyncio.sleep(0.05)
        more = await asyncio.gather(*(ask(served, "POST", SEARCH, more={"user": "bob"}) for _ in range(20)))
        go.set()
        assert [answer.status for answer in await asyncio.gather(*bobs)] == [200] * (4 + LIMITS.places)
        assert (alice.status, beside.most) == (200, LIMITS.turns_of_one)
        assert {answer.status for answer in more} == {429}
        times = {int(answer.headers["retry-after"]) for answer in more}
        assert len(times) > 1
        assert 5 <= min(times) <= max(times) <= 15

    run(scenario())


def compute() -> None:
    until = time.process_time() + 0.25
    while time.process_time() < until:
        pass


@pytest.mark.parametrize(("work", "expected"), [(compute, 1), (lambda: time.sleep(0.25), LIMITS.turns_of_one)])
def test_a_user_of_requests_that_compute_has_one_turn_while_others_are_here(
    work: Callable[[], None], expected: int
) -> None:
    async def scenario() -> None:
        beside = Beside()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["user"] == "bob":
                with beside:
                    await asyncio.sleep(0.01)
                    work()
            await reply(send, 200)

        async def bobs(count: int) -> int:
            beside.most = 0
            asked = (ask(served, "POST", SEARCH, more={"user": "bob"}) for _ in range(count))
            assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
            return beside.most

        served = turns(app, replace(LIMITS, places=100))
        assert await bobs(3) == LIMITS.turns_of_one, "alone, a user has what there is for one"
        assert (await ask(served, "POST", SEARCH, more={"user": "alice"})).status == 200
        assert await bobs(3) == expected

    run(scenario())


def test_a_user_gets_all_turns_back_once_others_have_gone_or_requests_are_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the next ones wait all the time."""

    async def scenario() -> tuple[int, int]:
        line = Line(8, 4, 100, 5, long=0.1)
        line.came("alice")
        now, beside = 0, list[int]()

        async def work(seconds: float, requests: int) -> None:
            nonlocal now
            for _ in range(requests):
                async with line.turn("bob") as turn:
                    now += 1
                    beside.append(now)
                    await asyncio.sleep(0.001)
                    now -= 1
                    monkeypatch.setattr(turn, "_began", time.process_time() - seconds * now - seconds)

        await asyncio.gather(*(work(0.5, 8) for _ in range(8)))
        long = max(beside[-20:])
        await asyncio.gather(*(work(0.001, 20) for _ in range(8)))
        return long, max(beside[-20:])

    assert run(scenario()) == (1, 4)


def test_a_body_in_very_short_pieces_takes_little_more_than_its_bytes() -> None:
    async def scenario() -> int:
        left = 1 << 18

        async def receive() -> Any:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": b"xy"[:], "more_body": left > 0}

        tracemalloc.start()
        try:
            body = await whole(receive)
            assert body == b"xy" * (1 << 18)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert run(scenario()) < 4 * (1 << 19)


def test_a_slow_reader_has_no_turn() -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await reply(send, 200)

        served = turns(app, replace(LIMITS, places=100))
        readers = [asyncio.create_task(unread(served)) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(ask(served, "GET", SEARCH), 1)).status == 200
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    run(scenario())


def test_who_waits_too_long_is_told_when_to_ask_again() -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.3)
            await reply(send, 200)

        served = turns(app, replace(LIMITS, wait_seconds=0.1))
        answers = await asyncio.gather(*(ask(served, "POST", SEARCH) for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
        assert (await ask(served, "POST", SEARCH)).status == 200, "no turn was lost"

    run(scenario())


def test_places_come_back_from_whoever_goes_while_waiting_outside() -> None:
    async def scenario() -> None:
        line = Line(8, 8, 3, 0.1)

        async def there(seconds: float) -> None:
            async with line.place("bob"):
                await asyncio.sleep(seconds)

        for _ in range(20):
            asked = [asyncio.create_task(there(0.02)) for _ in range(6)]
            await asyncio.sleep(0.0201)
            for each in asked[::2]:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        first = [asyncio.create_task(there(0.3)) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match="3 requests"):
            await there(0)
        await asyncio.gather(*first)
        await asyncio.gather(*(there(0.01) for _ in range(6)))
        assert not line._present
        assert not line._outside

    run(scenario())


def test_turns_come_back_from_whoever_goes_while_waiting() -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.02)
            await reply(send, 200)

        served = turns(app, replace(LIMITS, places=1000))
        for _ in range(20):
            asked = [asyncio.create_task(ask(served, "POST", SEARCH)) for _ in range(12)]
            await asyncio.sleep(0.021)
            for each in asked[::2]:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        answers = await asyncio.gather(*(ask(served, "POST", SEARCH) for _ in range(8)))
        assert {answer.status for answer in answers} == {200}

    run(scenario())


def test_the_bodies_of_one_user_are_bounded_together() -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            await reply(send, 200)

        served = turns(app, replace(LIMITS, held_bytes=5 * MIB, places=10))
        body = [b"x" * MIB] * 3
        first = asyncio.create_task(ask(served, "POST", SEARCH, body))
        await asyncio.sleep(0.05)
        assert (await ask(served, "POST", SEARCH, body)).status == 429
        go.set()
        assert (await first).status == 200
        assert (await ask(served, "POST", SEARCH, body)).status == 200

    run(scenario())


def test_long_spans_are_decoded_in_another_thread() -> None:
    names: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        names.append(threading.current_thread().name)
        await echo(scope, receive, send)

    served = turns(app)
    assert one(served, "POST", "/v1/traces", [b"x" * MIB]).body == str(MIB).encode()
    assert one(served, "POST", "/v1/traces", [b"x"]).body == b"1"
    assert names[0] != names[1] == "MainThread"


def test_answers_that_nobody_reads_are_bounded_for_each_user() -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await reply(send, 200, b"x" * MIB, {"content-length": str(MIB)})

        served = turns(app, replace(LIMITS, held_bytes=3 * MIB, places=100, idle_seconds=2))
        readers = [asyncio.create_task(unread(served)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert (await ask(served, "GET", SEARCH)).status == 429
        # After `idle_seconds` the server drops who reads nothing.
        await asyncio.wait(readers)
        assert (await ask(served, "GET", SEARCH)).status == 200

    run(scenario())


def test_long_bodies_of_a_user_are_answered_one_by_one() -> None:
    async def scenario() -> None:
        beside = Beside()
        served = turns(slowly(beside))
        answers = await asyncio.gather(*(ask(served, "POST", SEARCH, [b"x" * MIB, b"x"]) for _ in range(4)))
        assert ([answer.status for answer in answers], beside.most) == ([200] * 4, 1)

    run(scenario())


@pytest.mark.parametrize("prefix", ["/v1/traces", "/oidc/ui"])
def test_a_prefix_that_leads_elsewhere_is_refused(prefix: str) -> None:
    assert one(turns(echo), "GET", f"/mlflow{SEARCH}", more={"root_path": "/mlflow"}).status == 200
    inner = Turns(echo, Lines(LIMITS), lambda scope: "bob", ask)  # type: ignore[arg-type]

    async def prefixed(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "root_path": prefix}, receive, send)

    assert one(guard(prefixed), "GET", f"{prefix}{SEARCH}").status == 400


def test_a_long_answer_that_comes_in_pieces_is_held_in_pieces_alone() -> None:
    """A file of any size: what of it is in memory is a piece."""
    pieces = 200

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", str(pieces * 65536).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(pieces):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    answer = one(turns(app, replace(LIMITS, held_bytes=3 * MIB)), "GET", SEARCH)
    assert (answer.status, len(answer.body), answer.whole) == (200, pieces * 65536, True)


def test_bodies_that_the_rules_read_wait_in_the_same_lines_as_all_others() -> None:
    async def scenario() -> None:
        beside = Beside()

        async def rules(scope: Any, receive: Any, send: Any) -> None:
            """Reads a body whole, and hands it on."""
            body = await whole(receive)
            with beside:
                await asyncio.sleep(0.02)

            async def again() -> Any:
                return {"type": "http.request", "body": body, "more_body": False}

            await inner(scope, again, send)

        lines = Lines(LIMITS)
        inner = Turns(echo, lines, lambda scope: "bob", no_errand)
        served = guard(Turns(rules, lines, lambda scope: "bob", no_errand, first=True))
        body = [b"x" * MIB, b"x" * 9]
        for path, expected in (("/ajax-api/3.0/jobs", 1), ("/gateway/openai/v1/responses", 2), (SEARCH, 4)):
            beside.most = 0
            answers = await asyncio.gather(*(ask(served, "POST", path, list(body)) for _ in range(4)))
            assert [(answer.status, answer.body) for answer in answers] == [(200, str(MIB + 9).encode())] * 4
            assert beside.most == expected, path

    run(scenario())
