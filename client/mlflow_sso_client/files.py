"""Files of this user alone, on every system: where they are, how they are written, and how processes take turns.

What differs between systems is in `_posix` and `_windows`, which have the same functions.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.words import Once

NAME = "mlflow-sso"
CONFIG = "XDG_CONFIG_HOME"
once = Once()


class System(Protocol):
    """What a system does in its own way."""

    def base(self) -> Path:
        """Where programs keep the configuration of this user."""
        ...

    def protect(self, path: Path, mode: int) -> None:
        """Take away what others may do with a file or directory."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Put a file in the place of another, in one step."""
        ...

    def read(self, path: Path) -> str:
        """The text of a file that another process may be replacing."""
        ...

    def lock(self, descriptor: int) -> None:
        """Wait until no other process holds the file, and hold it."""
        ...

    def unlock(self, descriptor: int) -> None:
        """Let go of the file."""
        ...


def system() -> System:
    """The functions of the system that this runs on."""
    name = "_windows" if sys.platform == "win32" else "_posix"
    return cast(System, import_module(f"mlflow_sso_client.{name}"))


def config_home() -> Path:
    """The directory of this project's configuration: XDG_CONFIG_HOME wins on every system (XDG Base Directory).

    Raises RefusedError where there is none, as in a container whose user has no name and no HOME.
    """
    try:
        return (chosen_home(CONFIG) or system().base()) / NAME
    except RuntimeError:
        raise RefusedError("no home directory is known here", f"set HOME, or {CONFIG}") from None


def chosen_home(variable: str) -> Path | None:
    """What a variable of the XDG Base Directory Specification names; it says to ignore a path that is relative.

    Whoever set that path would look for logins and secrets there, so it is told.
    """
    value = os.environ.get(variable, "")
    if value and not Path(value).is_absolute():
        text = f"{NAME}: {variable}={value} is ignored: it is no absolute path, and files are where they are without it"
        once.say(f"{variable}={value}", f"{text}; set it to an absolute path, or unset it")
        return None
    return Path(value) if value else None


def remedy(error: OSError, variable: str, home: Path) -> str:
    """What to do where an error is about a directory of this user that cannot be written to; empty for any other.

    home: the directory; variable: what chooses another.
    """
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    about = path is not None and (path == home or home in path.parents or path in home.parents)
    return f"; set {variable} to a place that can be written to" if about and not os.access(home, os.W_OK) else ""


def private_directory(path: Path) -> Path:
    """A directory that nobody else may look into."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    system().protect(path, 0o700)
    return path


def write_private(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a file of this user alone in one step: a reader sees the old text or the new one, never half of it.

    replace: False leaves a file that is there already, or that another process makes at the same time, as it is.
    """
    private_directory(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            target.write(text)
        if replace:
            system().replace(Path(name), path)
        else:
            with suppress(FileExistsError):
                os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """The text of a file that `write_private` wrote. Raises OSError, and UnicodeDecodeError."""
    return system().read(path)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file; other processes that ask for it wait."""
    private_directory(path.parent)
    with path.open("a") as file:
        system().lock(file.fileno())
        try:
            yield
        finally:
            # Closing is not enough: a process forked meanwhile has the same open file.
            system().unlock(file.fileno())
