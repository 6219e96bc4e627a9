"""Artifacts in Google Cloud Storage. Source: its documentation, "Resumable uploads"; RFC 9110, section 14.4.

Google's client keeps three copies of each part in memory (`google.cloud.storage.fileio`, 3.17), so the parts of an
upload are sent without it.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import requests
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY

from mlflow_sso.artifacts.objects import Facts, Ranges
from mlflow_sso.guard.answers import Refusal, later

# What is repeated of a part, and how many seconds are between.
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_WAITS = (0.5, 1, 2, 4)
# Seconds until a connection stands, and until the next byte of an answer.
_PATIENCE = (10, 60)
_BINARY = "application/octet-stream"
_UNFINISHED = 308


class GcsError(Exception):
    """An answer to a part that is none of those of a good upload."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Absent(Exception):
    """There is no such object, or no such bucket."""


class Gcs:
    """A bucket. bucket: `google.cloud.storage.Bucket`; patience: seconds for which a call is repeated."""

    parts = None
    # Source: "Quotas & limits", 5 TiB.
    longest = 5 << 40

    def __init__(self, bucket: Any, patience: float = 15) -> None:
        self._bucket = bucket
        self._how = {"timeout": _PATIENCE, "retry": DEFAULT_RETRY.with_timeout(patience)}

    def facts(self, key: str) -> Facts:
        blob = self._bucket.get_blob(key, **self._how)
        if blob is None:
            raise _Absent
        return Facts(key, blob.size, f'"{blob.generation}"', blob.updated, blob)

    def read(self, facts: Facts, start: int, length: int) -> tuple[Callable[[int], bytes], Callable[[], None]]:
        blob = facts.handle

        def get(at: int, size: int) -> bytes:
            piece: bytes = blob.download_as_bytes(
                start=at, end=at + size - 1, raw_download=True, if_generation_match=blob.generation, **self._how
            )
            return piece

        ranges = Ranges(get, start, length)
        return ranges.read, ranges.close

    def put(self, key: str, body: bytes) -> None:
        self._bucket.blob(key).upload_from_string(body, content_type=_BINARY, **self._how)

    def begin(self, key: str) -> "GcsParts":
        url = self._bucket.blob(key).create_resumable_upload_session(content_type=_BINARY, **self._how)
        return GcsParts(url)

    @contextlib.contextmanager
    def told(self, path: str) -> Iterator[None]:
        try:
            yield
        except _Absent:
            raise Refusal(404, f"No such artifact: '{path}'") from None
        except GcsError as error:
            status = error.status
        except InvalidResponse as error:
            status = error.response.status_code
        except GoogleAPICallError as error:
            status = int(error.code or 500)
        except (GoogleAPIError, GoogleAuthError, DataCorruption, requests.RequestException) as error:
            raise later(503, f"The bucket of the artifacts cannot be asked: {type(error).__name__}.") from None
        else:
            return
        raise Refusal(502, f"The bucket of the artifacts refused: {_name(status)}.")


def _name(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


class GcsParts:
    """A resumable upload. url: its session, which holds the right to write it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()
        self._at = 0

    def send(self, number: int, body: bytes) -> None:
        self._put(body, "*")

    def finish(self, number: int, rest: bytes) -> None:
        self._put(rest, str(self._at + len(rest)))
        self._http.close()

    def abort(self) -> None:
        with contextlib.suppress(requests.RequestException):
            self._http.delete(self._url, timeout=_PATIENCE)
        self._http.close()

    def _put(self, body: bytes, total: str) -> None:
        """Sends a part until the store has all of it: it may keep less, or lose an answer, and tells how far it is."""
        begin, end = self._at, self._at + len(body)
        waits, lost = iter(_WAITS), False
        while self._at < end:
            if lost:
                reached = self._ask(b"", f"bytes */{total}", end)
            else:
                reached = self._ask(body[self._at - begin :], f"bytes {self._at}-{end - 1}/{total}", end)
            if reached is not None and reached > self._at:
                self._at, waits, lost = reached, iter(_WAITS), False
            elif lost and reached is not None:
                lost = False
            else:
                lost = reached is None
                self._pause(waits)

    @staticmethod
    def _pause(waits: Iterator[float]) -> None:
        wait = next(waits, None)
        if wait is None:
            raise GcsError(HTTPStatus.SERVICE_UNAVAILABLE)
        time.sleep(wait)

    def _ask(self, body: bytes, content_range: str, end: int) -> int | None:
        """How many bytes the store has after a call; None where it should be asked again. end: where the part ends."""
        headers = {"Content-Range": content_range}
        try:
            answer = self._http.put(self._url, data=body, headers=headers, timeout=_PATIENCE, allow_redirects=False)
        except (requests.ConnectionError, requests.Timeout):
            return None
        status = answer.status_code
        if status in (HTTPStatus.OK, HTTPStatus.CREATED):
            return end
        if status == _UNFINISHED:
            kept = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
            return int(kept[1]) + 1 if kept else 0
        if status in _AGAIN:
            return None
        raise GcsError(status)
