"""A kind that gets a row, and nothing else, is looked for, asked leave for, compared, told of and removed."""

from __future__ import annotations

from typing import Any

import pytest

from platforms.kubernetes import preflight
from platforms.kubernetes.inventory import KubernetesInventory
from platforms.kubernetes.kinds import KINDS, Addition, Compared, Kind
from platforms.kubernetes.kubectl import Kubectl
from platforms.kubernetes.look import differences
from platforms.kubernetes.look.running import KubernetesRunning
from platforms.kubernetes.plan import Manifest
from platforms.kubernetes.remove import find, prune
from settings import PROJECT
from tests.contract.kubernetes_samples import STACK, plan
from tests.unit import fake_cluster
from tests.unit.fake_cluster import Cluster, fixed_clock, stack

PLAN = plan({})
# It runs pods by a template that stands at a place of its own.
WIDGET = Kind(
    "Widget", "example.com/v1", "widgets", template=("spec", "pods"), runs=True, makes_pods=True, through="Part",
    compared=Compared.EXACT, addition=Addition("Widgets (its CRDs)", "no kubernetes.widgets"),
)  # fmt: skip


def widget(**spec: Any) -> Manifest:
    metadata = {**PLAN.metadata("gadget", "gadget"), "creationTimestamp": fake_cluster.NOW}
    pods = {"metadata": {"labels": PLAN.labels("gadget")}, "spec": {"containers": [{"name": "gadget", "image": "g:1"}]}}
    return {"apiVersion": WIDGET.api, "kind": "Widget", "metadata": metadata, "spec": {"pods": pods, **spec}}


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_clock(monkeypatch)
    monkeypatch.setitem(KINDS, WIDGET.name, WIDGET)
    monkeypatch.setitem(fake_cluster._KINDS, WIDGET.resource, WIDGET.name)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(monkeypatch, *stack({}), widget())
    monkeypatch.setattr(differences, "every_object", lambda _: [widget(size=3)])
    return made


def test_it_is_listed_before_what_does_not_run(cluster: Cluster) -> None:
    items = [item.kind for item in KubernetesInventory().find(PROJECT, STACK)]
    assert "Widget" in items
    assert items.index("Widget") < items.index("Service") < items.index("Namespace")


def test_it_is_found_and_pruned_with_the_stack(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    every = find(Kubectl(), PLAN.namespace, PROJECT, STACK)
    assert "Widget" in {item["kind"] for item in every}
    kept = {(item["kind"], item["metadata"]["name"]) for item in every} - {("Widget", "gadget")}
    monkeypatch.setattr(Kubectl, "run", lambda *_, **__: "")
    assert prune(Kubectl(), PLAN.namespace, PROJECT, STACK, kept) == ["widgets.example.com/gadget"]


def test_what_it_runs_is_read_back_and_told_of(cluster: Cluster) -> None:
    running = KubernetesRunning(PLAN.options)
    (instance,) = [one for one in running.instances(PROJECT, STACK) if one.component == "gadget"]
    assert instance.image == "g:1"
    assert "widgets.example.com" in running.removal(instance)
    cluster.warn("Part", "gadget-1", "FailedCreate", "exceeded quota: small, used: 1")
    (trouble,) = [one for one in running.troubles(PROJECT, STACK) if "gadget" in one.evidence]
    assert trouble.kind == "pod-refused", "by the events of what it makes its pods through"


def test_one_that_differs_is_a_finding(cluster: Cluster) -> None:
    found = KubernetesRunning(PLAN.options).troubles(PROJECT, STACK, PLAN.workloads)
    assert [one.evidence for one in found if "differs" in one.evidence] == [
        f"Widget {PLAN.namespace}/gadget differs from its definition in spec.size"
    ]


def test_a_cluster_without_it_is_refused_by_name_and_one_with_it_is_asked_for_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [str(problem) for problem in preflight._apis([widget()], {"apps"})] == [
        "kubernetes cluster = no Widget: expected Widgets (its CRDs) there, or no kubernetes.widgets"
    ]
    asked: list[tuple[str, str, str, str]] = []

    def allow(_: Kubectl, wanted: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
        asked.extend(wanted)
        return []

    monkeypatch.setattr(Kubectl, "denied", allow)
    assert list(preflight._permissions(Kubectl(), PLAN, [widget()])) == []
    assert {(verb, group, plural) for verb, group, plural, _ in asked} >= {
        (verb, "example.com", "widgets") for verb in preflight.VERBS
    }
