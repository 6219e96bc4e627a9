"""What the tests here share: an earlier release with an environment of its own."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from settings import ROOT

# The release that stacks come from; tests/contract/frozen holds what it asks its engines for.
EARLIER = "bd9bdd0"


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the earlier release, set up as its users did. Nothing of it is left in this repository."""
    root = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(("git", "archive", "--format=tar", EARLIER), cwd=ROOT, stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(root, filter="data")
    subprocess.run(("make", "setup"), cwd=root, check=True)
    return root
