"""Options that every command has alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from settings import PROJECT
from stackctl.cli import app


@pytest.mark.parametrize(
    "command",
    ["login", "revoke", "tokens create", "tokens list", "tokens delete", "sessions list", "sessions revoke",
     "users enable", "users ask-terms"],
)  # fmt: skip
def test_every_command_that_speaks_to_a_stack_is_told_which_in_the_same_words(command: str) -> None:
    found: Any = typer.main.get_command(app)
    for word in command.split():
        found = found.commands[word]
    options = {option.opts[0]: (option.help, option.default) for option in found.params if option.opts[0] in ABOUT}
    assert options == ABOUT


def test_the_version_is_that_of_the_project(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--version"])
    code = f"from importlib.metadata import version; print(version({PROJECT!r}))"
    # As it was installed, away from what the tests put on their path.
    installed = subprocess.run((sys.executable, "-c", code), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.exit_code, done.stdout) == (0, installed.stdout)


ABOUT = {
    "--stack": ("The stack's name.", "dev"),
    "--url": ("MLflow's URL, where the stack's state is not on this machine.", None),
    "--issuer": ("The issuer; default: the one MLflow's own login names.", None),
    "--ca-bundle": ("PEM file of CAs to trust.", None),
    "--config-file": ("Settings; default Pulumi.<stack>.yaml.", None),
}
