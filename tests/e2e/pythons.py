"""The Pythons of this machine that the client says it runs on, and an environment with it and MLflow's client alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")


def python(version: str) -> Path | None:
    """The interpreter of a version: on PATH, or below a directory of versions as pyenv keeps them."""
    on_path = shutil.which(f"python{version}")
    if on_path and _answers(Path(on_path)):
        return Path(on_path)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(root.glob(f"{version}.*/bin/python")) if root.is_dir() else []
    return next((path for path in reversed(found) if _answers(path)), None)


def _answers(path: Path) -> bool:
    """Whether it runs: what a version manager leaves on PATH may only say that the version is not chosen."""
    return subprocess.run((path, "-c", "import venv"), capture_output=True, check=False).returncode == 0


def environment(interpreter: Path, folder: Path, wheel: Path) -> Path:
    """A new environment with the wheel and mlflow-skinny; returns its interpreter."""
    subprocess.run((interpreter, "-m", "venv", folder), check=True)
    made = folder / "bin" / "python"
    words = (made, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel), "mlflow-skinny>=3.17,<4")
    subprocess.run(words, check=True)
    return made
