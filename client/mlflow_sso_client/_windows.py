"""Files on Windows, where a user's profile is closed to others by itself.

Facts: `msvcrt.locking` locks bytes from the current position on and gives up after ten seconds (Python documentation);
a file that another process has open cannot be replaced (MoveFileEx, ERROR_SHARING_VIOLATION).
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

_msvcrt: Any = import_module("msvcrt")
# Seconds for which another process may have a file open that is to be replaced.
_PATIENCE = 5.0


def base() -> Path:
    roaming = os.environ.get("APPDATA")
    return Path(roaming) if roaming else Path.home() / "AppData" / "Roaming"


def protect(path: Path, mode: int) -> None:
    """Nothing: permission bits mean nothing here, and the directory's own list lets in its user alone."""


def replace(source: Path, target: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def lock(descriptor: int) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    while True:
        try:
            _msvcrt.locking(descriptor, _msvcrt.LK_LOCK, 1)
            return
        except OSError:
            # It gave up after ten seconds; whoever holds the lock may wait for a Keycloak that restarts.
            continue


def unlock(descriptor: int) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    _msvcrt.locking(descriptor, _msvcrt.LK_UNLCK, 1)
