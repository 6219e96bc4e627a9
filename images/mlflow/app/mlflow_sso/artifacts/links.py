"""Links by which clients reach a bucket without the server: where a setting says so, in S3, and for a short time.

MLflow offers them wherever its store can make them, so that a client behind the server fails that does not reach the
bucket (`mlflow.server.handlers.build_server_info_payload`, 3.17.2). Whoever has a link keeps it when his grant ends.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends.refusals import invalid

DIRECT, PUBLIC_URL = "MLFLOW_SSO_DIRECT", "MLFLOW_SSO_DIRECT_URL"
# Seconds that a link is good for: one that reads, or writes an object at once; and one that adds a part to an upload,
# which nobody sees before it is completed here. All those of a long upload are made at its begin.
AT_ONCE, ADDS = 300, 3600
# Source: Amazon S3 API Reference, "Multipart upload limits".
_PARTS = 10_000


def is_direct(repository: Any) -> bool:
    """Whether clients may reach the store of a repository themselves."""
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    return os.environ.get(DIRECT) == "true" and isinstance(repository, S3ArtifactRepository)


def _refusing(refusal: type[Exception]) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """A check that goes on only where links are made at all. Clients know these refusals and ask the server itself."""

    def by(original: Callable[[Any], None]) -> Callable[[Any], None]:
        @wraps(original)
        def check(artifact_repo: Any) -> None:
            if not is_direct(artifact_repo):
                raise refusal()
            original(artifact_repo)

        return check

    return by


def _honest(original: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    @wraps(original)
    def build() -> dict[str, Any]:
        from mlflow.server import handlers
        from mlflow.utils import server_info

        payload = original()
        if not is_direct(handlers._get_artifact_repo_mlflow_artifacts()):
            payload[server_info.SERVER_INFO_MULTIPART_UPLOADS_ENABLED] = False
            payload[server_info.SERVER_INFO_MULTIPART_DOWNLOADS_ENABLED] = False
        return payload

    return build


def name_of(path: object) -> str:
    """The name of an artifact that an upload is for, of which MLflow takes the last part. Raises MlflowException."""
    name = os.path.basename(path) if isinstance(path, str) else ""
    if name in ("", ".", ".."):
        raise invalid("The path of an upload ends in the name of its artifact.")
    return name


def _named(original: Callable[..., Any]) -> Callable[..., Any]:
    """An end of an upload, of an artifact that has a name."""

    @wraps(original)
    def end(self: Any, local_file: str, *rest: Any, **more: Any) -> Any:
        with _told():
            return original(self, name_of(local_file), *rest, **more)

    return end


def _created(original: Callable[..., Any]) -> Callable[..., Any]:
    """A begin of an upload, of an artifact that has a name, in a number of parts that there can be."""

    @wraps(original)
    def create(self: Any, local_file: str, num_parts: int = 1, *rest: Any, **more: Any) -> Any:
        if not 1 <= num_parts <= _PARTS:
            raise invalid(f"An upload has from 1 to {_PARTS} parts.")
        with _told():
            return original(self, name_of(local_file), num_parts, *rest, **more)

    return create


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the bucket as answers, which MLflow has none for."""
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

    try:
        yield
    except ClientError as error:
        raise invalid(f"The bucket of the artifacts refused: {error.response['Error'].get('Code')}.") from None
    except BotoCoreError as error:
        text = f"The bucket of the artifacts cannot be asked: {type(error).__name__}."
        raise MlflowException(text, error_code=TEMPORARILY_UNAVAILABLE) from None


class Client:
    """boto3's client of a bucket, whose links end soon and lead to where clients are.

    signer: makes them; the store's address is a part of what is signed. extra: what uploads are told, of which MLflow
    tells only those that it sends itself.
    """

    def __init__(self, own: Any, signer: Any, extra: Mapping[str, Any]) -> None:
        self._own, self._signer, self._extra = own, signer, extra

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_multipart_upload(self, **asked: Any) -> Any:
        return self._own.create_multipart_upload(**{**self._extra, **asked})

    def generate_presigned_url(self, method: str, Params: Any, ExpiresIn: int = ADDS) -> Any:
        seconds = min(ExpiresIn, ADDS if method == "upload_part" else AT_ONCE)
        return self._signer.generate_presigned_url(method, Params=Params, ExpiresIn=seconds)


def _linking(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @wraps(original)
    def client(self: Any) -> Any:
        own = original(self)
        if not is_direct(self):
            return own
        return Client(own, _signer(self) or own, self.get_s3_file_upload_extra_args() or {})

    return client


def _signer(repository: Any) -> Any:
    """A client for the address that clients have of the store; None where it is the server's."""
    from mlflow.store.artifact import s3_artifact_repo

    url = os.environ.get(PUBLIC_URL)
    if not url:
        return None
    return s3_artifact_repo._get_s3_client(
        access_key_id=repository._access_key_id,
        secret_access_key=repository._secret_access_key,
        session_token=repository._session_token,
        s3_endpoint_url=url,
    )


def install() -> None:
    """Puts the mends in place."""
    from mlflow import exceptions
    from mlflow.server import handlers
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    checks = {
        "_validate_support_multipart_upload": (exceptions._UnsupportedMultipartUploadException, "4a4aba5aadae2cb9"),
        "_validate_support_multipart_download": (exceptions._UnsupportedMultipartDownloadException, "7feb0948059dd129"),
        "_validate_support_presigned_upload": (exceptions._UnsupportedPresignedUploadException, "e3e2e5c5fbdc8bb4"),
        "_validate_support_presigned_download": (exceptions._UnsupportedPresignedDownloadException, "8c37ba7045af3ed1"),
    }
    for name, (refusal, known) in checks.items():
        upstream.replace(handlers, name, known, _refusing(refusal))
    upstream.replace(handlers, "build_server_info_payload", "3dd62a66391e9452", _honest)
    upstream.replace(S3ArtifactRepository, "_get_s3_client", "12b7349ff2b8ca02", _linking)
    upstream.replace(S3ArtifactRepository, "create_multipart_upload", "b72496223238a8f4", _created)
    for name, known in (
        ("complete_multipart_upload", "206fd4d6373b900a"),
        ("abort_multipart_upload", "2e867ab38d69c656"),
    ):
        upstream.replace(S3ArtifactRepository, name, known, _named)
    # It has the function by name.
    if router := sys.modules.get("mlflow.server.server_info_api"):
        router.build_server_info_payload = handlers.build_server_info_payload  # type: ignore[attr-defined]
