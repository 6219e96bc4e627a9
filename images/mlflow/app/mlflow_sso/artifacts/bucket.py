"""Artifacts in an S3 bucket. Source: Amazon S3 API Reference, "Multipart upload limits" and "GetObject"."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mlflow_sso.artifacts.ranges import Found, part
from mlflow_sso.guard.answers import Refusal

_MIB = 1 << 20
# A part has 5 MiB at least, but for the last, and an object 10,000 parts at most.
_PART = 5 * _MIB
_PARTS = 10_000
# Parts grow by 5 MiB with each thousand (BucketUpload.write).
_LONGEST = sum(1000 * _PART * step for step in range(1, _PARTS // 1000 + 1))
_ABSENT = {"NoSuchKey", "404", "NotFound"}


class Bucket:
    """A store in a bucket, below a prefix. client: boto3's; extra: what each upload is told, by boto3's names."""

    piece = _PART

    def __init__(self, client: Any, bucket: str, prefix: str, extra: Mapping[str, Any]) -> None:
        self._client, self._bucket, self._prefix, self._extra = client, bucket, prefix.strip("/"), extra

    def begin(self, path: str, length: int | None) -> "BucketUpload":
        if length is not None and length > _LONGEST:
            raise Refusal(413, f"An artifact in a bucket has {_LONGEST >> 30} GiB at most.")
        return BucketUpload(self._client, {"Bucket": self._bucket, "Key": self._key(path)}, self._extra, length)

    def find(self, path: str, wanted: str | None, unless: str | None) -> Found:
        asked: dict[str, Any] = {"Bucket": self._bucket, "Key": self._key(path)}
        with _told(path):
            facts = self._client.head_object(**asked)
            some = part(wanted, facts["ContentLength"]) if unless in (None, facts["ETag"]) else None
            start, length = some or (0, facts["ContentLength"])
            if some is not None:
                asked["Range"] = f"bytes={start}-{start + length - 1}"
            # Between the two calls somebody may have replaced it.
            body = self._client.get_object(**asked, IfMatch=facts["ETag"])["Body"] if length else io.BytesIO()
        modified = formatdate(facts["LastModified"].timestamp(), usegmt=True)
        return Found(
            body.read, body.close, length, facts["ContentLength"], start, some is not None, facts["ETag"], modified
        )

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


class BucketUpload:
    """One object, in one call where it fits into a part, and else in parts that become an object at the end."""

    def __init__(self, client: Any, place: Mapping[str, str], extra: Mapping[str, Any], length: int | None) -> None:
        self._client, self._place, self._extra = client, dict(place), dict(extra)
        self._sure = length is not None and length > _PART
        self._id: str | None = None
        self._etags: list[str] = []
        self._waiting: list[bytes | bytearray] = []
        self._size = 0

    def write(self, piece: bytes | bytearray) -> None:
        # Later parts are longer, so that their number holds. Without a length the last one is known only once no more
        # comes.
        full = _PART * (1 + len(self._etags) // 1000)
        if self._size >= full:
            self._send()
        self._waiting.append(piece)
        self._size += len(piece)
        if self._sure and self._size >= full:
            self._send()

    def _send(self) -> None:
        with _told(self._place["Key"]):
            if self._id is None:
                self._id = self._client.create_multipart_upload(**self._place, **self._extra)["UploadId"]
            body = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
            self._waiting, self._size = [], 0
            number = len(self._etags) + 1
            sent = self._client.upload_part(**self._place, UploadId=self._id, PartNumber=number, Body=body)
            self._etags.append(sent["ETag"])

    def publish(self) -> None:
        if self._id is None:
            with _told(self._place["Key"]):
                self._client.put_object(**self._place, **self._extra, Body=b"".join(self._waiting))
            return
        if self._size:
            self._send()
        parts = [{"ETag": etag, "PartNumber": number} for number, etag in enumerate(self._etags, 1)]
        with _told(self._place["Key"]):
            self._client.complete_multipart_upload(**self._place, UploadId=self._id, MultipartUpload={"Parts": parts})

    def give_up(self) -> None:
        if self._id is not None:
            with contextlib.suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**self._place, UploadId=self._id)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Errors of the bucket as answers: which one, and nothing of what was sent."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _ABSENT:
            raise Refusal(404, f"No such artifact: '{path}'") from None
        raise Refusal(502, f"The bucket of the artifacts refused: {code}.") from None
    except BotoCoreError as error:
        raise Refusal(503, f"The bucket of the artifacts cannot be asked: {type(error).__name__}.") from None
