"""Files on Linux and macOS."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from mlflow_sso_client.files import NAME, once

# By name, so that a type checker on another system has nothing to say about it.
_fcntl: Any = import_module("fcntl")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


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
        if found.st_uid not in (me, 0) and me != 0 and not _keeps_others_out(path.parent, me):
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
        if found.st_mode & stat.S_IWOTH:
            raise PermissionError(errno.EPERM, "everybody may write to it; `chmod 600` if it is yours", str(path))
        if found.st_uid == me and found.st_mode & _OTHERS:
            _close(file.fileno(), path, stat.S_IMODE(found.st_mode))
        return file.read()


def _keeps_others_out(directory: Path, me: int) -> bool:
    """Whether nobody else can have put a file into a directory: some volumes show one's own as another's."""
    found = directory.stat()
    return found.st_uid in (me, 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _close(descriptor: int, path: Path, mode: int) -> None:
    """Takes away what others may do, as Kubernetes lets a group do it with each file of a volume (fsGroup)."""
    # A read-only volume keeps the mode that it has, and so do some that hold no modes.
    with suppress(OSError):
        os.fchmod(descriptor, mode & ~_OTHERS)
        if not os.fstat(descriptor).st_mode & _OTHERS:
            text = f"{path} was open to others (mode {mode:o}), and is no longer: a login is one user's"
            once.say(text, f"{NAME}: {text}")


def lock(descriptor: int) -> None:
    _fcntl.flock(descriptor, _fcntl.LOCK_EX)


def unlock(descriptor: int) -> None:
    _fcntl.flock(descriptor, _fcntl.LOCK_UN)
