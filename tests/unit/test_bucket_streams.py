"""Artifacts between client and an S3 server: whole or not at all, in parts on demand, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from mlflow_sso.artifacts.bucket import Bucket
from moto.server import ThreadedMotoServer

from tests.unit.artifact_server import Server, cut

MIB = 1 << 20
NAME = "artifacts"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "key", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **keys)
    s3.create_bucket(Bucket=NAME)
    yield s3
    server.stop()


def server_of(client: Any, bucket: str = NAME) -> Server:
    return Server(Bucket(client, bucket, "runs/", {"ServerSideEncryption": "AES256"}))


@pytest.fixture
def server(client: Any) -> Server:
    return server_of(client)


@pytest.fixture
def calls(client: Any) -> Iterator[list[str]]:
    """The calls that were made of the bucket."""
    made: list[str] = []
    client.meta.events.register("before-call.s3", lambda model, **_: made.append(model.name), unique_id="t")
    yield made
    client.meta.events.unregister("before-call.s3", unique_id="t")


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 16 * MIB + 3])
@pytest.mark.parametrize("tells", [True, False])
def test_what_was_sent_is_what_is_read(server: Server, client: Any, calls: list[str], size: int, tells: bool) -> None:
    content = os.urandom(size)
    headers = {"content-length": str(size)} if tells else {"transfer-encoding": "chunked"}
    assert server.ask("PUT", "1/run/artifacts/a.bin", cut(content), headers=headers).status == 200
    facts = client.head_object(Bucket=NAME, Key="runs/1/run/artifacts/a.bin")
    assert (facts["ContentLength"], facts["ServerSideEncryption"]) == (size, "AES256")
    got = server.ask("GET", "1/run/artifacts/a.bin")
    assert (got.status, got.body == content, got.headers["content-length"]) == (200, True, str(size))
    assert server.ask("HEAD", "1/run/artifacts/a.bin").headers["content-length"] == str(size)
    whole = 5 * MIB
    assert calls.count("PutObject") == (1 if size <= whole else 0)
    assert calls.count("UploadPart") == (-(-size // whole) if size > whole else 0)


@pytest.mark.parametrize("how", [{"leaves": True}, {"hangs": True}])
def test_nothing_is_left_of_half_an_upload(server: Server, client: Any, calls: list[str], how: dict[str, bool]) -> None:
    answer = server.ask("PUT", "2/half.bin", cut(b"x" * 12 * MIB), headers={"content-length": str(20 * MIB)}, **how)
    assert answer.status in (0, 408)
    assert "AbortMultipartUpload" in calls
    assert client.list_multipart_uploads(Bucket=NAME).get("Uploads", []) == []
    assert server.ask("GET", "2/half.bin").status == 404


def test_a_download_goes_on_where_it_was_cut(server: Server) -> None:
    content = os.urandom(3 * MIB)
    server.ask("PUT", "3/a", cut(content))
    etag = server.ask("HEAD", "3/a").headers["etag"]
    rest = server.ask("GET", "3/a", headers={"range": f"bytes={MIB}-", "if-range": etag})
    assert (rest.status, rest.headers["content-range"]) == (206, f"bytes {MIB}-{3 * MIB - 1}/{3 * MIB}")
    assert rest.body == content[MIB:]
    assert server.ask("GET", "3/a", headers={"range": "bytes=-7"}).body == content[-7:]
    assert server.ask("GET", "3/a", headers={"range": "bytes=99999999-"}).status == 416
    anew = server.ask("GET", "3/a", headers={"range": "bytes=1-", "if-range": '"another"'})
    assert (anew.status, anew.body == content) == (200, True)


@pytest.mark.parametrize("size", [1, 12 * MIB])
def test_a_bucket_that_refuses_is_one_clear_answer(client: Any, size: int) -> None:
    server = server_of(client, "no-such-bucket")
    answer = server.ask("PUT", "1/a", cut(b"x" * size), headers={"content-length": str(size)})
    assert (answer.status, answer.message) == (502, "The bucket of the artifacts refused: NoSuchBucket.")


def test_a_bucket_that_is_away_is_one_clear_answer() -> None:
    config = Config(retries={"max_attempts": 0}, connect_timeout=1)
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "key", "region_name": "us-east-1"}
    away = boto3.client("s3", endpoint_url="http://127.0.0.1:9", config=config, **keys)
    answer = server_of(away).ask("GET", "1/a")
    assert (answer.status, "cannot be asked: EndpointConnectionError" in answer.message) == (503, True)
