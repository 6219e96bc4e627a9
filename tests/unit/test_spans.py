"""What is counted of a body of spans before anything is made of it."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from mlflow_sso.guard import spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.bench.worst import spans as shortest

MIB = 1 << 20


def _honest(count: int) -> ExportTraceServiceRequest:
    """Spans as instrumented programs send them: attributes, an event, a link, nested values."""
    request = ExportTraceServiceRequest()
    each = request.resource_spans.add()
    each.resource.attributes.add(key="service.name").value.string_value = "training"
    scope = each.scope_spans.add()
    scope.scope.name = "library"
    for number in range(count):
        span = scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name=f"span {number}", kind=1)
        span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 1
        for key in range(20):
            span.attributes.add(key=f"key.{key}").value.string_value = "v" * 50
        span.attributes.add(key="list").value.array_value.values.add().int_value = number
        span.events.add(name="event").attributes.add(key="k").value.bool_value = True
        span.links.add(trace_id=os.urandom(16)).attributes.add(key="k").value.double_value = 1.5
        span.status.code = 1
    return request


def _fields(message: object) -> int:
    """As the library itself sees them; a list has as many as it has elements."""
    found = 0
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        each = value if field.is_repeated else [value]
        found += len(each) + sum(_fields(one) for one in each if field.message_type is not None)
    return found


def test_a_body_has_the_fields_that_the_library_finds_in_it() -> None:
    request = _honest(50)
    body, fields = request.SerializeToString(), _fields(request)
    assert fields > 50 * 90
    assert not spans.has_many_fields(body, fields)
    assert spans.has_many_fields(body, fields - 1)


def test_what_a_collector_sends_at_once_is_let_in() -> None:
    fields = _fields(_honest(10)) / 10
    assert 8192 * fields < spans.FIELDS
    assert spans.SPANS > 8192


@pytest.mark.parametrize(
    "body",
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
def test_many_values_in_little_text_are_too_many(body: bytes) -> None:
    assert spans.has_many_fields(body)


def test_the_shortest_spans_are_too_many_fields() -> None:
    assert spans.has_many_fields(shortest(500_000, 0))


@pytest.mark.parametrize(
    "body", [b"", b"\x0a", b"\x0a\xff", b"\xff" * 100, b"{}", b"\x0a\x05ab", bytes(range(256)) * 40]
)
def test_what_is_no_protobuf_is_left_to_who_reads_it(body: bytes) -> None:
    assert not spans.has_many_fields(body)


def test_json_that_was_compressed_has_so_many_values_at_most() -> None:
    assert not spans.has_many_values(json.dumps({"resourceSpans": [{"a": 1}] * 1000}).encode())
    for text in (b"[]," * 300_000, b'{"a":1},' * 300_000, b'"a",' * 1_010_000):
        assert spans.has_many_values(text)


def test_each_message_of_the_specification_is_entered_or_has_no_messages_and_lists() -> None:
    """What a shape leaves out counts as one field, however much it holds."""

    def missing(of: Any, shape: spans.Shape, path: str, depth: int) -> list[str]:
        found = []
        for field in of.fields if depth else ():
            where = f"{path}.{field.name}"
            if field.message_type is None:
                continue
            if field.number not in shape:
                found.append(where)
            else:
                found += missing(field.message_type, shape[field.number], where, depth - 1)
        return found

    assert missing(ExportTraceServiceRequest.DESCRIPTOR, spans.REQUEST, "", 8) == []
