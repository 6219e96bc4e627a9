"""What depends on the plugin's version stands in components/plugin alone: its variables, and questions about versions.

A variable that a version does not read is ignored without a word. A second place that spells one is found by nobody.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from components.mlflow import plugin_inputs
from components.plugin.lines import LINES
from settings import ROOT
from tests.samples import settings

HOME = "components/plugin/"
# images/ holds programs of the containers, which read their environment; docs/ and tests/ say what users see.
ROOMS = ("components", "platforms", "settings", "stackctl", "client", "policies", "__main__.py", "problems.py")
PREFIXES = re.compile(r"\b(OIDC|CACHE|SESSION)_")
ALLOWED = {
    "components/stack.py": "what pipelines find a client of Keycloak's by: a promise of the stack, not of the plugin",
    "settings/kubernetes.py": "describes the same",
    "stackctl/images/seed.py": "its text decides what a seed is (test_seed.py); images/mlflow reads that name",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        place = ROOT / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.exists() else []:
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def spelt(tree: ast.Module, names: frozenset[str]) -> list[str]:
    """The texts of a module that spell a variable of the plugin."""
    prose = {id(node) for node in docstrings(tree)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]
    return [text for text in texts if PREFIXES.search(text) or text in names]


def variables() -> frozenset[str]:
    """Every variable that some line of versions is told."""
    inputs = plugin_inputs(settings({"mlflow": {"url": "https://x.test", "tls": {"proxy": True}}}))
    return frozenset(name for line in LINES.values() for name in (*line.env(inputs), *line.secret_env(inputs)))


def test_the_plugins_variables_are_spelt_in_one_place() -> None:
    names = variables()
    assert {"OIDC_CLIENT_ID", "SECRET_KEY", "REDIS_HOST"} <= names
    found = {place: spelt(tree, names) for place, tree in sources()}
    assert [place for place, texts in found.items() if place.startswith(HOME) and texts] != []
    elsewhere = {place: texts for place, texts in found.items() if texts and not place.startswith(HOME)}
    assert {place: texts for place, texts in elsewhere.items() if place not in ALLOWED} == {}
    assert sorted(elsewhere) == sorted(ALLOWED), "what is allowed and no longer needed"


@pytest.mark.parametrize(
    "text", ['x = "OIDC_SCOPE"', 'f"{x} CACHE_REDIS_URL"', 'env["SESSION_" + x]', '"""A."""\n"REDIS_HOST"']
)
def test_a_variable_is_seen_wherever_it_is_spelt(text: str) -> None:
    assert spelt(ast.parse(text), variables())


def test_a_version_chooses_a_profile_and_nothing_else() -> None:
    asked: list[str] = []
    for place, tree in sources():
        if place.startswith("settings/"):
            # Checks the version against versions.yaml.
            continue
        chosen = {
            id(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("plugin_profile", "line_seen") and node.args
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "plugin_version" and id(node) not in chosen:
                asked.append(f"{place}:{node.lineno}")
    assert asked == []
