"""What is counted of a body of spans before anything is made of it."""

from __future__ import annotations

import json
import os

import pytest
from mlflow_sso.guard import spans

from tests.bench.worst import spans as shortest
from tests.unit.span_bodies import body

MIB = 1 << 20


def test_a_body_has_the_fields_that_the_library_finds_in_it() -> None:
    made = body(50)
    assert made.fields > 50 * 90
    assert not spans.has_many_fields(made.text, made.fields)
    assert spans.has_many_fields(made.text, made.fields - 1)


def test_what_a_collector_sends_at_once_is_let_in() -> None:
    fields = body(10).fields / 10
    assert 8192 * fields < spans.FIELDS
    assert spans.SPANS > 8192


@pytest.mark.parametrize(
    "text",
    [
        b"\x0a\x00" * (16 * MIB),
        # Scopes within a resource, and values within an attribute.
        b"\x0a\xfe\xff\xff\x0f" + b"\x12\x00" * (16 * MIB),
        b"\x0a\xf0\xff\xff\x0f" + b"\x12\x00" * (16 * MIB),
        # Fields that nobody knows, and numbers.
        b"\xf8\x01\x00" * (10 * MIB),
        b"\x1b\x1c" * (16 * MIB),
    ],
)
def test_many_values_in_little_text_are_too_many(text: bytes) -> None:
    assert spans.has_many_fields(text)


def test_the_shortest_spans_are_too_many_fields() -> None:
    assert spans.has_many_fields(shortest(500_000, 0))


@pytest.mark.parametrize("text", [b"", b"\x0a", b"\x0a\xff", b"\xff" * 100, b"{}", b"\x0a\x05ab", os.urandom(9999)])
def test_what_is_no_protobuf_is_left_to_who_reads_it(text: bytes) -> None:
    assert not spans.has_many_fields(text)


def test_json_that_was_compressed_has_so_many_values_at_most() -> None:
    assert not spans.has_many_values(json.dumps({"resourceSpans": [{"a": 1}] * 1000}).encode())
    for text in (b"[]," * 300_000, b'{"a":1},' * 300_000, b'"a",' * 1_010_000):
        assert spans.has_many_values(text)


def test_every_message_of_the_specification_is_entered() -> None:
    """One that is not counts as one field, however much it holds."""
    assert body(1).missing == []
