"""Where the command line keeps its files for this user (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from pathlib import Path

from settings import PROJECT


def state_home() -> Path:
    """What is lost with it: the secrets of stacks. It may not be there yet."""
    return _home("XDG_STATE_HOME", ".local/state")


def cache_home() -> Path:
    """What can be made or downloaded again. It is there."""
    folder = _home("XDG_CACHE_HOME", ".cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _home(variable: str, default: str) -> Path:
    # An empty variable counts as one that is not set.
    return Path(os.environ.get(variable) or Path.home() / default) / PROJECT
