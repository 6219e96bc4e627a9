"""What one request does to the others in its process: long JSON, garbage, texts of errors, bodies that are long."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from json import scanner
from typing import Any

import pytest
from mlflow_sso import garbage, longjson
from mlflow_sso.garbage import Collections, Garbage
from mlflow_sso.guard.lines import LARGE_READ
from mlflow_sso.mends import errors

from tests.unit.asgi_client import Beside, ask, reply, run, scope_of
from tests.unit.test_guard import LIMITS, MIB, SEARCH
from tests.unit.test_turns import slowly, turns, unread

GATEWAY = "/gateway/chat/invocations"


@pytest.fixture
def gently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "NUMBER_RE", scanner.NUMBER_RE)
    monkeypatch.setattr(json.JSONDecoder, "decode", longjson._gently(json.JSONDecoder.decode))
    monkeypatch.setattr(json.JSONEncoder, "encode", longjson._gently_written(json.JSONEncoder.encode))


def dense(values: int) -> str:
    return json.dumps({"metrics": [{"key": f"k{n}", "value": n / 3, "step": None} for n in range(values)]})


def in_a_thread(work: Callable[..., Any], *words: Any, **more: Any) -> Any:
    """What the threads of requests make of it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *words, **more).result()


def turns_beside(work: Callable[..., Any], value: Any) -> int:
    """How often another thread got on while one worked."""
    count = 0
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, value)
        while not done.done():
            time.sleep(0.001)
            count += 1
    return count


@pytest.mark.parametrize("work", [json.loads, json.dumps])
def test_others_get_on_while_long_json_is_read_or_written(
    work: Callable[..., Any], gently: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = dense(300_000)
    value = text if work is json.loads else json.loads(text)
    now = turns_beside(work, value)
    monkeypatch.undo()
    assert now > 5 * turns_beside(work, value)


LONG_LIST: list[Any] = [{"key": "é", "of": [n, n / 3, True, None, float("inf"), (), {}, ""]} for n in range(9000)]


@pytest.mark.parametrize("value", [LONG_LIST, {"1": LONG_LIST, "a": {2: "x" * 3_000_000}}], ids=["list", "dictionary"])
@pytest.mark.parametrize(
    "how", [{}, {"indent": 2}, {"sort_keys": True, "ensure_ascii": False}, {"separators": (",", ":")}]
)
def test_what_is_written_is_what_it_was(
    value: Any, how: dict[str, Any], gently: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not longjson._is_short(value)
    written = in_a_thread(json.dumps, value, **how)
    monkeypatch.undo()
    assert written == json.dumps(value, **how)


def test_what_cannot_be_written_is_refused_as_before(gently: None) -> None:
    circle: list[Any] = [0] * 30_000
    with pytest.raises(TypeError, match="not JSON serializable"):
        in_a_thread(json.dumps, [*circle, object()])
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        in_a_thread(json.dumps, circle)
    with pytest.raises(ValueError, match="not JSON compliant"):
        in_a_thread(json.dumps, LONG_LIST, allow_nan=False)


@pytest.mark.parametrize("value", [1, "x" * 64, [], {"a": [1] * 100}, [[]] * 20_000])
def test_what_is_short_is_written_as_always(value: Any) -> None:
    assert longjson._is_short(value)


@pytest.mark.parametrize("read", [json.loads, partial(in_a_thread, json.loads)])
@pytest.mark.parametrize("text", ["[" * 20_000, '{"a":' * 50_000])
def test_what_is_too_deep_is_no_json(read: Callable[[str], Any], text: str, gently: None) -> None:
    with pytest.raises(json.JSONDecodeError, match="nested deeper"):
        read(text)


def test_the_event_loop_goes_on_while_long_json_is_read(gently: None) -> None:
    text = dense(300_000).encode()

    async def scenario() -> int:
        count = 0
        reading = asyncio.create_task(longjson.aside(json.loads, text))
        while not reading.done():
            await asyncio.sleep(0.001)
            count += 1
        assert len(reading.result()["metrics"]) == 300_000
        return count

    assert run(scenario()) > 20


def test_in_the_thread_of_the_event_loop_nothing_takes_longer(gently: None, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(list(range(300_000)))
    now = _of_this_thread(json.loads, text)
    monkeypatch.undo()
    assert now < 5 * _of_this_thread(json.loads, text)


def _of_this_thread(call: Callable[[Any], Any], value: Any) -> float:
    """Seconds that a call computes in this thread, whatever others do."""
    began = time.thread_time()
    call(value)
    return time.thread_time() - began


@pytest.mark.parametrize(
    "text",
    [
        dense(5000),
        json.dumps(dense(5000)),
        json.dumps("é\U0001f600\n" * 50_000),
        json.dumps(["x"] * 40_000 + [{"a": [1e308, -0.0, True, None]}]),
        "[" * 900 + '"' + "x" * 70_000 + '"' + "]" * 900,
        " " * 70_000 + "{}",
        "[NaN, Infinity]" + " " * 70_000,
    ],
    ids=["objects", "json in json", "text", "list", "deep", "space", "not a number"],
)
def test_long_json_is_what_it_was(gently: None, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = in_a_thread(json.loads, text)
    monkeypatch.undo()
    assert repr(read) == repr(json.loads(text))


@pytest.mark.parametrize(
    "end", ["", "}", "]", '"', '", 1\N{ARABIC-INDIC DIGIT THREE}]}', '", 1.\N{FULLWIDTH DIGIT ONE}]}']
)
def test_long_json_that_is_none_is_refused_as_before(gently: None, end: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        in_a_thread(json.loads, '{"a": ["' + "x" * 70_000 + end)


def test_a_collection_comes_after_what_is_long_and_after_much_of_what_is_short() -> None:
    left = Garbage(0.0, 100)
    assert left.computed(0.5, 10)
    left.collected(10, 100)
    assert not left.computed(0.04, 20)
    assert any(left.computed(0.04, 20) for _ in range(60))
    left.collected(20, 100)
    assert not left.computed(0.04, 30)


def test_one_collection_serves_all_that_ended_in_some_seconds() -> None:
    left = Garbage(0.0, 100)
    assert not left.computed(0.5, 1)
    assert not left.is_old(5, 100)
    assert left.computed(0.0, 6), "what was found before is not forgotten"
    assert left.is_old(11, 100), "where nobody asks for anything any more"


@pytest.mark.parametrize(("now", "memory", "is_old"), [(59, 0, False), (61, 0, True), (1, 1 << 27, True)])
def test_a_collection_comes_in_time_and_where_memory_grew(now: float, memory: int, is_old: bool) -> None:
    assert Garbage(0.0, 0).is_old(now, memory) is is_old


@pytest.fixture
def usual_collections() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_a_long_request_left_in_a_circle_goes_at_once(
    usual_collections: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Left:
        pass

    # As if none had been for some seconds.
    monkeypatch.setattr(garbage, "_PAUSE", 0.0)
    collections, gone = Collections(), threading.Event()
    collections.install()
    left: Any = Left()
    left.itself = left
    gc.collect(1)  # It lives on: only a full collection finds it from now on.
    gc.collect(1)
    weakref.finalize(left, gone.set)
    del left
    assert not gone.is_set()
    collections.computed(0.5)
    assert gone.wait(60)


def test_an_error_repeats_the_beginning_of_a_value_and_no_more() -> None:
    value = {"b": [{"key": "k", "value": n} for n in range(200_000)], "a": 1}
    spent, whole = _of_this_thread(errors._shown, value), _of_this_thread(json.dumps, value)
    assert spent < whole / 5, "it is not written as a whole"
    shown = errors._shown(value)
    assert shown.startswith('{"a":1,"b":[{"key":"k","value":0},')
    assert len(shown) < 1100
    assert errors._shown({"b": 1, "a": [None]}) == '{"a":[null],"b":1}'
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert errors._shown(deep).startswith("[[[")


def test_a_text_of_an_error_ends_somewhere() -> None:
    said = errors._cut("x" * (1 << 24))
    assert len(said) < 10_000
    assert said.endswith("(16777216 characters)")
    assert errors._cut("short") == "short"


@pytest.mark.parametrize("size", [9000, 1 << 24])
def test_an_error_says_how_long_its_whole_text_is(size: int) -> None:
    said: list[str] = []
    errors._init(lambda self, text, *_, **__: said.append(text))(object(), "x" * size)
    assert said == [f"{'x' * 8000}... ({size} characters)"]


def test_two_long_bodies_of_a_user_are_read_at_once_and_the_others_wait() -> None:
    async def scenario() -> None:
        reading, go = Beside(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await reply(send, 200)

        async def slow(user: str) -> int:
            left = [b"x" * MIB + b"x", b"x", b"x"]

            async def receive() -> Any:
                piece = left.pop(0)
                if len(left) == 1:
                    with reading:
                        await go.wait()
                return {"type": "http.request", "body": piece, "more_body": bool(left)}

            found: list[int] = []

            async def send(message: Any) -> None:
                found.extend([message["status"]] if message["type"] == "http.response.start" else [])

            await served({**scope_of("POST", SEARCH), "user": user}, receive, send)
            return found[0]

        served = turns(app, replace(LIMITS, places=100, wait_seconds=5))
        bobs = [asyncio.create_task(slow("bob")) for _ in range(6)]
        await asyncio.sleep(0.1)
        assert reading.most == LARGE_READ
        alice = asyncio.create_task(slow("alice"))
        await asyncio.sleep(0.05)
        assert reading.now == LARGE_READ + 1, "a user who sends slowly keeps nobody else"
        assert (await ask(served, "POST", SEARCH, more={"user": "bob"})).status == 200, "nor short ones of his own"
        go.set()
        assert await asyncio.gather(*bobs, alice) == [200] * 7

    run(scenario())


def test_a_slow_reader_of_an_answer_keeps_no_long_body_waiting() -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await reply(send, 200)

        served = turns(app, replace(LIMITS, places=100, idle_seconds=60))
        body = (b"x" * MIB, b"x")
        readers = [asyncio.create_task(unread(served, body, user)) for user in ("alice", "bob", "carol", "dave")]
        await asyncio.sleep(0.05)
        answer = await asyncio.wait_for(ask(served, "POST", SEARCH, body, more={"user": "bob"}), 1)
        assert answer.status == 200
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    run(scenario())


def test_long_calls_to_models_wait_beside_one_another() -> None:
    async def scenario() -> int:
        beside = Beside()
        served = turns(slowly(beside), replace(LIMITS, places=100, wait_seconds=5))
        asked = (
            ask(served, "POST", GATEWAY, [b"x" * MIB, b"x"], more={"user": user})
            for user in ("alice", "bob", "carol")
            for _ in range(5)
        )
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        return beside.most

    assert run(scenario()) == 4
