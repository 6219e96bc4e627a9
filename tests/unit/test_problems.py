"""What is told as wrong cannot act on the terminal that shows it, and is short enough to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from problems import Problem, StackError
from settings import PROJECT, from_files


@pytest.mark.parametrize("sign", ["\x1b[31m", "\u202e", "\u200f", "\x00", "\x9b", "\ud800"])
def test_nothing_that_acts_on_a_terminal_is_told(sign: str) -> None:
    told = str(StackError(f"a{sign}b", [Problem(f"key{sign}", f"value{sign}", f"expected{sign}")]))
    assert told.replace("\n", "").isprintable()
    escaped = sign.encode("unicode_escape", "surrogatepass").decode()
    assert told == f"a{escaped}b\n  - key{escaped} = value{escaped}: expected{escaped}"


def test_a_place_and_a_value_make_no_line_of_their_own() -> None:
    assert str(Problem("a\n  - b", "c\nd", "expected e")) == "a\\n  - b = c\\nd: expected e"


def test_a_long_value_is_told_by_its_beginning() -> None:
    told = str(Problem("k" * 100_000, "v" * 100_000, "expected less"))
    assert told == f"{'k' * 500}... = {'v' * 200}...: expected less"
    assert str(Problem("k", "v" * 200, "x")) == f"k = {'v' * 200}: x"


def test_keys_of_a_file_are_told_without_what_they_would_do(tmp_path: Path) -> None:
    text = f'config:\n  "{PROJECT}:\\e[31m\\nx": 1\n  "\\u202eaws": {"x" * 1000}\n'
    (tmp_path / "Pulumi.test.yaml").write_text(text)
    with pytest.raises(StackError) as error:
        from_files("test", tmp_path)
    told = str(error.value)
    assert told.replace("\n", "").isprintable()
    assert f"{PROJECT}:\\x1b[31m\\nx = " in told
    assert "\n  - \\u202eaws = " in told
    assert len(told) < 2000
