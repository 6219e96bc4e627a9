"""The lines of versions of mlflow-oidc-auth that can be run, by their major version: one row each."""

from __future__ import annotations

from collections.abc import Mapping

from components.plugin.before7 import BEFORE_7
from components.plugin.profile import PluginLine, PluginProfile
from components.plugin.since7 import SINCE_7

LINES: Mapping[int, PluginProfile] = {11: SINCE_7}
# Lines that no stack runs, and that the doctor may meet.
_MET: Mapping[int, PluginLine] = dict.fromkeys(range(1, 7), BEFORE_7)


def plugin_profile(version: str) -> PluginProfile:
    """The profile of a plugin version that `settings` has accepted."""
    return LINES[int(version.partition(".")[0])]


def newest_line() -> PluginLine:
    """What is taken for granted where nothing says which version runs: MLflow itself tells nobody."""
    return LINES[max(LINES)]


def line_seen(version: str) -> PluginLine:
    """The line of a version that was seen running, whoever made it; the newest where it is of none."""
    major = version.partition(".")[0]
    known = {**_MET, **LINES}.get(int(major)) if major.isdecimal() else None
    return known or newest_line()
