"""The Pythons of this machine that the client says it runs on, and an environment with it and MLflow's client alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
_VERSION = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"


def python(version: str) -> Path | None:
    """The interpreter of a version that can make an environment.

    It is looked for in PYTHONS (paths, joined as in PATH), as the one that runs, on PATH, and below pyenv's directory.
    """
    return next((path for path in _candidates(version) if _answers(path, version)), None)


def environment(interpreter: Path, folder: Path, wheel: Path) -> Path:
    """A new environment with the wheel and mlflow-skinny; returns its interpreter."""
    subprocess.run((interpreter, "-m", "venv", folder), check=True)
    made = folder / "bin" / "python"
    words = (made, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel), "mlflow-skinny>=3.17,<4")
    subprocess.run(words, check=True)
    return made


def _candidates(version: str) -> Iterator[Path]:
    yield from (Path(path) for path in os.environ.get("PYTHONS", "").split(os.pathsep) if path)
    yield Path(sys.executable)
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(root.glob(f"{version}.*/bin/python"), reverse=True)


def _answers(path: Path, version: str) -> bool:
    """Whether it runs and is that version: what a version manager leaves on PATH may only say that it is not chosen."""
    try:
        done = subprocess.run((path, "-c", _VERSION), capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == version
