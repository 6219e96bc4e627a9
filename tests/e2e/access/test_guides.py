"""Every example of the guides on access is run, in order, as it stands.

The word after a block's language says how: `run` for a shell, `device` and `browser` for a command that waits
for a person, `file=NAME` for a file that later blocks use. A block of shell or Python without one fails the test.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from settings import ROOT
from tests.e2e.people import Person, approve

# One worker of pytest-xdist, and so one stack, for all of these.
pytestmark = pytest.mark.xdist_group("access")
GUIDES = ROOT / "docs" / "guides"
BLOCK = re.compile(r"^```(\w*)[ ]?(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The address that the guides write, and that readers have by default.
ADDRESS = "http://localhost:5000"


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, how it is to be run, its text and where it stands."""

    language: str
    how: str
    text: str
    line: int


def blocks(guide: str) -> list[Block]:
    text = (GUIDES / f"{guide}.md").read_text()
    return [Block(m[1], m[2], m[3], text[: m.start()].count("\n") + 1) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize("guide", ["tokens", "ci-jobs", "revoking"])
def test_every_example_works(guide: str, alice: Person, bob: Person, tmp_path: Path) -> None:
    # Bob has been to MLflow, as the guides take for granted.
    bob.log_in()
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "password.txt").write_text(alice.password + "\n")
    # Opens no window; the address is read from what the command says.
    env = {**alice.environment, "BROWSER": "/bin/true"}
    ran = 0
    for block in blocks(guide):
        where = f"{guide}.md:{block.line}"
        text = block.text.replace(ADDRESS, alice.stack.outputs()["mlflow_url"])
        if block.how.startswith("file="):
            (desk / block.how.removeprefix("file=")).write_text(text)
        elif block.how in ("device", "browser"):
            approve(tuple(shlex.split(text)), env, alice.name, alice.password)
        elif block.how == "run":
            _shell(_script(block.language, text), env, desk, where)
        else:
            assert block.language in ("", "yaml"), f"{where}: say how this block is to be run"
            continue
        ran += 1
    assert ran > 3


def _script(language: str, text: str) -> str:
    """The commands of a block; of a CI job those that its runner would run."""
    if language == "sh":
        return text
    (job,) = yaml.safe_load(text).values()
    variables = [f"export {name}={shlex.quote(value)}" for name, value in job["variables"].items()]
    # The CI's own file variable.
    return "\n".join(["export CI_SECRET=ci-secret.txt", *variables, *job["script"], *job["after_script"]])


def _shell(script: str, env: dict[str, str], directory: Path, where: str) -> None:
    done = subprocess.run(
        ("bash", "-euo", "pipefail", "-c", script), cwd=directory, env=env, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{where} exited {done.returncode}:\n{script}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{where}:\n{done.stderr}"
