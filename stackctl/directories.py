"""Where the command line keeps its files for this user (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mlflow_sso_client import streams
from mlflow_sso_client.errors import RefusedError
from mlflow_sso_client.files import CONFIG, chosen_home, config_home, remedy

from problems import Problem, StackError
from settings import PROJECT

STATE, CACHE = "XDG_STATE_HOME", "XDG_CACHE_HOME"


def state_home() -> Path:
    """What is lost with it: the secrets of stacks. It may not be there yet.

    Raises StackError where a relative one holds some, as older versions made: others would be made elsewhere.
    """
    value = os.environ.get(STATE, "")
    if value and not Path(value).is_absolute() and (Path(value) / PROJECT).exists():
        expected = f"expected an absolute path; move {Path(value) / PROJECT}, which holds stacks, to where it names"
        raise StackError("The secrets of stacks are not looked for there any more.", [Problem(STATE, value, expected)])
    return _home(STATE, ".local/state")


def cache_home() -> Path:
    """What can be made or downloaded again. It is there."""
    folder = _home(CACHE, ".cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def told(error: OSError) -> str:
    """What the system refused: where, why, and which variable chooses another place, if it is a directory of these."""
    more = ""
    with suppress(RefusedError, StackError):
        homes = {STATE: _home(STATE, ".local/state"), CACHE: _home(CACHE, ".cache"), CONFIG: config_home()}
        more = next(filter(None, (remedy(error, variable, home) for variable, home in homes.items())), "")
    return f"{streams.told(error)}{more}"


def _home(variable: str, default: str) -> Path:
    # An empty variable counts as one that is not set.
    try:
        return (chosen_home(variable) or Path.home() / default) / PROJECT
    except RuntimeError:
        problem = Problem(variable, "", "expected an absolute path, or HOME to be set")
        raise StackError("No home directory is known here.", [problem]) from None
