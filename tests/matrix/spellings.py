"""Other ways to write a request that is refused: of its path, and with a second value beside the one it is about."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from tests.matrix.rows import Row, filled

Spelling = Callable[[str], str]


def _encoded(path: str) -> str:
    """Its last letter as a percent-encoded one."""
    return re.sub(r"[a-z](?=[^a-z]*$)", lambda letter: f"%{ord(letter[0]):02x}", path, count=1)


def _last(path: str, put: str) -> str:
    """With something in place of the slash before the last segment."""
    head, _, tail = path.rpartition("/")
    return f"{head}{put}{tail}"


SPELLINGS: dict[str, Spelling] = {
    "a slash more at the beginning": lambda path: f"/{path}",
    "a slash more inside": lambda path: _last(path, "//"),
    "a slash at the end": lambda path: f"{path}/",
    "an encoded letter": _encoded,
    "a letter encoded twice": lambda path: _encoded(path).replace("%", "%25"),
    "an encoded slash": lambda path: _last(path, "%2f"),
    "a backslash": lambda path: _last(path, "\\"),
    "a dot": lambda path: _last(path, "/./"),
    "a way back": lambda path: _last(path, "/x/../"),
    "an encoded way back": lambda path: _last(path, "/x/%2e%2e/"),
    "a way back out of an open page": lambda path: f"/health/..{path}",
    "an encoded way back out of an open page": lambda path: f"/static-files/%2e%2e{path}",
    "another case": lambda path: path.upper(),
    "a parameter of a segment": lambda path: f"{path};x=1",
    "a parameter of an open page": lambda path: _last(path, ";/health/"),
    "a NUL at the end": lambda path: f"{path}%00",
    "a space at the end": lambda path: f"{path}%20",
    "an absolute address": lambda path: f"http://localhost{path}",
    "an end of a line": lambda path: f"{path}%0d%0a",
    "the other version": lambda path: path.replace("2.0", "3.0") if "2.0" in path else path.replace("3.0", "2.0"),
}


class Request(dict[str, Any]):
    """A request as Asker takes it: method, path, and body or data with headers."""


# The values by which a request says what it is about.
IDS = re.compile(
    r"\{(experiment_id|experiment_name|run_id|trace_id|span_trace|model_id|model_name|dataset_id|issue_id|schema_id"
    r"|queue_id|scorer_name|secret_id|model_definition_id|endpoint_id|assessment_id|file|prompt_name)\}"
)
JSON = {"Content-Type": "application/json"}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _pairs(body: Mapping[str, Any]) -> str:
    return ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in body.items())


def confused(row: Row, theirs: Mapping[str, str], own: Mapping[str, str]) -> Iterator[tuple[str, Request]]:
    """Requests that name something of one's own beside what is somebody else's, by what is confused in them."""
    path = f"{row.prefixes[0]}{row.path}"
    if not IDS.search(f"{path}{row.body}"):
        return
    address, _, query = path.partition("?")
    here = filled(address, theirs)
    pairs, mine = filled(query, theirs), filled(query, own)
    base = {"method": row.method, "headers": filled(dict(row.headers), theirs)}
    if query:
        for name, both in (("theirs first", f"{pairs}&{mine}"), ("theirs last", f"{mine}&{pairs}")):
            yield f"the query twice, {name}", Request(base, path=f"{here}?{both}")
        as_json = dict(pair.split("=", 1) for pair in mine.split("&"))
        yield "a body beside the query", Request(base, path=f"{here}?{pairs}", body=as_json)
        theirs_json = dict(pair.split("=", 1) for pair in pairs.split("&"))
        yield "theirs in the body of a query", Request(base, path=f"{here}?{mine}", body=theirs_json)
        yield "theirs in a body alone", Request(base, path=here, body=theirs_json)
        camel = "&".join(f"{_camel(key)}={value}" for key, value in theirs_json.items())
        yield "two spellings in the query", Request(base, path=f"{here}?{mine}&{camel}")
        if "run_id" in theirs_json:
            yield "run_uuid in the query", Request(base, path=f"{here}?{mine}&run_uuid={theirs_json['run_id']}")
    if isinstance(row.body, dict):
        yield from _confused_bodies(base, here, filled(row.body, theirs), filled(row.body, own))


def _confused_bodies(
    base: Mapping[str, Any], here: str, body: dict[str, Any], mine: dict[str, Any]
) -> Iterator[tuple[str, Request]]:
    typed = {**base, "headers": {**base["headers"], **JSON}}
    for name, both in (("last", (mine, body)), ("first", (body, mine))):
        twice = "{" + ", ".join(_pairs(each) for each in both) + "}"
        yield f"every key twice, theirs {name}", Request(typed, path=here, data=twice)
    camel = {_camel(key): value for key, value in body.items()}
    yield "camel case beside", Request(typed, path=here, data="{" + _pairs(mine) + ", " + _pairs(camel) + "}")
    yield "camel case alone", Request(base, path=here, body=camel)
    flat = {key: value for key, value in mine.items() if isinstance(value, str)}
    query = "&".join(f"{key}={quote(value)}" for key, value in flat.items())
    yield "one's own in the query", Request(base, path=f"{here}?{query}", body=body)
    text = json.dumps(body)
    yield "JSON as a text", Request(typed, path=here, data=json.dumps(text))
    yield "another type", Request(base, path=here, data=text, headers={**base["headers"], "Content-Type": "text/plain"})
    utf16 = {**base["headers"], "Content-Type": "application/json; charset=utf-16"}
    yield "another encoding", Request(base, path=here, data=text.encode("utf-16"), headers=utf16)
    form = {**base["headers"], "Content-Type": "application/x-www-form-urlencoded"}
    fields = "&".join(f"{key}={quote(str(value))}" for key, value in body.items())
    yield "a form", Request(base, path=here, data=fields, headers=form)
    if "run_id" in body:
        yield "run_uuid beside", Request(base, path=here, body={**mine, "run_uuid": body["run_id"]})
        yield "run_uuid first", Request(base, path=here, body={**body, "run_uuid": mine["run_id"]})
    yield "a list around", Request(base, path=here, body=[body])
    for override in ("X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL"):
        headers = {**base["headers"], override: "GET" if "Method" in override else "/health"}
        yield f"with {override}", Request(base, path=here, body=body, headers=headers)
