"""What a request may make the server do, counted before it is done."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import flask
import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchModelVersionUtils, SearchTraceUtils, SearchUtils
from mlflow_sso import costs
from mlflow_sso.guard import inflation
from mlflow_sso.guard.inflation import TooMuch, Unreadable, inflate
from werkzeug.test import EnvironBuilder


def test_empty_members_cost_no_more_than_they_are_long() -> None:
    """Each once copied all that followed it: 4 MiB of them took seven seconds, and 32 MiB some minutes."""
    empty = gzip.compress(b"", mtime=0)
    with_zeros = (empty + b"\0") * 900 + b"\0" * (32 << 20)
    tracemalloc.start()
    assert inflate(with_zeros, "gzip", 100) == b""
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    for count in (1_000, 400_000):
        tracemalloc.start()
        body = empty * count
        if count == 1_000:
            assert inflate(body, "gzip", 100) == b""
        else:
            with pytest.raises(Unreadable, match="members"):
                inflate(body, "gzip", 100)
        assert tracemalloc.get_traced_memory()[1] < len(body) + (1 << 20)
        tracemalloc.stop()


@pytest.mark.parametrize("window", [1, 7, 1 << 16])
def test_what_is_compressed_is_whole_in_pieces_of_any_size(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflation, "_WINDOW", window)
    data = b"".join(b"%d " % number for number in range(3000))
    body = gzip.compress(data[:5000]) + b"\0\0" + gzip.compress(data[5000:]) + b"\0" * 50
    assert inflate(body, "gzip", len(data)) == data
    assert inflate(zlib.compress(data), "deflate", len(data)) == data
    with pytest.raises(TooMuch):
        inflate(body, "gzip", len(data) - 1)
    with pytest.raises(Unreadable):
        inflate(gzip.compress(data)[:-9], "gzip", len(data))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("tags.a = 'x'", 1),
        ("tags.a = 'x' AND params.b = 'y' and metrics.c > 1", 3),
        ("tags.a = 'this and that and more' AND tags.`b and c` = \"and\"", 2),
        ("tags.band = 'x' AND tags.candy = 'y'", 2),
        (" AND ".join(["tags.a='x'"] * 41), 41),
        ("tags.a='x'AND tags.b='x'And\ntags.c='x'", 3),
    ],
)
def test_conditions_are_counted_as_they_are_joined(text: str, count: int) -> None:
    assert costs.conditions(text) == count


PARSERS = (
    SearchUtils.parse_search_filter,
    SearchModelVersionUtils.parse_search_filter,
    SearchTraceUtils.parse_search_filter_for_search_traces,
)


@pytest.mark.parametrize("first", [r"tags.a = 'x\''", r'tags.a = "x\""', "tags.a = 'x' /* ' */", "tags.a = 'x' -- '\n"])
@pytest.mark.parametrize("parse", PARSERS)
def test_conditions_are_counted_as_mlflow_reads_them(first: str, parse: Callable[[str], Any]) -> None:
    """It takes a quote behind a backslash for a part of a text."""
    quote = '"' if '"' in first else "'"
    text = first + "".join(f" AND tags.t{number} = {quote}y{quote}" for number in range(120))
    assert costs.conditions(text) <= costs.CONDITIONS
    with pytest.raises(MlflowException, match=r"40 conditions at most|Invalid"):
        costs._counted(at=0)(parse)(text)


def test_forty_conditions_are_none_too_many() -> None:
    text = " AND ".join(["tags.a = 'x'"] * costs.CONDITIONS)
    assert len(costs._counted(at=0)(SearchUtils.parse_search_filter)(text)) == costs.CONDITIONS


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"trace_ids": ["a"] * 3, "requestIds": ["b"]}, 4),
        ({"trace_ids": "abc", "ids": ["a"]}, 0),
        ([{"trace_ids": ["a"]}], 0),
        (None, 0),
    ],
)
def test_traces_that_a_call_names_are_counted(body: object, count: int) -> None:
    assert costs.named(body) == count


MANY = {"trace_ids": ["a" * 10] * 1001}
WITHIN = json.dumps(json.dumps(MANY))


def call(data: str, path: str = "/api/3.0/mlflow/traces/search", **more: Any) -> Any:
    return flask.Request(EnvironBuilder(path, method="POST", data=data, **more).get_environ())


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("text", [json.dumps(MANY), WITHIN, WITHIN.replace("t", "\\u0074")])
def test_a_call_names_so_many_traces_at_most_however_it_writes_them(text: str, content_type: str) -> None:
    assert "1000 traces" in costs.too_much(call(text, content_type=content_type))


def test_an_address_names_so_many_traces_at_most() -> None:
    assert "1000 traces" in costs.too_much(call("", query_string="&".join(["trace_ids=a"] * 1001)))
    assert not costs.too_much(call("", query_string="&".join(["trace_ids=a"] * 1000)))


def test_a_file_is_not_read_for_traces() -> None:
    assert not costs.too_much(call(json.dumps(MANY), "/ajax-api/2.0/mlflow/upload-artifact"))


@pytest.mark.parametrize("text", ["\\u007b" * 300_000, "{\\u0022a\\u0022:1," * 260_000, "x" * 5000])
def test_a_text_of_an_object_has_no_more_values_than_a_body(text: str) -> None:
    """Its escapes are no objects yet where a body is counted."""
    assert "no object" in costs.too_much(call(f'"{text}"'))
