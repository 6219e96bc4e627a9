"""What README and guides say to write and to run: the settings are accepted, the commands exist with their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from settings import ROOT
from stackctl.cli import app
from stackctl.context import load
from tests.samples import write_pem

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


def test_the_readmes_settings_are_a_stack_that_somebody_can_log_in_to_from_elsewhere(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(config:.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    pem = write_pem(tmp_path)
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(text.replace("tls/login.crt", pem["certificate"]).replace("tls/login.key", pem["key"]))
    found = load("prod", path)
    assert [user.username for user in found.spec.realm.users if user.groups]
    assert found.settings.docker.bind_address == "0.0.0.0"
