"""What the mends of the MLflow image decide by themselves, without MLflow."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import pytest
from mlflow_sso.guard.inflation import BOUND, TooMuch, Unreadable, bound, inflate
from mlflow_sso.mends import blame, errors, filling, grants, places, sqltext
from mlflow_sso.mends.destinations import refused
from mlflow_sso.mends.tokens import Foreign, Seal

TRACE = "tr-0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("text", ["..", ".", "", "a/b", "a%2fb", "a b", "x" * 51, "tr\n", "tr\x00", "ü", None, 7])
def test_what_could_lead_out_of_a_folder_is_no_id_of_a_trace(text: object) -> None:
    assert not places.is_trace_id(text)


def test_ids_that_mlflow_makes_are_ids_of_traces() -> None:
    assert places.is_trace_id(TRACE)
    assert places.is_trace_id("0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    "address",
    [
        *("s3://bucket/team", "s3://bucket/team/1/run/artifacts"),
        *("mlflow-artifacts:/shared/x",),
    ],
)
def test_an_address_is_below_an_allowed_place(address: str) -> None:
    assert places.is_below(address, ["s3://bucket/team/", "mlflow-artifacts:/shared"])


@pytest.mark.parametrize(
    "address",
    [
        *("s3://bucket/teams", "s3://bucket", "s3://bucket/team/../other", "s3://bucket/team/%2e%2e/other"),
        *("s3://bucket/team/x?y", "s3://bucket/team\\x", " s3://bucket/team/x", "S3://bucket/team/x", ""),
    ],
)
def test_an_address_beside_an_allowed_place_is_not_below_it(address: str) -> None:
    assert not places.is_below(address, ["s3://bucket/team"])


def test_no_place_is_allowed_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.ALLOWED, raising=False)
    assert places.allowed() == []
    monkeypatch.setenv(places.ALLOWED, " s3://a/b , ,/,gs://c")
    assert places.allowed() == ["s3://a/b", "gs://c"]


def test_a_trace_lies_below_its_experiment() -> None:
    expected = f"mlflow-artifacts:/7/traces/{TRACE}/artifacts"
    assert places.trace_place("mlflow-artifacts:/7", TRACE) == expected
    assert places.trace_place("mlflow-artifacts:/7/", TRACE) == expected
    with pytest.raises(ValueError, match="no id"):
        places.trace_place("mlflow-artifacts:/7", "../8")


def test_an_archive_is_that_of_the_trace_alone() -> None:
    assert places.is_archive_of(f"s3://b/old/7/traces/{TRACE}/artifacts", "s3://b/old", TRACE)
    assert places.is_archive_of(f"s3://b/old/workspaces/w/7/traces/{TRACE}/artifacts", "s3://b/old/", TRACE)
    for address in (
        *(f"s3://b/other/7/traces/{TRACE}/artifacts", "s3://b/old/7/traces/tr-other/artifacts", ""),
        *(f"s3://b/old/x/../7/traces/{TRACE}/artifacts", f"s3://b/old/7/traces/{TRACE}/artifacts/more"),
    ):
        assert not places.is_archive_of(address, "s3://b/old", TRACE), address
    assert not places.is_archive_of("anything", "", TRACE)


def _token(offset: int, **more: object) -> str:
    return base64.b64encode(json.dumps({"offset": offset, **more}).encode()).decode()


def test_a_sealed_token_comes_back_as_it_was() -> None:
    seal = Seal("secret")
    for token in (_token(5), _token(5, filter="x " * 50), "not base64 !", "ü{12}"):
        assert seal.open(seal.close(token, "bob", "SearchRuns"), "bob", "SearchRuns") == token


def test_a_sealed_token_says_nothing_of_its_number() -> None:
    seal = Seal("secret")
    for length in range(40):
        more = {"filter": "f" * length, "order": "9" * length}
        lengths = {len(seal.close(_token(10**n, **more), "bob", "s")) for n in range(12)}
        assert len(lengths) == 1, length


def test_a_token_of_somebody_else_or_another_search_or_server_is_refused() -> None:
    seal, token = Seal("secret"), _token(5)
    sealed = seal.close(token, "bob", "SearchRuns")
    for other, caller, search in (
        (seal, "carol", "SearchRuns"),
        (seal, "bob", "Other"),
        (Seal("x"), "bob", "SearchRuns"),
    ):
        with pytest.raises(Foreign):
            other.open(sealed, caller, search)
    for forged in (token, "", "ü", sealed[:-4], sealed[:20] + sealed[24:], "gAAAA"):
        with pytest.raises(Foreign):
            seal.open(forged, "bob", "SearchRuns")


def _deflate(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


PACKED = [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda data: _deflate(data, -15))]


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
def test_a_body_is_inflated_up_to_its_bound_and_no_further(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    for size in (0, 1, 999, 1000):
        assert inflate(pack(b"x" * size), encoding, 1000) == b"x" * size
    for size in (1001, 10_000_000):
        with pytest.raises(TooMuch):
            inflate(pack(b"x" * size), encoding, 1000)


def test_all_members_of_a_gzip_body_count() -> None:
    member = gzip.compress(b"x" * 600)
    assert inflate(gzip.compress(b"ab") + gzip.compress(b"cd") + b"\0\0", "gzip", 4) == b"abcd"
    with pytest.raises(TooMuch):
        inflate(member + member, "gzip", 1000)


def test_a_bomb_is_never_held_in_memory() -> None:
    bomb = gzip.compress(bytes(300 * 1024 * 1024))
    tracemalloc.start()
    with pytest.raises(TooMuch):
        inflate(bomb, "gzip", 8 * 1024 * 1024)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * 1024 * 1024


WRONG = [b"no", gzip.compress(b"x" * 99, mtime=0)[:-9], gzip.compress(b"x", mtime=0) + b"rest"]


@pytest.mark.parametrize("data", WRONG, ids=["none", "cut", "more"])
def test_what_is_not_compressed_as_it_says_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        inflate(data, "gzip", 1000)
    with pytest.raises(KeyError):
        inflate(data, "br", 1000)


@pytest.mark.parametrize("text", ["-1", "0", "1e6", "64MiB", " 5", "٣"])
def test_a_bound_that_is_no_number_stops_the_server(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(BOUND, text)
    with pytest.raises(ValueError, match=BOUND):
        bound()
    monkeypatch.setenv(BOUND, "5")
    assert bound() == 5


GOOD = {
    "auth_mode": "api_key",
    "aws_region_name": "us-gov-east-1",
    "aws_role_name": "arn:aws:iam::123456789012:role/a/b",
    "vertex_location": "global",
    "vertex_project": "example.com:my-project",
    "api_version": "2024-10-21",
    "api_base": "https://anything.that/mlflow?checks",
    "client_id": "8c7b2f0e-0000-4000-8000-000000000000",
    "portkey_provider": "@open-ai",
}
GOOGLE = {"type": "service_account", "token_uri": "https://oauth2.googleapis.com/token"}


def test_settings_that_providers_need_lead_nowhere() -> None:
    assert refused(GOOD, {"api_key": "a/b//..%", "vertex_credentials": json.dumps(GOOGLE)}) is None
    assert refused(None, None) is None
    assert refused({"aws_region_name": ""}, {"vertex_credentials": ""}) is None


@pytest.mark.parametrize("key", ["aws_region_name", "vertex_location", "account_name", "Resource", "tenant_id", "zone"])
@pytest.mark.parametrize(
    "value", ["a.b", "a/b", "a:1", "a@b", "a#", "a?", "a\\", "a b", "a\n", "-a", "a-", "A", "x" * 64]
)
def test_a_part_of_a_host_name_is_one_label(key: str, value: str) -> None:
    assert refused({key: value}, None) == key
    assert refused(None, {key: value}) == key


@pytest.mark.parametrize("key", ["base_url", "endpoint_url", "aws_sts_endpoint", "host", "http_proxy"])
def test_only_api_base_names_an_address(key: str) -> None:
    assert refused({key: "https://example.com"}, None) == key
    assert refused(None, {key: "https://example.com"}) == key


@pytest.mark.parametrize(
    "more",
    [
        *({"token_uri": "http://oauth2.googleapis.com/token"}, {"token_uri": "https://oauth2.googleapis.com:1/token"}),
        *({"token_uri": "https://x@oauth2.googleapis.com/"}, {"token_uri": "https://oauth2.googleapis.com.x/"}),
        *({"type": "external_account"}, {"type": "authorized_user"}, {"universe_domain": "x"}, {"token_uri": None}),
    ],
)
def test_credentials_of_google_are_sent_to_google(more: dict[str, object]) -> None:
    assert refused(None, {"vertex_credentials": json.dumps({**GOOGLE, **more})}) == "vertex_credentials"


SQLALCHEMY = (
    "{0}({1}) duplicate key value violates unique constraint\nDETAIL:  Key (name)=(x) already exists.\n\n"
    "[SQL: INSERT INTO t (name) VALUES (%(name)s)]\n[parameters: {{'name': 'x'}}]\n"
    "(Background on this error at: https://sqlalche.me/e/20/gkpj)"
)


@pytest.mark.parametrize("driver", ["psycopg2.errors.UniqueViolation", "sqlite3.IntegrityError", "builtins.ValueError"])
@pytest.mark.parametrize("before", ["", "Experiment(name=x) already exists. Error: ", "Failed: "])
def test_what_a_database_says_is_cut_off_a_message(driver: str, before: str) -> None:
    said = sqltext.before(SQLALCHEMY.format(before, driver))
    assert said == before.removesuffix("Error: ").strip()


@pytest.mark.parametrize("text", ["Run with id=x not found", "", "(sqlite3) is a module", "SELECT is a word", "[SQL]"])
def test_other_messages_stay_as_they_are(text: str) -> None:
    assert sqltext.before(text) is None


def test_no_value_and_no_line_of_its_own_gets_into_the_log() -> None:
    text = 'duplicate key value violates unique constraint "a"\nDETAIL:  Key (name)=(secret) already exists.\n'
    assert sqltext.without_detail(text) == 'duplicate key value violates unique constraint "a"'
    assert sqltext.one_line("a\nINFO: b\x00\x1b[0m") == "a INFO: b  [0m"


@pytest.mark.parametrize(
    "text", ["A string literal cannot contain NUL (0x00) characters.", "embedded null byte", "embedded null character"]
)
def test_a_nul_is_known_by_what_drivers_say_of_it(text: str) -> None:
    assert sqltext.is_nul(text)
    assert not sqltext.is_nul("a null value")


@pytest.mark.parametrize("step", [1, 3, 100])
def test_pages_show_every_visible_row_once_and_nothing_of_the_others(
    monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(filling, "STEP", step)
    for hidden in (0, 1, 7):
        rows = [*range(-hidden, 0), 1, *range(-hidden, 0), 2, 3, *range(-hidden, 0)]

        def fetch(start: int, count: int, rows: list[int] = rows) -> tuple[list[int], bool]:
            return rows[start : start + count], start + count < len(rows)

        pages, start = [], 0
        while True:
            page, behind = filling.fill(fetch, lambda row: row > 0, 2, start)
            pages.append(page)
            if behind is None:
                break
            start = behind
        assert pages == [[1, 2], [3]]


def test_a_full_page_has_another_behind_it_even_where_nothing_is() -> None:
    def fetch(start: int, count: int) -> tuple[list[int], bool]:
        return [1, 2][start : start + count], False

    assert filling.fill(fetch, bool, 2, 0) == ([1, 2], 2)
    assert filling.fill(fetch, bool, 2, 2) == ([], None)


def test_a_group_and_a_number_are_told_from_each_other_in_any_order() -> None:
    assert grants.in_order("team", 7) == grants.in_order(7, "team") == ("team", 7)
    assert grants.in_order("7", 7) == grants.in_order(7, "7") == ("7", 7), "a group may be called by a number"


@pytest.mark.parametrize(
    "body",
    [b"[]", b" [1]", b"7", b'"x"', b'"[]"', b'"', b'"7"', b"null", b"true", b"-1", b"\n\t[{}]", b"{}"[1:], b"\xff"],
)
def test_json_that_is_no_object_is_known_by_its_first_byte(body: bytes) -> None:
    assert not errors.is_object("/api/2.0/mlflow/runs/create", body)


def test_an_object_or_nothing_is_taken_and_the_text_of_one_from_older_clients() -> None:
    for body in (b"", b"  ", b"{}", b' \r\n{"a": 1}'):
        assert errors.is_object("/ajax-api/2.0/mlflow/runs/create", body)
    assert errors.is_object("/api/2.0/mlflow/runs/create", b'"{}"')
    assert not errors.is_object("/ajax-api/2.0/mlflow/runs/create-promptlab-run", b'"{}"')


@pytest.mark.parametrize(
    "body", [rb'{"a": "\ud800"}', rb'{"a": ["\uDFFF"]}', rb'{"\ud83d": 1}', rb'{"a": "\ude00\ud83d"}']
)
def test_halves_of_characters_are_no_text(body: bytes) -> None:
    assert not errors.is_text(body)


@pytest.mark.parametrize(
    "body", [b"{}", rb'{"a": "\ud83d\ude00"}', rb'{"a": "\\ud800"}', rb'{"a": "\ud800', '{"a": "\u00fc"}'.encode()]
)
def test_whole_characters_are_text_however_they_are_written(body: bytes) -> None:
    assert errors.is_text(body)


@pytest.mark.parametrize("error", [TypeError, KeyError, AttributeError, ValueError, IndexError])
def test_a_field_of_another_type_is_the_callers_fault(error: type[Exception]) -> None:
    def hook() -> None:
        raise error("int is not iterable")

    assert "another type" in blame.typed(hook, str)()
    assert blame.typed(lambda: "an answer", str)() == "an answer"


def test_a_failure_that_is_the_servers_is_not_told_as_the_callers() -> None:
    def hook() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        blame.typed(hook, str)()


def failure(*files: str) -> Exception:
    """A ValueError that went through functions of these files, the last of which raised it."""
    named: dict[str, Any] = {}
    body = "raise ValueError('x')"
    for number, name in enumerate(reversed(files)):
        FunctionType(compile(f"def f{number}():\n    {body}\n", name, "exec"), named)()
        body = f"f{number}()"
    try:
        named[f"f{len(files) - 1}"]()
    except ValueError as error:
        return error
    raise AssertionError("it did not fail")


LIB = "/opt/venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((f"{LIB}/flask/app.py", f"{LIB}/mlflow/server/handlers.py"), True),
        ((f"{LIB}/mlflow/server/handlers.py", "/usr/lib/python3.11/json/decoder.py"), True),
        (
            (
                f"{LIB}/mlflow/server/handlers.py",
                f"{LIB}/mlflow_sso/longjson.py",
                "/usr/lib/python3.11/json/decoder.py",
            ),
            True,
        ),
        ((f"{LIB}/mlflow/server/handlers.py", f"{LIB}/mlflow/store/tracking/sqlalchemy_store.py"), False),
        ((f"{LIB}/mlflow/store/tracking/sqlalchemy_store.py", f"{LIB}/mlflow_sso/longjson.py"), False),
        ((f"{LIB}/mlflow/server/handlers.py", "/opt/app/mlflow_sso/mends/pages.py"), False),
        ((f"{LIB}/mlflow/server/handlers.py", f"{LIB}/mlflow_oidc_auth/hooks/after_request.py"), False),
        ((f"{LIB}/flask/app.py",), False),
    ],
)
def test_the_callers_fault_is_what_a_reader_of_requests_fails_at(files: tuple[str, ...], expected: bool) -> None:
    assert blame.is_reading(failure(*files)) is expected


@pytest.mark.parametrize("error", [ValueError("'x' is not a valid TraceState"), TypeError("x"), AttributeError("x")])
def test_a_value_that_a_store_fails_at_is_the_callers_fault(error: Exception) -> None:
    assert blame.is_value(error)


@pytest.mark.parametrize("message", ["'x' is not a valid TraceState", OSError("x"), RuntimeError("x"), MemoryError()])
def test_another_failure_of_a_store_is_the_servers(message: object) -> None:
    assert not blame.is_value(message)


@dataclass(frozen=True)
class Granted:
    """What the plugin says of one name."""

    permission: Right


@dataclass(frozen=True)
class Right:
    can_read: bool = False
    can_use: bool = False
    can_update: bool = False
    can_delete: bool = False
    can_manage: bool = False


EDIT, MANAGE = Right(*[True] * 3), Right(*[True] * 5)


@pytest.mark.parametrize(
    ("now", "then", "more"),
    [(EDIT, MANAGE, True), (Right(), EDIT, True), (EDIT, EDIT, False), (MANAGE, Right(), False), (MANAGE, EDIT, False)],
)
def test_a_new_name_gives_no_rights(now: Right, then: Right, more: bool) -> None:
    assert grants.gains(Granted(now), Granted(then)) is more
