"""The store of this server's artifacts, as MLflow was told of it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.server import handlers
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.utils.uri import validate_path_is_safe

from mlflow_sso.artifacts.transfers import Store
from mlflow_sso.artifacts.volume import Volume
from mlflow_sso.guard.answers import Refusal

if TYPE_CHECKING:
    from mlflow_sso.artifacts.bucket import Bucket


def streams() -> bool:
    """Whether artifacts go through the server into a store that `artifact_store` knows."""
    place = os.environ.get("_MLFLOW_SERVER_ARTIFACT_DESTINATION", "")
    return place.startswith(("/", "s3://"))


def artifact_store() -> Store:
    """Where artifacts go that clients send through the server."""
    repository: Any = handlers._get_artifact_repo_mlflow_artifacts()
    if isinstance(repository, S3ArtifactRepository):
        return bucket(repository)
    return Volume(Path(repository.artifact_dir))


def bucket(repository: Any) -> "Bucket":
    """A bucket as MLflow reaches it, with what its variables say of uploads."""
    # A server without one need not import the client for it.
    from mlflow_sso.artifacts.bucket import Bucket

    place = urlsplit(repository.artifact_uri)
    extra = {**repository._bucket_owner_params, **(repository.get_s3_file_upload_extra_args() or {})}
    return Bucket(repository._get_s3_client(), place.netloc, place.path, extra)


def artifact_path(told: str) -> str:
    """A path of a request as MLflow uses it. Raises Refusal for one that MLflow refuses."""
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
