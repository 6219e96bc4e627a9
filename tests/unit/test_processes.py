"""How other programs are run: what is told when one fails, and what never is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from platforms.processes import NoAnswerError, NotStartedError, ProcessError, run, show
from settings import ROOT

SECRET = "hunter2-of-the-test"


def python(code: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *words)


def test_a_program_that_ends_well_gives_its_output() -> None:
    done = run(*python("import sys; print('out'); print('a warning', file=sys.stderr)"))
    assert (done.code, done.checked(), done.errors) == (0, "out\n", "a warning\n")


def test_a_failure_is_told_by_the_last_line_of_its_errors() -> None:
    done = run(*python("import sys; print('out'); sys.exit('first\\nlast')"))
    assert (done.code, done.last(), done.last(2)) == (1, "last", "first\nlast")
    with pytest.raises(ProcessError, match=r"^last$"):
        done.checked()


def test_a_failure_without_a_word_is_told_by_its_exit_code() -> None:
    with pytest.raises(ProcessError, match=r"^the tool exited 7$"):
        run(*python("raise SystemExit(7)"), what="the tool").checked()


def test_where_there_are_no_errors_the_output_says_why() -> None:
    assert run(*python("print('reason'); raise SystemExit(1)")).last() == "reason"


def test_what_is_merged_keeps_its_order() -> None:
    code = "import sys; print('1', flush=True); print('2', file=sys.stderr, flush=True); print('3')"
    assert run(*python(code), merged=True).output == "1\n2\n3\n"


def test_a_program_that_is_not_there_is_named_without_its_arguments() -> None:
    with pytest.raises(NotStartedError, match=r"^the no-such-program command is not installed$"):
        run("no-such-program", SECRET, variables={"PASSWORD": SECRET}, given=SECRET)
    with pytest.raises(NotStartedError, match=r"^the no-such-program command is not installed$"):
        show("/nowhere/no-such-program", SECRET)


def test_a_program_that_this_user_may_not_start_is_named(tmp_path: Path) -> None:
    program = tmp_path / "closed"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    with pytest.raises(NotStartedError, match=r"^the closed command cannot be started "):
        run(str(program))


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(NoAnswerError, match=r"^docker info gave no answer in 0 s$"):
        run(*python("import time; time.sleep(60)"), what="docker info", timeout=0.2)


@pytest.mark.parametrize("merged", [True, False])
def test_no_secret_that_a_program_repeats_is_told(merged: bool) -> None:
    longer = f"{SECRET}-longer"
    code = "import os, sys; sys.exit(f\"login {os.environ['ONE']} {os.environ['TWO']} failed: {sys.stdin.read()}\")"
    variables = {"ONE": SECRET, "TWO": longer}
    done = run(*python(code), variables=variables, given=SECRET, hidden=(SECRET, longer, ""), merged=merged)
    assert done.last() == "login [secret] [secret] failed: [secret]"


def test_answers_are_left_as_they_are() -> None:
    """What a program was asked for may hold a secret by chance; only what it says for people is for people."""
    assert run(*python("print('hunter2-of-the-test')"), hidden=(SECRET,)).output == f"{SECRET}\n"


def test_nothing_waits_for_an_input() -> None:
    """A program that asks a question would wait for ever; its question has no answer instead."""
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert run(*python("import sys; print(repr(sys.stdin.read()))"), timeout=20).output == "''\n"
    finally:
        os.dup2(kept, 0)
        for end in (reading, writing, kept):
            os.close(end)


def test_bytes_that_are_no_text_are_no_failure() -> None:
    assert run(*python("import sys; sys.stdout.buffer.write(b'a\\xffb')")).output == "a\ufffdb"


def test_variables_are_added_to_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "1")
    code = "import os; print(os.environ['THERE'], os.environ['MORE'], os.getcwd())"
    assert run(*python(code), variables={"MORE": "2"}, directory=tmp_path).output == f"1 2 {tmp_path}\n"


def test_what_is_shown_goes_to_standard_error_and_never_into_data() -> None:
    code = "from platforms.processes import show; import sys; print(show(sys.executable, '-c', 'print(1); exit(3)'))"
    done = subprocess.run(python(code), cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("3\n", "1\n")


def test_every_program_is_run_from_one_place() -> None:
    rooms = ("components", "platforms", "settings", "stackctl")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert files
    calls = re.compile(r"subprocess\.(run|call|check_call|check_output)\b|os\.(system|popen)\b")
    users = [str(path.relative_to(ROOT)) for path in files if calls.search(path.read_text())]
    assert users == ["platforms/processes.py"], (
        "run programs by platforms.processes: it says what goes wrong, and hides secrets"
    )
