"""Files that a build needs from elsewhere, each held against the checksum in versions.yaml."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import requests

from settings.image_rows import Download
from stackctl.errors import ImageError

_SECONDS = 60
_CHUNK = 1 << 20


def fetch(what: str, download: Download, cache: Path, ca_bundle: Path | None) -> Path:
    """The file, from where it was kept before or from its source. Raises ImageError.

    what: the image and file, for messages. cache: where files from a URL are kept; those of Maven are in its local
    repository, where machines that reach no other may have put them. ca_bundle: PEM file of CAs to trust.
    """
    try:
        path = _artifact(download.maven) if download.maven else _file(download, cache, ca_bundle)
    except (OSError, RuntimeError, ValueError) as error:
        raise ImageError(f"{what} cannot be downloaded from {download.source}: {error}") from None
    if _sha256(path) != download.sha256:
        path.unlink()
        raise ImageError(f"{what} is not the file versions.yaml names (sha256 of {download.source}); it was not used")
    return path


def _artifact(coordinate: str) -> Path:
    from jgo.maven import MavenContext

    group, artifact, version, packaging = coordinate.split(":")
    project = MavenContext(timeout=_SECONDS).project(group, artifact)
    return Path(project.at_version(version).artifact(packaging=packaging).resolve())


def _file(download: Download, cache: Path, ca_bundle: Path | None) -> Path:
    """Kept under its checksum, and under another name until it is whole."""
    path = cache / download.sha256
    if path.is_file():
        return path
    partial = path.with_suffix(f".{os.getpid()}")
    verify = str(ca_bundle) if ca_bundle else True
    try:
        with requests.get(download.source, stream=True, timeout=_SECONDS, verify=verify) as answer:
            answer.raise_for_status()
            with partial.open("wb") as target:
                for chunk in answer.iter_content(_CHUNK):
                    target.write(chunk)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
