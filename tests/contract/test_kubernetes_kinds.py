"""One row for each kind of object, and no list of kinds anywhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platforms.kubernetes import kinds
from platforms.kubernetes.kinds import CONTROLLERS, KINDS, kind_of, served
from platforms.kubernetes.objects.every import every_object
from tests.contract.kubernetes_samples import FETCHED, OPERATED, SAMPLES, plan

ROOM = Path(kinds.__file__).parent
# Where the name of a kind is what the API or a controller writes, and no question about what a stack is made of.
OF_THE_API = {
    ("look/instances.py", "ConfigMap"): "its texts are plain, those of a Secret are not",
    ("look/troubles.py", "Deployment"): "its pods are made by ReplicaSets",
    ("look/running.py", "Pod"): "pods are told from what keeps them",
    ("look/running.py", "Gateway"): "what its controller makes carries its name",
    ("look/differences.py", "Pod"): "what the mesh makes for its waypoint",
    ("look/differences.py", "Deployment"): "what the mesh makes for its waypoint",
    ("wait/workloads.py", "Pod"): "pods are told from what keeps them",
    ("look/instances.py", "Pod"): "pods are told from what keeps them",
    ("objects/network.py", "Ingress"): "a direction of a NetworkPolicy",
}


@pytest.mark.parametrize("config", [*SAMPLES.values(), FETCHED, OPERATED])
def test_every_object_has_a_row_that_is_right_about_it(config: dict[str, Any]) -> None:
    for manifest in every_object(plan(config)):
        kind = kind_of(manifest)
        assert manifest["apiVersion"] == kind.api
        assert ("namespace" in manifest["metadata"]) == kind.namespaced


def test_what_runs_by_a_template_has_it_where_its_row_says() -> None:
    seen = set[str]()
    for config in SAMPLES.values():
        for manifest in every_object(plan(config)):
            kind = kind_of(manifest)
            if kind not in CONTROLLERS:
                continue
            place = manifest
            for key in kind.template:
                place = place[key]
            assert place["spec"]["containers"], kind.name
            seen.add(kind.name)
    assert seen == {"Deployment", "StatefulSet"}, "test_seam_kubernetes.py has the CronJobs"


def test_a_cluster_without_additions_is_asked_for_nothing_that_they_bring() -> None:
    assert [kind.name for kind in served([]) if kind.addition or kind.group] == []
    groups = {kind.group for kind in KINDS.values() if not kind.addition}
    assert all(kind.addition is None for kind in served(groups))


def decisions(tree: ast.AST) -> Iterator[str]:
    """The names of kinds that a comparison, or a collection of names alone, holds."""
    for node in ast.walk(tree):
        sides: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            sides = list(node.elts)
        elif isinstance(node, ast.Dict):
            sides = [key for key in node.keys if key is not None]
        for side in sides:
            if isinstance(side, ast.Constant) and side.value in KINDS:
                yield str(side.value)


def test_no_other_list_of_kinds_decides_anything() -> None:
    """Whoever adds a kind and forgets a second place leaves its objects behind, or calls them missing."""
    found = {
        (path.relative_to(ROOM).as_posix(), name)
        for path in ROOM.rglob("*.py")
        if path.name != "kinds.py"
        for name in decisions(ast.parse(path.read_text()))
    }
    assert found == set(OF_THE_API)
