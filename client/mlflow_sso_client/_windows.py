"""Files on Windows, where a user's profile is closed to others by itself.

Facts: `msvcrt.locking` locks bytes from the current position on and gives up after ten seconds (Python documentation);
a file that another process has open cannot be replaced (MoveFileEx, ERROR_SHARING_VIOLATION).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")
_msvcrt: Any = import_module("msvcrt")
# Seconds for which another process may have a file open that is to be replaced, or replace one that is to be read.
_PATIENCE = 5.0
# EDEADLOCK of Windows' C runtime: `locking` has tried for ten seconds.
_STILL_HELD = 36


def base() -> Path:
    roaming = os.environ.get("APPDATA")
    return Path(roaming) if roaming else Path.home() / "AppData" / "Roaming"


def protect(path: Path, mode: int) -> None:
    """Nothing: permission bits mean nothing here, and the directory's own list lets in its user alone."""


def replace(source: Path, target: Path) -> None:
    _patiently(lambda: source.replace(target))


def read(path: Path) -> str:
    return _patiently(lambda: path.read_text(encoding="utf-8"))


def lock(descriptor: int) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    while True:
        try:
            _msvcrt.locking(descriptor, _msvcrt.LK_LOCK, 1)
            return
        except OSError as error:
            # Whoever holds the lock may wait for a Keycloak that restarts.
            if error.errno != _STILL_HELD:
                raise


def unlock(descriptor: int) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    _msvcrt.locking(descriptor, _msvcrt.LK_UNLCK, 1)


def _patiently(act: Callable[[], _T]) -> _T:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return act()
        except PermissionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
