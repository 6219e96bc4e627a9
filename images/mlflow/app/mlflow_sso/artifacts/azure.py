"""Artifacts in Azure Blob Storage. Source: Azure's REST reference, "Put Block", "Put Block List" and "Get Blob"."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobBlock, BlobServiceClient, ExponentialRetry

from mlflow_sso.artifacts.objects import Facts, Ranges, longest
from mlflow_sso.guard.answers import Refusal, later

_ABSENT = {"BlobNotFound", "ResourceNotFound"}
# Whoever commits a blob drops the blocks of all others that are at it.
_OVERTAKEN = {"InvalidBlockList", "InvalidBlobOrBlock"}
# The client that is asked here in place of each of MLflow's: their connections are kept.
_OWN: MutableMapping[Any, Any] = WeakKeyDictionary()


class Azure:
    """A container. client: `azure.storage.blob.ContainerClient`."""

    # Source: "Scalability targets for Blob Storage".
    parts = 50_000
    longest = longest(parts)

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def of(cls, service: Any, container: str) -> "Azure":
        """A container of what a client of MLflow's reaches, which would repeat a call for minutes."""
        own = _OWN.get(service)
        if own is None:
            retry = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3)
            own = BlobServiceClient(service.url, service.credential, retry_policy=retry, connection_timeout=10)
            _OWN[service] = own
        return cls(own.get_container_client(container))

    def facts(self, key: str) -> Facts:
        found = self._client.get_blob_client(key).get_blob_properties()
        return Facts(key, found.size, found.etag, found.last_modified)

    def read(self, facts: Facts, start: int, length: int) -> tuple[Callable[[int], bytes], Callable[[], None]]:
        blob = self._client.get_blob_client(facts.key)

        def get(at: int, size: int) -> bytes:
            same = {"etag": facts.etag, "match_condition": MatchConditions.IfNotModified}
            piece: bytes = blob.download_blob(offset=at, length=size, max_concurrency=1, **same).readall()
            return piece

        ranges = Ranges(get, start, length)
        return ranges.read, ranges.close

    def put(self, key: str, body: bytes) -> None:
        self._client.get_blob_client(key).upload_blob(body, overwrite=True)

    def begin(self, key: str) -> "AzureParts":
        return AzureParts(self._client.get_blob_client(key))

    @contextlib.contextmanager
    def told(self, path: str) -> Iterator[None]:
        try:
            yield
        except HttpResponseError as error:
            code = str(getattr(error, "error_code", None) or error.status_code or type(error).__name__)
            if code in _ABSENT:
                raise Refusal(404, f"No such artifact: '{path}'") from None
            if code in _OVERTAKEN:
                raise later(503, f"Another upload of '{path}' ended first. Send it again.") from None
            raise Refusal(502, f"The container of the artifacts refused: {code}.") from None
        except AzureError as error:
            raise later(503, f"The container of the artifacts cannot be asked: {type(error).__name__}.") from None


class AzureParts:
    """Blocks of a blob that are not committed. Azure removes them itself a week later, and nobody else can."""

    def __init__(self, blob: Any) -> None:
        self._blob = blob
        # Ids of a blob's blocks are all of one length.
        self._name = secrets.token_hex(8)
        self._blocks: list[str] = []

    def send(self, number: int, body: bytes) -> None:
        block = f"{self._name}-{number:05}"
        self._blob.stage_block(block, body, length=len(body))
        self._blocks.append(block)

    def finish(self, number: int, rest: bytes) -> None:
        self.send(number, rest)
        self._blob.commit_block_list([BlobBlock(block) for block in self._blocks])

    def abort(self) -> None:
        pass
