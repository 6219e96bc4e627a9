"""The folders of artifacts: found by their addresses, measured and removed."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from mlflow_sso.mends.places import is_clear

PROXIED = "mlflow-artifacts"


class Unremovable(Exception):
    """Artifacts that this cannot remove, or did not; the text says why."""


class Places:
    """Folders by the addresses that MLflow's rows have. root: where this server's own artifacts are."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    def repository(self, address: str) -> Any:
        """The folder at an address, as MLflow reaches it. Raises Unremovable."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if not is_clear(address):
            raise Unremovable(f"{address} can be read in more than one way")
        parts = urlsplit(address)
        if parts.scheme != PROXIED:
            return get_artifact_repository(address)
        if parts.netloc or not parts.path.strip("/"):
            raise Unremovable(f"{address} is no folder of this server's artifacts")
        # The server itself answers for these; beside it they are reached without a login.
        return get_artifact_repository(f"{self._root}/{parts.path.strip('/')}")

    def folder(self, address: str) -> str:
        """One spelling for all addresses of a folder of this server's; others as they are."""
        parts = urlsplit(address)
        if parts.scheme == PROXIED and not parts.netloc:
            path = f"{self._root}/{parts.path}"
        elif parts.scheme in ("", "file"):
            path = parts.path
        else:
            path = address
        return re.sub("/{2,}", "/", path).rstrip("/")

    def size(self, address: str) -> int:
        """The bytes below an address; 0 where there is nothing. Raises what the store raises, or Unremovable."""
        return sum(found.file_size or 0 for found in _files(self.repository(address)))

    def folders(self, address: str) -> list[str]:
        """The names of the folders directly below an address."""
        repository = self.repository(address)
        return [found.path.rpartition("/")[2] for found in repository.list_artifacts() if found.is_dir]

    def remove(self, address: str) -> None:
        """Takes away all that is below an address. Raises what the store raises, or Unremovable for what stays."""
        repository = self.repository(address)
        if urlsplit(repository.artifact_uri).scheme not in ("", "file") and not repository.list_artifacts():
            # A bucket has no empty folders, and MLflow's client of Azure fails to remove what is not there.
            return
        repository.delete_artifacts()
        # A bucket may refuse some objects of many, which MLflow does not look at.
        left = sum(1 for _ in _files(repository))
        if left:
            raise Unremovable(f"{left} files at {address} were not removed by the store")


def own_folder(address: str, name: str) -> str:
    """The folder that belongs to a run, a model or a trace alone, for the address of the artifacts in it."""
    parent = address.removesuffix("/artifacts")
    return parent if parent.rpartition("/")[2] == name else address


def _files(repository: Any, path: str | None = None) -> Iterator[Any]:
    for found in repository.list_artifacts(path):
        if found.is_dir:
            yield from _files(repository, found.path)
        else:
            yield found
