"""Requests made up from what each route says that it takes, by a plain user: no error, nothing hidden, in bounded time.

schemathesis knows no protobuf routes, which are most of these, and of the others the OpenAPI names no bodies for many.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

from tests.matrix.asked import AT_ONCE, Matrix
from tests.matrix.rows import PLAIN, Row, filled
from tests.matrix.tables import TABLES
from tests.matrix.world import World

# They end logins, call models, or count wrong tokens.
LEFT_OUT = ("logins", "logouts", "SCIM", "calls of models")
# Seconds for one answer, with others asking beside it on a busy machine.
BOUND = 30
# What MLflow says of a trace whose spans are files, which its client reads then.
KNOWN = "Trace data not stored in tracking store"
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, 10**30, 1e308, 0.1, [], {}, [[]], [None], {"": None}, "", " ", "0", "-1", "1e9"),
    *(
        "null",
        "../..",
        "%2e%2e",
        "a/b",
        "a'b\"c;--",
        "\u0000",
        "\U0001f600",
        "\ud800",
        "\u202e",
        "x" * 5000,
        "{}",
        "[]",
        "NaN",
    ),
    *(
        "2026-11-28T00:00:00Z",
        "name = 'x'",
        "tags.`a` LIKE '%'",
        "metrics.m > 1",
        "s3://b/c",
        "runs:/x/y",
        "models:/a/1",
    ),
)


# A request: its row, a path with its query, and a JSON body.
Made = tuple[Row, str, Any]
NO_OBJECT = ("x", "{", "1", "null", '"x"', "[]", "{}", '{"a":' * 20_000, "[" * 20_000)


class Fuzzer:
    """Makes requests up. mine, theirs: values of worlds, one of them hidden from who asks."""

    def __init__(self, seed: int, schemas: Mapping[str, Any], mine: World, theirs: World) -> None:
        self._random, self._schemas = random.Random(seed), schemas  # noqa: S311  It makes no secrets.
        self._world, self._mine, self._theirs = mine, mine.values, {**theirs.values, "hidden": mine.hidden}
        self._parts: dict[str, Any] = schemas.get("$components", {})

    def requests(self, rows: Iterable[Row], rounds: int) -> list[Made]:
        return [(row, *self.request(row)) for _ in range(rounds) for row in rows]

    def request(self, row: Row) -> tuple[str, Any]:
        """A path with its query, and a JSON body."""
        values = {name: self._known(name) for name in self._theirs} | self._world.new() | {"caller": "x"}
        path = filled(
            row.path.partition("?")[0], {name: quote(str(value), errors="replace") for name, value in values.items()}
        )
        known = self._schemas.get(row.routes[0], {})
        schema = known.get("body") or known
        if self._random.random() < 0.5 and isinstance(row.body, dict):
            body = self._changed(filled(row.body, values))
        else:
            body = self._value(schema, "", 0) if schema else self._odd()
        query = known.get("query") or (known.get("properties", {}) if row.method == "GET" else {})
        pairs = [(name, self._text(self._value(about, name, 0))) for name, about in query.items() if self._often()]
        address = f"{row.prefixes[0]}{path}" + (f"?{urlencode(pairs, errors='replace')}" if pairs else "")
        return address, None if row.method == "GET" else body

    def _often(self) -> bool:
        return self._random.random() < 0.7

    def _odd(self) -> Any:
        return self._random.choice(ODD)

    def _known(self, name: str) -> Any:
        """A value for something of that name: of one's own, of others', or an odd one."""
        draw = self._random.random()
        known = self._mine if draw < 0.6 else self._theirs
        return known.get(name, "x") if draw < 0.9 else str(self._odd())

    @staticmethod
    def _text(value: Any) -> str:
        return value if isinstance(value, str) else str(value)

    def _changed(self, value: Any) -> Any:
        """A good request with something else at one place."""
        if isinstance(value, dict) and value and self._often():
            name = self._random.choice(list(value))
            return {**value, name: self._changed(value[name])}
        if isinstance(value, list) and value and self._often():
            return [self._changed(value[0]), *value[1:]]
        return self._odd()

    def _value(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if self._random.random() < 0.1 or depth > 5:
            return self._odd()
        if "$ref" in schema:
            return self._value(self._parts.get(schema["$ref"].rpartition("/")[2], {}), name, depth + 1)
        for choice in ("anyOf", "oneOf", "allOf"):
            if choice in schema:
                return self._value(self._random.choice(schema[choice]), name, depth + 1)
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        return self._typed(schema, name, depth)

    def _typed(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            properties = schema.get("properties", {})
            return {key: self._value(about, key, depth + 1) for key, about in properties.items() if self._often()}
        if kind == "array":
            count = self._random.randrange(4)
            # experiment_ids is a list of what experiment_id is one of.
            return [self._value(schema.get("items", {}), name.removesuffix("s"), depth + 1) for _ in range(count)]
        if kind == "integer":
            return self._random.choice((0, 1, -1, 100, 2**31, 2**63 - 1, 2**64))
        if kind == "number":
            return self._random.choice((0.0, 1.5, -1.0, 1e308))
        if kind == "boolean":
            return self._random.random() < 0.5
        return self._known(name)


def fuzzed() -> tuple[Row, ...]:
    """The rows that are asked."""
    return tuple(row for name, rows in TABLES.items() if name not in LEFT_OUT for row in rows)


def unreadable(mine: World, rows: Iterable[Row]) -> Iterator[Made]:
    """Good requests with a text of JSON, in which it is none, another kind of it, or deeper than anybody reads."""
    for row in rows:
        values = mine.values | mine.new() | {"caller": "x"}
        path = row.prefixes[0] + filled(row.path, {name: quote(str(value)) for name, value in values.items()})
        body = filled(row.body, values)
        for name, value in body.items() if isinstance(body, dict) else ():
            listed = isinstance(value, list)
            if all(_is_json(each) for each in (value if listed else [value])):
                for text in NO_OBJECT:
                    yield row, path, {**body, name: [text] if listed else text}


def _is_json(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("{", "[")


def faults(matrix: Matrix, asked: Iterable[Made]) -> list[str]:
    """What is wrong with answers to requests that are made up."""

    def fault(made: Made) -> str:
        row, path, body = made
        headers = filled(dict(row.headers), matrix.world.values)
        answer = matrix.ask(PLAIN, row.method, path, body, headers=headers)
        # Two that change the same rows at once may wait for each other, and PostgreSQL ends one of them ("Deadlocks");
        # MLflow's client asks again too.
        if answer.status_code == 503:
            answer = matrix.ask(PLAIN, row.method, path, body, headers=headers)
        seconds = answer.elapsed.total_seconds()
        told = f"{row.method} {path} {repr(body)[:2000]}: {answer.status_code} in {seconds:.1f} s: {answer.text[:200]}"
        if KNOWN in answer.text:
            return ""
        # 501 is what a store that cannot do something answers.
        if answer.status_code >= 500 and answer.status_code != 501 and answer.status_code not in row.good:
            return told
        return told if matrix.world.hidden in answer.text or seconds > BOUND else ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [each for each in pool.map(fault, asked) if each]
