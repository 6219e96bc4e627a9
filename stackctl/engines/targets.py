"""The operator's side of each platform: how a stack is checked, rendered, run and removed there without Pulumi."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from problems import Problem
from settings import Platform, Settings
from stackctl.context import Context
from stackctl.engines import compose, kubectl


class Target(Protocol):
    """TOOL: the command that runs rendered files. PLUGIN: Pulumi's own. ENGINES: values of ENGINE that mean TOOL."""

    TOOL: str
    PLUGIN: str
    ENGINES: frozenset[str]

    def preflight(self, context: Context) -> list[Problem]: ...
    def deliver(self, context: Context, images: Collection[str]) -> None: ...
    def open_routes(self, context: Context) -> None: ...
    def keep_routes(self, context: Context) -> None: ...
    def write(self, context: Context, directory: Path) -> dict[str, str]: ...
    def written(self, directory: Path) -> str: ...
    def up(self, context: Context) -> None: ...
    def owns(self, stack: str) -> bool: ...
    def disown(self, stack: str) -> None: ...
    def destroy(self, stack: str) -> None: ...
    def kept(self, stack: str) -> dict[str, str]: ...
    def realm(self, stack: str) -> str: ...
    def outputs(self, stack: str) -> dict[str, Any]: ...


TARGETS: Mapping[Platform, Target] = {Platform.DOCKER: compose, Platform.KUBERNETES: kubectl}


def platform_of(stack: str, settings: Settings | None, asked: Platform | None = None) -> Platform:
    """Where a stack is: as asked, by its settings, or by what this machine keeps of it; else on Docker."""
    if asked is not None:
        return asked
    if settings is not None:
        return settings.platform
    return next((platform for platform, target in TARGETS.items() if target.owns(stack)), Platform.DOCKER)


def owner(stack: str) -> Target | None:
    """What brought this stack up from rendered files here, if anything did."""
    return next((target for target in TARGETS.values() if target.owns(stack)), None)
