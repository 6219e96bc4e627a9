"""Files on Linux and macOS."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
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
    # Without O_NONBLOCK a pipe under that name would be waited for.
    with open(path, encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found, me = os.fstat(file.fileno()), os.geteuid()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if found.st_uid not in (me, 0) and me != 0:
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
        if found.st_uid == me and found.st_mode & 0o077:
            if found.st_mode & 0o022:
                raise PermissionError(errno.EPERM, "others may write to it", str(path))
            # A read-only volume keeps the mode that it has.
            with suppress(OSError):
                os.fchmod(file.fileno(), 0o600)
        return file.read()


def lock(descriptor: int) -> None:
    _fcntl.flock(descriptor, _fcntl.LOCK_EX)


def unlock(descriptor: int) -> None:
    _fcntl.flock(descriptor, _fcntl.LOCK_UN)
