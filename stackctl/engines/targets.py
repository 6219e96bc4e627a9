"""The operator's side of each platform: how a stack is checked, rendered, run and removed there without Pulumi."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from platforms.inventory import Inventory
from platforms.places import Stores
from problems import Problem
from settings import Platform, Settings
from stackctl.context import Context
from stackctl.engines.compose import ComposeTarget
from stackctl.engines.kubectl import KubectlTarget


class Target(Protocol):
    """One platform as its operator uses it without Pulumi.

    Methods that speak to the platform also raise its own error: DockerError or KubernetesError.
    """

    @property
    def tool(self) -> str:
        """The command that runs rendered files, as people call it."""
        ...

    @property
    def plugin(self) -> str:
        """Pulumi's own name for the platform's provider."""
        ...

    @property
    def engines(self) -> frozenset[str]:
        """The values of ENGINE that mean this tool."""
        ...

    def preflight(self, context: Context) -> list[Problem]:
        """What is in the way of this stack there. Nothing is made."""
        ...

    def stores(self, context: Context) -> Stores:
        """The data of this stack there."""
        ...

    def deliver(self, context: Context, images: Collection[str]) -> None:
        """Bring images that were built here to where the platform finds them. Raises StackError without a way."""
        ...

    def open_routes(self, context: Context) -> None:
        """See to it that the stack's URLs on this machine lead to it, from now on and in the background."""
        ...

    def settle_routes(self, context: Context) -> None:
        """Return once the URLs on this machine lead to what is there now, or after a while."""
        ...

    def close_routes(self, stack: str) -> None:
        """Undo `open_routes`. No route is no error."""
        ...

    def keep_routes(self, context: Context) -> None:
        """The same in the foreground, until interrupted. Raises StackError where nothing has to be opened."""
        ...

    def write(self, context: Context, directory: Path) -> dict[str, str]:
        """Write the stack as files; returns its secrets by name. Raises StackError for what they cannot say."""
        ...

    def written(self, directory: Path) -> str:
        """What `write` leaves in a directory, for people."""
        ...

    def changes(self, context: Context) -> list[str]:
        """What `up` would make, change and remove of a stack that is there, a line each. Nothing is written."""
        ...

    def up(self, context: Context) -> None:
        """Bring the stack up from files and wait for it. Raises StackError before anything is changed."""
        ...

    def owns(self, stack: str) -> bool:
        """Whether `up` of this target brought the stack up on this machine. Asks the platform nothing."""
        ...

    def disown(self, stack: str) -> None:
        """Forget that the stack is up, and keep its secrets: data that was left knows them."""
        ...

    def inventory(self, stack: str) -> Inventory:
        """What finds the objects of a stack that was brought up from here."""
        ...

    def destroy(self, stack: str) -> None:
        """Remove the stack with its data, protected or not, and what is kept of it here."""
        ...

    def kept(self, stack: str) -> dict[str, str]:
        """The stack's secrets by name, in clear, as far as this machine has them."""
        ...

    def home(self, stack: str) -> Path:
        """Where the files of a stack are kept on this machine."""
        ...

    def outputs(self, stack: str) -> dict[str, Any]:
        """The outputs of `up` with their secrets in clear. Raises StackError for a damaged file."""
        ...


TARGETS: Mapping[Platform, Target] = {Platform.DOCKER: ComposeTarget(), Platform.KUBERNETES: KubectlTarget()}


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
