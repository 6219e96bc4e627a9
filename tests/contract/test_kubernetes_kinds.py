"""One row for each kind of object, and no list of kinds anywhere else."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from platforms.kubernetes import kinds
from platforms.kubernetes.kinds import KINDS, Kind, controller_kinds, kind_of, served, value_at
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.objects.runners import runner
from platforms.kubernetes.plan import KubernetesPlan, Manifest, Way
from platforms.workload import Service
from tests.contract import test_seam_kubernetes as seam
from tests.contract.kubernetes_samples import FETCHED, OPERATED, SAMPLES, plan
from tests.contract.seam import ADAPT, WORKLOADS

ROOM = Path(kinds.__file__).parent
# What a cluster makes of what the stack has.
MADE_THERE = {"Pod"}
# Where the name of a kind says something else than what a stack is made of. Whoever adds a row need not look there.
ELSEWHERE = {
    ("plan.py", "Deployment"): "the ways of running are called after their kinds",
    ("plan.py", "StatefulSet"): "the ways of running are called after their kinds",
    ("plan.py", "Cluster"): "the ways of running are called after their kinds",
    ("plan.py", "CronJob"): "the ways of running are called after their kinds",
    ("plan.py", "Job"): "the ways of running are called after their kinds",
    ("objects/network.py", "Ingress"): "a direction of a NetworkPolicy",
    ("wait/workloads.py", "Pod"): "pods are told from what keeps them",
    ("wait/conditions.py", "Gateway"): "istiod reports on it",
    ("wait/conditions.py", "ExternalSecret"): "its operator reports on it",
    ("look/running.py", "Pod"): "pods are told from what keeps them",
    ("look/running.py", "Gateway"): "what its controller makes carries its name",
    ("look/instances.py", "Pod"): "pods are told from what keeps them",
    ("look/instances.py", "ConfigMap"): "what variables are read from; its texts are plain, those of a Secret are not",
    ("look/instances.py", "Secret"): "what variables are read from",
    ("look/differences.py", "Gateway"): "istiod reports on it",
    ("look/differences.py", "AuthorizationPolicy"): "istiod reports on it",
    ("look/differences.py", "Service"): "its label sends requests through the waypoint",
    ("look/differences.py", "Pod"): "what the mesh makes for its waypoint",
    ("look/differences.py", "Deployment"): "what the mesh makes for its waypoint",
    ("look/troubles.py", "Pod"): "the events of one",
    ("look/troubles.py", "PersistentVolumeClaim"): "the events of one",
}
# Several kinds in one word of kubectl, in a command that a person is told to run.
SHOWN = {("look/differences.py", "daemonsets,pods"): "what Istio itself runs"}
# Where a way of running is named, beside the choice of one in plan.py and the table of runners.
OF_WAYS = {
    ("objects/cloudnativepg.py", "CLOUD_NATIVE_PG"): "its own row",
    ("preflight.py", "CLOUD_NATIVE_PG"): "whether the setting that chooses it was another before",
    ("preflight.py", "STATEFUL_SET"): "whether the setting that chooses it was another before",
}


@cache
def plans() -> tuple[KubernetesPlan, ...]:
    """Every sample, and workloads that use every word of the seam."""
    words = (seam.plan(**seam.SCRAPERS), seam.plan((*WORKLOADS, ADAPT)))
    return (*map(plan, [*SAMPLES.values(), FETCHED, OPERATED]), *words)


@cache
def made_by_samples() -> tuple[Manifest, ...]:
    return tuple(manifest for one in plans() for manifest in every_object(one))


def test_every_object_has_a_row_that_is_right_about_it() -> None:
    for manifest in made_by_samples():
        kind = kind_of(manifest)
        assert manifest["apiVersion"] == kind.api, kind.name
        assert ("namespace" in manifest["metadata"]) == kind.namespaced, kind.name
        assert kind.storage == () or value_at(manifest, kind.storage[:-1]), f"{kind.name} claims no storage there"


def test_every_row_is_of_what_some_stack_has() -> None:
    assert {manifest["kind"] for manifest in made_by_samples()} == set(KINDS) - MADE_THERE


def test_what_a_row_says_of_pods_is_of_kinds_that_make_some() -> None:
    for kind in KINDS.values():
        assert kind.makes_pods or not (kind.runs or kind.template or kind.through or kind.scheduled), kind.name
    assert {kind.name: kind.through for kind in KINDS.values() if kind.through} == {
        "Deployment": "ReplicaSet", "CronJob": "Job",
    }  # fmt: skip


def test_what_runs_by_a_template_has_it_where_its_row_says() -> None:
    seen = set[Kind]()
    for manifest in made_by_samples():
        kind = kind_of(manifest)
        if kind in controller_kinds():
            assert value_at(manifest, kind.template)["spec"]["containers"], kind.name
            seen.add(kind)
    assert seen == set(controller_kinds())


def test_a_cluster_without_additions_is_asked_for_nothing_that_they_bring() -> None:
    assert [kind.name for kind in served([]) if kind.addition or kind.group] == []
    groups = {kind.group for kind in KINDS.values() if not kind.addition}
    assert all(kind.addition is None for kind in served(groups))


def sources() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the room, without the rows themselves."""
    for path in sorted(ROOM.rglob("*.py")):
        if path != Path(kinds.__file__):
            yield path.relative_to(ROOM).as_posix(), ast.parse(path.read_text())


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a module, but for those that write a kind into an object or look up its row."""
    written = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            written |= {id(value) for key, value in zip(keys, node.values, strict=True) if key == "kind"}
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "KINDS":
            written.add(id(node.slice))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in written:
            yield node.value


def test_no_other_name_of_a_kind_decides_anything() -> None:
    """Whoever adds a kind and forgets a second place leaves its objects behind, or calls them missing."""
    names = {(file, text) for file, tree in sources() for text in texts(tree) if text in KINDS}
    assert names == set(ELSEWHERE)


def test_no_other_list_of_kinds_is_asked_for() -> None:
    """As `kubectl` takes several: in one word, with commas."""
    words = {word for kind in KINDS.values() for word in (kind.plural, kind.resource, kind.name.lower())}
    lists = {(file, text) for file, tree in sources() for text in texts(tree) if words & set(text.split(","))}
    assert {(file, text) for file, text in lists if "," in text} == set(SHOWN)


def ways(tree: ast.AST) -> Iterator[str]:
    """The ways of running that a module names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Way":
            yield node.attr


def test_no_other_place_asks_how_a_workload_runs() -> None:
    """A way that comes later would have to be thought of in each of them."""
    found = {(file, way) for file, tree in sources() for way in ways(tree)}
    table = {("objects/runners.py", way.name) for way in Way}
    assert found == {*table, *(("plan.py", way.name) for way in Way), *OF_WAYS}


def test_every_way_has_a_runner_whose_kind_has_a_row() -> None:
    assert {way.value for way in Way} <= set(KINDS)
    for one in plans():
        for workload in one.workloads:
            (kept,) = [m for m in runner(one, workload).objects(one, workload, defaultdict(str)) if kind_of(m).runs]
            assert kind_of(kept) is one.keeper(workload)
            # One that runs at changes is another object then.
            name = kept["metadata"]["name"].rpartition("-")[0] if workload.at_change else kept["metadata"]["name"]
            assert name == workload.name


def test_what_serves_is_waited_for_and_what_does_not_is_not() -> None:
    for one in plans():
        for workload in one.workloads:
            assert (runner(one, workload).serves is not None) is isinstance(workload.runs, Service), workload.name


@pytest.mark.parametrize(
    "code",
    ['if x == "Job": pass', 'x = ("Job",)', 'x = {"Job": 1}', 'x = {"a": "Job"}', 'f("Job")', 'X = "Job"'],
)
def test_the_scan_sees_a_name_wherever_it_stands(code: str) -> None:
    assert "Job" in list(texts(ast.parse(code)))


def test_the_scan_lets_through_what_is_written_and_what_is_looked_up() -> None:
    assert "Job" not in list(texts(ast.parse('x = {"apiVersion": "batch/v1", "kind": "Job"}; KINDS["Job"]')))
