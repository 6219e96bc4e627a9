"""Artifacts between client and an object store: whole or not at all, in parts on demand, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from mlflow_sso.artifacts.objects import Objects, longest, part_size
from mlflow_sso.guard.answers import Refusal

from tests.unit.artifact_server import Server, cut
from tests.unit.object_servers import SERVERS, ObjectServer, away, moto
from tests.unit.store_programs import BUCKET

MIB = 1 << 20
SIZES = [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 16 * MIB + 3]


@pytest.fixture(scope="module", params=SERVERS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with SERVERS[request.param](Path(tmp_path_factory.mktemp("store"))) as server:
        yield server


def server_of(store: ObjectServer, bucket: str = BUCKET) -> Server:
    return Server(Objects(store.kind(bucket), "runs/"))


@pytest.fixture
def server(store: ObjectServer) -> Server:
    return server_of(store)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with moto(Path(tmp_path_factory.mktemp("s3"))) as server:
        yield server


@pytest.fixture
def calls(s3: ObjectServer) -> Iterator[list[str]]:
    """The calls that were made of a bucket in S3."""
    made: list[str] = []
    s3.client.meta.events.register("before-call.s3", lambda model, **_: made.append(model.name), unique_id="t")
    yield made
    s3.client.meta.events.unregister("before-call.s3", unique_id="t")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tells", [True, False])
def test_what_was_sent_is_what_is_read(server: Server, size: int, tells: bool) -> None:
    content = os.urandom(size)
    headers = {"content-length": str(size)} if tells else {"transfer-encoding": "chunked"}
    assert server.ask("PUT", "1/run/artifacts/a b.bin", cut(content), headers=headers).status == 200
    got = server.ask("GET", "1/run/artifacts/a b.bin")
    assert (got.status, got.body == content, got.headers["content-length"]) == (200, True, str(size))
    assert server.ask("HEAD", "1/run/artifacts/a b.bin").headers["content-length"] == str(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tells", [True, False])
def test_no_more_is_asked_of_a_bucket_than_needed(s3: ObjectServer, calls: list[str], size: int, tells: bool) -> None:
    headers = {"content-length": str(size)} if tells else {"transfer-encoding": "chunked"}
    server_of(s3).ask("PUT", "1/a.bin", cut(b"x" * size), headers=headers)
    assert calls.count("PutObject") == (1 if size <= 5 * MIB else 0)
    assert calls.count("UploadPart") == (-(-size // (5 * MIB)) if size > 5 * MIB else 0)
    facts = s3.client.head_object(Bucket=BUCKET, Key="runs/1/a.bin")
    assert (facts["ContentLength"], facts["ServerSideEncryption"]) == (size, "AES256")


@pytest.mark.parametrize("parts", [10_000, 50_000])
def test_parts_grow_so_that_their_number_suffices(parts: int) -> None:
    assert sum(part_size(number, parts) for number in range(1, parts + 1)) == longest(parts)


@pytest.mark.parametrize("how", [{"leaves": True}, {"hangs": True}])
def test_nothing_is_seen_of_half_an_upload(server: Server, how: dict[str, bool]) -> None:
    path, half = f"2/{next(iter(how))}.bin", {"content-length": str(20 * MIB)}
    answer = server.ask("PUT", path, cut(b"x" * 12 * MIB), headers=half, **how)
    assert answer.status in (0, 408)
    assert server.ask("GET", path).status == 404
    assert server.ask("PUT", path, cut(b"y" * 6 * MIB)).status == 200
    server.ask("PUT", path, cut(b"x" * 12 * MIB), headers=half, **how)
    assert server.ask("GET", path).body == b"y" * 6 * MIB


@pytest.mark.parametrize("how", [{"leaves": True}, {"hangs": True}])
def test_nothing_is_left_of_half_an_upload(s3: ObjectServer, calls: list[str], how: dict[str, bool]) -> None:
    server_of(s3).ask("PUT", "2/half.bin", cut(b"x" * 12 * MIB), headers={"content-length": str(20 * MIB)}, **how)
    assert "AbortMultipartUpload" in calls
    assert s3.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_a_download_goes_on_where_it_was_cut(server: Server) -> None:
    content = os.urandom(5 * MIB)
    server.ask("PUT", "3/a", cut(content))
    etag = server.ask("HEAD", "3/a").headers["etag"]
    rest = server.ask("GET", "3/a", headers={"range": f"bytes={MIB}-", "if-range": etag})
    assert (rest.status, rest.headers["content-range"]) == (206, f"bytes {MIB}-{5 * MIB - 1}/{5 * MIB}")
    assert rest.body == content[MIB:]
    assert server.ask("GET", "3/a", headers={"range": "bytes=-7"}).body == content[-7:]
    assert server.ask("GET", "3/a", headers={"range": "bytes=99999999-"}).status == 416
    anew = server.ask("GET", "3/a", headers={"range": "bytes=1-", "if-range": '"another"'})
    assert (anew.status, anew.body == content) == (200, True)
    server.ask("PUT", "3/a", cut(content[::-1]))
    assert server.ask("GET", "3/a", headers={"range": "bytes=1-", "if-range": etag}).status == 200


@pytest.mark.parametrize("size", [1, 12 * MIB])
def test_a_bucket_that_refuses_is_one_clear_answer(store: ObjectServer, size: int) -> None:
    server = server_of(store, "no-such-bucket")
    answer = server.ask("PUT", "1/a", cut(b"x" * size), headers={"content-length": str(size)})
    assert answer.status == 502
    assert answer.message.startswith(
        ("The bucket of the artifacts refused: ", "The container of the artifacts refused: ")
    )


@pytest.mark.parametrize("name", SERVERS)
def test_an_error_of_a_store_is_told_and_another_one_is_not(name: str) -> None:
    store = Objects(away(name), "")
    with pytest.raises(ZeroDivisionError):
        store.refuse(ZeroDivisionError(), "a")
    with pytest.raises(Exception) as found:  # noqa: PT011  It differs from store to store.
        away(name).facts("a")
    with pytest.raises(Refusal, match="cannot be asked"):
        store.refuse(found.value, "a")


def test_a_store_that_goes_away_within_an_upload_is_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that what was sent could not be removed."""
    kind = away("moto")

    def fail(*_: object) -> Any:
        raise EndpointConnectionError(endpoint_url="http://s3")

    monkeypatch.setattr(type(kind), "begin", lambda *_: SimpleNamespace(send=fail, finish=fail, abort=fail))
    answer = Server(Objects(kind, "")).ask("PUT", "1/a", cut(b"x" * 12 * MIB))
    assert (answer.status, "cannot be asked" in answer.message) == (503, True)


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_store_that_is_away_is_one_clear_answer(name: str, method: str) -> None:
    answer = Server(Objects(away(name), "")).ask(method, "1/a", [b"x"] if method == "PUT" else [])
    assert (answer.status, " of the artifacts cannot be asked: " in answer.message) == (503, True)
