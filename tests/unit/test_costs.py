"""What a request may make the server do, counted before it is done."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from mlflow_sso import costs
from mlflow_sso.guard import inflation
from mlflow_sso.guard.inflation import TooMuch, Unreadable, inflate


def test_empty_members_cost_no_more_than_they_are_long() -> None:
    """Each once copied all that followed it: 4 MiB of them took seven seconds, and 32 MiB some minutes."""
    empty = gzip.compress(b"", mtime=0)
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
