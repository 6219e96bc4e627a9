"""Writes down what stacks of a release are made of: `python -m tests.contract.frozen RELEASE`, a tag or a commit.

The release's own tree says it, so whatever was changed since then cannot change what is held against it.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from settings import ROOT

HERE = Path(__file__).parent
# What records; everything else is the release's.
RECORDER = (HERE / "__init__.py", HERE / "recording.py", HERE.parent / "engine.py")


def record(release: str) -> Path:
    """Keep a release; returns its folder. Raises CalledProcessError when there is none, or its tree cannot be run."""
    words = ("git", "archive", "--format=tar", release)
    archive = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    folder = HERE / release
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(tree, filter="data")
        written = tree / "written"
        written.mkdir()
        for file in RECORDER:
            target = tree / file.relative_to(ROOT)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
        what = str((HERE / "recording.py").relative_to(ROOT))
        command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", what)
        subprocess.run(command, cwd=tree, env={**os.environ, "FROZEN": str(written)}, check=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(written, folder)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.stdout.write(f"{record(sys.argv[1])}\n")
