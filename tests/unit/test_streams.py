"""Standard streams that are closed, full, or read by nobody: one line at most, an exit code, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings import PROJECT, ROOT
from tests.fakes import FakeDocker

# Data of each kind: help, a small document, one that is larger than any buffer, and a list that ends in exit code 1.
WRITERS = ("--help", "outputs", "outputs -o json", "outputs -o json --stack large", "verify-clean")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDocker(tmp_path / "docker", monkeypatch).engine()
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    for stack, length in (("dev", 1), ("large", 100_000)):
        folder = tmp_path / PROJECT / stack
        folder.mkdir(parents=True)
        (folder / "outputs.json").write_text(json.dumps({"mlflow_url": "x" * length, "client_id": "mlflow"}))


def stackctl(command: str, redirection: str) -> subprocess.CompletedProcess[str]:
    words = f'exec "$0" -m stackctl {command} {redirection}'
    return subprocess.run(("sh", "-c", words, sys.executable), cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize(
    ("redirection", "reason"), [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_data_that_cannot_be_written_are_one_line(command: str, redirection: str, reason: str) -> None:
    done = stackctl(command, redirection)
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stderr.splitlines() if "of stack" not in line] == [f"error: {reason}"]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("command", WRITERS)
def test_a_reader_that_has_gone_is_told_nothing(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = (sys.executable, "-m", "stackctl", *command.split())
    done = subprocess.run(words, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "of stack" not in line] == []


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("redirection", ["<&-", "2>&-", "2> /dev/full", "<&- >&- 2>&-", "> /dev/full 2>&1"])
@pytest.mark.parametrize("command", ["cleanup", "verify-clean", "nosuch"])
def test_no_stream_ends_in_a_traceback(command: str, redirection: str) -> None:
    done = stackctl(command, redirection)
    assert done.returncode in (0, 1, 2)
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.usefixtures("machine")
def test_what_writes_no_data_needs_no_standard_output(tmp_path: Path) -> None:
    for redirection in ("> /dev/full", ">&-", "<&-"):
        done = stackctl(f"render --out {tmp_path / 'out'}", redirection)
        assert (done.returncode, "Wrote" in done.stderr) == (0, True), done.stderr
