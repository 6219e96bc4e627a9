"""Spans in protobuf as the library makes them, printed as JSON: `python -m tests.unit.span_bodies COUNT`.

In a process of its own, since a process has one set of messages of a name: those of Envoy, which other tests load, know
an older OpenTelemetry.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from mlflow_sso.guard import spans


@dataclass(frozen=True)
class Body:
    """A body. fields: how many the library finds in it; missing: messages that the guard would not enter."""

    text: bytes
    fields: int
    missing: list[str]


def body(count: int) -> Body:
    """A body of so many spans."""
    words = (sys.executable, "-m", "tests.unit.span_bodies", str(count))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = json.loads(subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout)
    return Body(base64.b64decode(told["text"]), told["fields"], told["missing"])


def _honest(count: int) -> Any:
    """Spans as instrumented programs send them: attributes, an event, a link, nested values."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

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


def _fields(message: Any) -> int:
    """As the library itself sees them; a list has as many as it has elements."""
    found = 0
    for field, value in message.ListFields():
        each = value if field.is_repeated else [value]
        found += len(each) + sum(_fields(one) for one in each if field.message_type is not None)
    return found


def _missing(of: Any, shape: spans.Shape, path: str, depth: int) -> list[str]:
    """What a shape leaves out counts as one field, however much it holds."""
    found = []
    for field in of.fields if depth else ():
        where = f"{path}.{field.name}"
        if field.message_type is None:
            continue
        if field.number not in shape:
            found.append(where)
        else:
            found += _missing(field.message_type, shape[field.number], where, depth - 1)
    return found


def main() -> None:
    request = _honest(int(sys.argv[1]))
    text = base64.b64encode(request.SerializeToString()).decode()
    missing = _missing(request.DESCRIPTOR, spans.REQUEST, "", 8)
    print(json.dumps({"text": text, "fields": _fields(request), "missing": missing}))


if __name__ == "__main__":
    main()
