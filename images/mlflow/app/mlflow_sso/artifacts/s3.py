"""Artifacts in an S3 bucket. Source: Amazon S3 API Reference, "Multipart upload limits" and "GetObject"."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mlflow_sso.artifacts.objects import Facts, longest
from mlflow_sso.guard.answers import Refusal, later

_ABSENT = {"NoSuchKey", "404", "NotFound"}


class S3:
    """A bucket. client: boto3's; extra: what each upload is told, by boto3's names."""

    parts = 10_000
    longest = longest(parts)

    def __init__(self, client: Any, bucket: str, extra: Mapping[str, Any]) -> None:
        self._client, self._bucket, self._extra = client, bucket, dict(extra)

    def facts(self, key: str) -> Facts:
        found = self._client.head_object(Bucket=self._bucket, Key=key)
        return Facts(key, found["ContentLength"], found["ETag"], found["LastModified"])

    def read(self, facts: Facts, start: int, length: int) -> tuple[Callable[[int], bytes], Callable[[], None]]:
        asked = {"Bucket": self._bucket, "Key": facts.key, "Range": f"bytes={start}-{start + length - 1}"}
        # Since the facts were read somebody may have replaced it.
        body = self._client.get_object(**asked, IfMatch=facts.etag)["Body"]
        return body.read, body.close

    def put(self, key: str, body: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=key, **self._extra, Body=body)

    def begin(self, key: str) -> "S3Parts":
        return S3Parts(self._client, {"Bucket": self._bucket, "Key": key}, self._extra)

    @contextlib.contextmanager
    def told(self, path: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code in _ABSENT:
                raise Refusal(404, f"No such artifact: '{path}'") from None
            raise Refusal(502, f"The bucket of the artifacts refused: {code}.") from None
        except BotoCoreError as error:
            raise later(503, f"The bucket of the artifacts cannot be asked: {type(error).__name__}.") from None


class S3Parts:
    """A multipart upload."""

    def __init__(self, client: Any, place: Mapping[str, str], extra: Mapping[str, Any]) -> None:
        self._client = client
        self._place = {**place, "UploadId": client.create_multipart_upload(**place, **extra)["UploadId"]}
        self._etags: dict[int, str] = {}

    def send(self, number: int, body: bytes) -> None:
        self._etags[number] = self._client.upload_part(**self._place, PartNumber=number, Body=body)["ETag"]

    def finish(self, number: int, rest: bytes) -> None:
        self.send(number, rest)
        parts = [{"ETag": etag, "PartNumber": number} for number, etag in self._etags.items()]
        self._client.complete_multipart_upload(**self._place, MultipartUpload={"Parts": parts})

    def abort(self) -> None:
        with contextlib.suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**self._place)
