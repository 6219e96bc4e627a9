"""Links into a bucket: they end soon, lead to where clients are, and add to no upload but the one they are for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from mlflow_sso.artifacts.links import ADDS, AT_ONCE, Client

from tests.unit.object_servers import ObjectServer, versitygw
from tests.unit.store_programs import BUCKET, s3_client

MIB = 1 << 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with versitygw(Path(tmp_path_factory.mktemp("store"))) as server:
        yield server


@pytest.fixture
def client(store: ObjectServer) -> Client:
    return Client(
        store.client,
        s3_client(store.url.replace("127.0.0.1", "localhost"), signature_version="s3v4"),
        {"ContentType": "text/x-model"},
    )


def seconds(link: str) -> int:
    (text,) = parse_qs(urlsplit(link).query)["X-Amz-Expires"]
    return int(text)


@pytest.mark.parametrize("wanted", [1, 60, 604_800])
@pytest.mark.parametrize("call", ["get_object", "put_object"])
def test_what_moves_an_object_at_once_ends_in_minutes(client: Client, call: str, wanted: int) -> None:
    link = client.generate_presigned_url(call, Params={"Bucket": BUCKET, "Key": "a"}, ExpiresIn=wanted)
    assert seconds(link) == min(wanted, AT_ONCE)
    assert urlsplit(link).hostname == "localhost"


def test_an_upload_by_links_is_seen_once_it_is_completed(client: Client) -> None:
    place = {"Bucket": BUCKET, "Key": "1/run/artifacts/model"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    parts = [b"x" * 5 * MIB, b"rest"]
    etags = []
    for number, body in enumerate(parts, 1):
        link = client.generate_presigned_url("upload_part", {**place, "PartNumber": number, "UploadId": upload})
        assert seconds(link) == ADDS
        etags.append(requests.put(link, data=body, timeout=10).headers["ETag"])
        # The same right for another part, or another object, is not in the link.
        for other in (link.replace(f"partNumber={number}", "partNumber=9"), link.replace("/model?", "/other?")):
            assert other != link
            assert requests.put(other, data=body, timeout=10).status_code == 403
    assert client.list_objects_v2(Bucket=BUCKET).get("Contents", []) == []
    told = {"Parts": [{"ETag": etag, "PartNumber": number} for number, etag in enumerate(etags, 1)]}
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=told)
    link = client.generate_presigned_url("get_object", place)
    answer = requests.get(link, timeout=10)
    assert (answer.content, answer.headers["Content-Type"]) == (b"".join(parts), "text/x-model")
