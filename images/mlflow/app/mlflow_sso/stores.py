"""The store of this server's artifacts, as MLflow was told of it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.server import handlers
from mlflow.store.artifact.azure_blob_artifact_repo import AzureBlobArtifactRepository
from mlflow.store.artifact.gcs_artifact_repo import GCSArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.utils.uri import validate_path_is_safe

from mlflow_sso.artifacts.transfers import Store
from mlflow_sso.artifacts.volume import Volume
from mlflow_sso.guard.answers import Refusal

if TYPE_CHECKING:
    from mlflow_sso.artifacts.objects import Objects


# Parts of an artifact's path: making as many folders one inside the other takes as many calls, each in the last.
_DEPTH = 100


def streams() -> bool:
    """Whether artifacts go through the server into a store that `artifact_store` knows."""
    place = os.environ.get("_MLFLOW_SERVER_ARTIFACT_DESTINATION", "")
    return place.startswith(("/", "s3://", "gs://", "wasbs://"))


def artifact_store() -> Store:
    """Where artifacts go that clients send through the server."""
    repository: Any = handlers._get_artifact_repo_mlflow_artifacts()
    return objects(repository) or Volume(Path(repository.artifact_dir))


def objects(repository: Any) -> "Objects | None":
    """An object store as MLflow reaches it; None for another store."""
    for kind, made in _KINDS.items():
        if isinstance(repository, kind):
            return made(repository)
    return None


def refused(error: Exception, path: str) -> Refusal:
    """What an error of this server's object store is answered with. Raises the error where it is another one."""
    store = objects(handlers._get_artifact_repo_mlflow_artifacts()) if streams() else None
    if store is None:
        raise error
    try:
        store.refuse(error, path)
    except Refusal as refusal:
        return refusal


# A server without a kind of store need not import, or have, the client for it.
def _s3(repository: Any) -> "Objects":
    from mlflow_sso.artifacts.objects import Objects
    from mlflow_sso.artifacts.s3 import S3

    place = urlsplit(repository.artifact_uri)
    extra = {**repository._bucket_owner_params, **(repository.get_s3_file_upload_extra_args() or {})}
    return Objects(S3(repository._get_s3_client(), place.netloc, extra), place.path)


def _gcs(repository: Any) -> "Objects":
    from mlflow_sso.artifacts.gcs import Gcs
    from mlflow_sso.artifacts.objects import Objects

    bucket, prefix = repository.parse_gcs_uri(repository.artifact_uri)
    return Objects(Gcs(repository.client.bucket(bucket)), prefix)


def _azure(repository: Any) -> "Objects":
    from mlflow_sso.artifacts.azure import Azure
    from mlflow_sso.artifacts.objects import Objects

    container, _, prefix, _ = repository.parse_wasbs_uri(repository.artifact_uri)
    return Objects(Azure.of(repository.client, container), prefix)


_KINDS: Mapping[type, Callable[[Any], "Objects"]] = {
    S3ArtifactRepository: _s3,
    GCSArtifactRepository: _gcs,
    AzureBlobArtifactRepository: _azure,
}


def artifact_path(told: str) -> str:
    """A path of a request as MLflow uses it. Raises Refusal for one that MLflow refuses, or that is too deep."""
    if told.count("/") >= _DEPTH:
        raise Refusal(400, f"The path of an artifact has {_DEPTH} parts at most.")
    try:
        path: str = handlers._get_workspace_scoped_repo_path_if_enabled(validate_path_is_safe(told))
    except MlflowException as error:
        raise Refusal(400, error.message) from None
    return path


def forget_lost() -> None:
    """Removes uploads that an earlier process of the server did not end."""
    place = os.environ.get("_MLFLOW_SERVER_ARTIFACT_DESTINATION", "")
    if place.startswith("/"):
        Volume(Path(place)).forget_lost()
