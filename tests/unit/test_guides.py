"""The commands that the operator's guides name exist, with the options they are given there."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from settings import ROOT
from stackctl.cli import app

GUIDES = ROOT / "docs" / "guides"
# In a block of its own line, or between backticks.
COMMAND = re.compile(r"(?:^|`)stackctl ([a-z][^`\n#]*)", re.MULTILINE)


def named(guide: str) -> list[list[str]]:
    return [shlex.split(found) for found in COMMAND.findall((GUIDES / f"{guide}.md").read_text())]


@pytest.mark.parametrize("guide", ["troubleshooting", "cleanup"])
def test_every_command_of_a_guide_can_be_given(guide: str) -> None:
    commands = typer.main.get_command(app)
    assert len(named(guide)) > 3
    for name, *args in named(guide):
        found = commands.commands[name]  # type: ignore[attr-defined]
        # Parses and checks the arguments as the command line does, and runs nothing.
        found.make_context(name, args)
