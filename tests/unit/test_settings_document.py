"""A settings file that no settings can be made of ends in one message that names the file and the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from problems import StackError
from settings import PROJECT, from_engine, from_files
from settings.document import too_deep


def refused(text: str, root: Path) -> str:
    (root / "Pulumi.test.yaml").write_text(f"config:\n{text}")
    with pytest.raises(StackError) as error:
        from_files("test", root)
    return str(error.value)


def laughs(times: int, deep: int, merged: bool = False) -> str:
    """Aliases of aliases: each level stands for the one before it, so many times."""
    lines = ["  pulumi:l0: &l0 {a: 1}"]
    for level in range(1, deep):
        again = ", ".join([f"*l{level - 1}"] * times)
        lines.append(f"  pulumi:l{level}: &l{level} " + (f"{{<<: [{again}]}}" if merged else f"[{again}]"))
    return "\n".join(lines)


WRONG = {
    "an alias in what it names": (f"  {PROJECT}:mlflow: &a {{env: *a}}", "no alias of what it stands in", "line 2"),
    "a merge of what it is in": (f"  {PROJECT}:mlflow: &a {{<<: *a}}", "no alias of what it stands in", "line 2"),
    "brackets": (f"  {PROJECT}:mlflow: {'[' * 5000}", "at most 100 levels", "line 2"),
    "indentation": ("\n".join(f"{' ' * level}a:" for level in range(1, 1500)), "at most 100 levels", "line 1"),
    "a number without end": (f"  {PROJECT}:mlflow: {{port: {'9' * 5000}}}", "expected YAML's int", "line 2"),
    "a number without end in hex": (f"  {PROJECT}:mlflow: {{port: 0x{'f' * 5000}}}", "fewer digits", "line 2"),
    "a month that is none": (
        f"  {PROJECT}:mlflow:\n    url: 2020-13-45",
        "expected YAML's timestamp",
        "line 3, column 10",
    ),
    "a number that is none": (f"  {PROJECT}:mlflow: {{port: !!int ''}}", "expected YAML's int", "line 2"),
    "a date as key": (f"  {PROJECT}:mlflow: {{env: {{2020-01-01: x}}}}", "expected keys that are text", "line 2"),
    "nine aliases, twelve deep": (laughs(9, 12), "at most 100000 values", "line 7"),
    "nine merges, twelve deep": (laughs(9, 12, merged=True), "at most 100000 values", "line"),
}


@pytest.mark.parametrize(("text", "expected", "line"), WRONG.values(), ids=list(WRONG))
def test_what_cannot_be_read_is_told_with_its_place(text: str, expected: str, line: str, tmp_path: Path) -> None:
    told = refused(text, tmp_path)
    assert told.startswith("Pulumi.test.yaml cannot be read.\n  - Pulumi.test.yaml: ")
    assert expected in told
    assert line in told
    assert len(told) < 300


@pytest.mark.parametrize("broken", ['"hunter2', "{hunter2: [}", "&a [hunter2, *a]"])
def test_what_cannot_be_read_is_not_shown(broken: str, tmp_path: Path) -> None:
    assert "hunter2" not in refused(f"  {PROJECT}:redis: {{external: {{host: h, password: {broken}}}}}", tmp_path)


def test_an_alias_that_stands_a_few_times_is_read(tmp_path: Path) -> None:
    text = f"config:\n  pulumi:x: &a {{A: '1'}}\n  {PROJECT}:mlflow: {{env: *a}}\n{laughs(3, 5)}\n"
    (tmp_path / "Pulumi.test.yaml").write_text(text)
    assert from_files("test", tmp_path).mlflow.env == {"A": "1"}


@pytest.mark.parametrize(
    "value", ["[" * 100_000, "[" * 300 + "]" * 300, '{"port": ' + "9" * 5000 + "}"], ids=["cut", "deep", "digits"]
)
def test_the_engines_values_are_refused_where_they_stand(value: str) -> None:
    with pytest.raises(StackError, match=r"mlflow-sso:mlflow = \[secret\]: expected keys with values"):
        from_engine({f"{PROJECT}:mlflow": value}, "test")


def test_levels_are_counted_whatever_they_are_of() -> None:
    assert not too_deep(json.loads('{"a": [{"b": 1}]}'))
    assert too_deep(json.loads('{"a": [' * 60 + "]}" * 60))
