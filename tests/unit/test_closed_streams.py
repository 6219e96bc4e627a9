"""Both commands with standard streams that are closed or full: one line, a code that is not 0, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow_sso_client import words
from mlflow_sso_client.words import Once

from tests.unit.fakes import kept_login

COMMANDS = pytest.mark.parametrize("module", ["mlflow_sso_client", "stackctl"])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that is good, and one to a server that is not there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("STACK", "MLFLOW_TRACKING_URI", "PYTHONDEVMODE"):
        monkeypatch.delenv(name, raising=False)
    kept_login("http://127.0.0.1:1", "http://127.0.0.1:1/realms/x", refresh_token="")


def run(module: str, words: str, streams: str, **more: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command in a shell that redirects its streams."""
    program = f"exec '{sys.executable}' -m {module} {words} {streams}"
    done = subprocess.run(
        ("sh", "-c", program), capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **more}
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@COMMANDS
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["token", "env", "--help"])
@pytest.mark.parametrize("stream", [">&-", "> /dev/full"])
def test_data_that_cannot_be_written_is_no_success(stream: str, command: str, unbuffered: str, module: str) -> None:
    code, _, said = run(module, command, stream, PYTHONUNBUFFERED=unbuffered)
    assert code == 1
    (line,) = [line for line in said.splitlines() if not line.startswith("The token ends in")]
    assert line.startswith("error: ")


@COMMANDS
def test_a_closed_standard_input_holds_no_password(module: str) -> None:
    words = "login --url http://127.0.0.1:1 --issuer http://127.0.0.1:1/realms/x --username bob --password-stdin"
    code, _, said = run(module, words, "<&-")
    assert code != 0
    assert said == "error: standard input holds no line with the password; pipe it in\n"


@COMMANDS
@pytest.mark.parametrize("stream", ["2>&-", "2> /dev/full"])
def test_an_error_that_cannot_be_told_is_no_success(stream: str, module: str) -> None:
    code, written, _ = run(module, "token --stack nope", stream)
    assert code in (1, 3)
    assert written == ""
    assert run(module, "token", stream)[:2] == (0, "good\n"), "nothing had to be said"


@COMMANDS
def test_no_stream_at_all(module: str) -> None:
    assert run(module, "token", "<&- >&- 2>&-")[0] == 1


def test_a_program_goes_on_where_nothing_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that uses a login does not end because its disk is full."""

    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(words, "say", full)
    Once().say("key", "text")
