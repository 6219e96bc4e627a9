"""Files on Linux and macOS."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

# By name, so that a type checker on another system has nothing to say about it.
_fcntl: Any = import_module("fcntl")


def base() -> Path:
    return Path.home() / ".config"


def protect(path: Path, mode: int) -> None:
    path.chmod(mode)


def replace(source: Path, target: Path) -> None:
    source.replace(target)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def lock(descriptor: int) -> None:
    _fcntl.flock(descriptor, _fcntl.LOCK_EX)


def unlock(descriptor: int) -> None:
    _fcntl.flock(descriptor, _fcntl.LOCK_UN)
