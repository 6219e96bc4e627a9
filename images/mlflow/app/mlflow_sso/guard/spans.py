"""How much a body of spans holds, counted before anything is made of it: in memory each value is many times its text.

Source: Protocol Buffers, "Encoding"; opentelemetry-proto 1.x, trace/v1, resource/v1 and common/v1.
"""

from collections.abc import Mapping

from mlflow_sso.guard.bodies import Values
from mlflow_sso.guard.limits import Limits

# Fields, of protobuf, and spans in one body. Collectors send 8192 spans at once unless they are told otherwise
# (OpenTelemetry Collector, "Batch Processor"), with some hundred fields each.
FIELDS, SPANS = 1_500_000, 25_000
VALUES = Limits.json_values
# Messages within a message, by the number of their field; each is a dictionary of the same kind.
Shape = Mapping[int, "Shape"]

_any: dict[int, Shape] = {}
_pair: Shape = {2: _any}
_any |= {5: {1: _any}, 6: {1: _pair}}
_span: Shape = {9: _pair, 11: {3: _pair}, 13: {4: _pair}, 15: {}}
# ExportTraceServiceRequest
# Of a Resource: attributes, and entity_refs, which are lists of keys.
REQUEST: Shape = {1: {1: {1: _pair, 3: {}}, 2: {1: {3: _pair}, 2: _span}}}
# The library reads no deeper.
_DEPTH = 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def has_many_values(body: bytes, most: int = VALUES) -> bool:
    """Whether a body in JSON has more objects and arrays than that."""
    return Values(most).too_many(body)


def has_many_fields(body: bytes, most: int = FIELDS) -> bool:
    """Whether a body has more fields than that. A body that is no protobuf has as many as could be read."""
    try:
        return _fields(body, most) > most
    except IndexError:
        return False


def _fields(body: bytes, most: int) -> int:
    at, end, shape, found = 0, len(body), REQUEST, 0
    # Where it goes on behind each message that it is within.
    outer: list[tuple[int, int, Shape]] = []
    while found <= most:
        while at >= end:
            if not outer:
                return found
            at, end, shape = outer.pop()
        found += 1
        tag, at = _number(body, at)
        wire = tag & 7
        if wire == _BYTES:
            length, at = _number(body, at)
            within = shape.get(tag >> 3)
            if within is None or len(outer) >= _DEPTH:
                at += length
            else:
                outer.append((at + length, end, shape))
                end, shape = min(at + length, end), within
        elif wire == _VARINT:
            _, at = _number(body, at)
        else:
            # The beginning and the end of a group hold nothing.
            at += _FIXED.get(wire, 0)
    return found


def _number(body: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and what follows it."""
    byte = body[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    while byte > 127 and shift < 70:
        at += 1
        byte = body[at]
        number |= (byte & 127) << shift
        shift += 7
    return number, at + 1
