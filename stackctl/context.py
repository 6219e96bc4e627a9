"""What every command needs to know of the stack it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from components.rules import RULES
from components.stack import StackSpec, stack_spec
from problems import Problem, StackError
from settings import PROJECT, ROOT, Platform, Settings, from_files
from stackctl.directories import state_home

# Pulumi's own rule for stack names, and Docker's for the first character of a container's.
_STACK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Context:
    """One stack: its name, its settings file and what the two describe."""

    stack: str
    config_file: Path
    settings: Settings
    spec: StackSpec

    @property
    def directory(self) -> Path:
        """Where this stack's rendered files and secrets are kept."""
        return stack_directory(self.stack)

    @property
    def physical(self) -> str:
        return f"{PROJECT}-{self.stack}"


def stack_directory(stack: str) -> Path:
    return state_home() / check_name(stack)


def check_name(stack: str) -> str:
    if not _STACK.fullmatch(stack):
        expected = "expected letters, digits, hyphens, underscores and dots, the first a letter or digit"
        raise StackError("That cannot be the name of a stack.", [Problem("stack", stack, expected)])
    return stack


def load(
    stack: str, config_file: Path | None = None, *, encrypted: bool = False, platform: Platform | None = None
) -> Context:
    """Read and check a stack's settings, for another `platform` if given. Raises StackError with all that is wrong."""
    check_name(stack)
    if config_file is not None and not config_file.exists():
        # Which stacks there are is no answer: a file was asked for, whatever the stack's name is.
        problem = Problem("--config-file", str(config_file), "expected a file that is there")
        raise StackError("The settings file is not there.", [problem])
    path = config_file or ROOT / f"Pulumi.{stack}.yaml"
    settings = from_files(stack, file=path, encrypted=encrypted, platform=platform, rules=RULES)
    return Context(stack, path, settings, stack_spec(settings))
