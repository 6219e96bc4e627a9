"""The shape of the tree: which room may import which, and how large a room, a file and a function may be."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from settings import ROOT

# From the ground up: a room imports what stands below it, and its own.
FLOORS = ("mlflow_sso", "mlflow_sso_client", "problems", "settings", "platforms", "components", "stackctl")
# The Pulumi program must run without what people install beside it.
NOT_FOR = {("settings", "mlflow_sso_client"), ("platforms", "mlflow_sso_client"), ("components", "mlflow_sso_client")}
LINES_OF_A_FILE = 420
LINES_OF_A_FUNCTION = 60
FILES_OF_A_ROOM = 20


@cache
def tracked() -> tuple[Path, ...]:
    """The files of the tree, those that are not committed yet as well."""
    words = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return tuple(Path(name) for name in names if name and (ROOT / name).is_file())


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.with_suffix("").parts
    # What is installed from a folder of its own.
    for folder in (("client",), ("images", "mlflow", "app")):
        parts = parts[len(folder) :] if parts[: len(folder)] == folder else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {
        name_of(path): path for path in tracked() if path.suffix == ".py" and name_of(path).partition(".")[0] in FLOORS
    }


def imports(path: Path) -> Iterator[str]:
    """The modules of the tree that a file imports, wherever in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@cache
def graph() -> dict[str, frozenset[str]]:
    return {
        name: frozenset(other for other in imports(path) if other in modules() and other != name)
        for name, path in modules().items()
    }


def test_no_import_runs_upward() -> None:
    for name, others in graph().items():
        floor = name.partition(".")[0]
        for other in others:
            below = other.partition(".")[0]
            assert FLOORS.index(below) <= FLOORS.index(floor), f"{name} imports {other}, which stands above it"
            assert (floor, below) not in NOT_FOR, f"{name} imports {other}: the Pulumi program must not need the client"


def test_no_import_goes_in_a_circle() -> None:
    """Files, not rooms: a room may have a part below what it serves (platforms.workload, platforms.kubernetes)."""
    done: set[str] = set()

    def follow(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle: {' -> '.join((*above[above.index(name) :], name))}"
        if name in done:
            return
        for other in sorted(graph()[name]):
            follow(other, (*above, name))
        done.add(name)

    for name in sorted(graph()):
        follow(name, ())


def test_the_client_imports_nothing_of_the_rest() -> None:
    for name, others in graph().items():
        if name.startswith("mlflow_sso_client"):
            assert all(other.startswith("mlflow_sso_client") for other in others), name


def test_no_room_has_more_files_than_a_reader_takes_in() -> None:
    rooms: dict[Path, int] = {}
    for path in tracked():
        if path.parts[0] != "tests":
            rooms[path.parent] = rooms.get(path.parent, 0) + 1
    assert {str(room): count for room, count in rooms.items() if count > FILES_OF_A_ROOM} == {}


@pytest.mark.parametrize("ending", [".py", ".md", "entrypoint"])
def test_no_file_is_longer_than_a_reader_keeps_in_mind(ending: str) -> None:
    files = [path for path in tracked() if path.name.endswith(ending)]
    assert files
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FILE} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function outside its docstring and its literals: a long table is read otherwise than long code."""
    lines = set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    for node in ast.walk(function):
        if not isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set | ast.Constant | ast.JoinedStr):
            continue
        if not any(isinstance(inner, ast.Call) for inner in ast.walk(node)):
            lines -= set(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_no_function_is_longer_than_a_screen() -> None:
    long = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > LINES_OF_A_FUNCTION:
                long[f"{name}.{node.name}"] = code_lines(node)
    assert long == {}
