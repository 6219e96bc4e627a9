"""What a cluster is found to hold of a stack, and in which order it goes."""

from __future__ import annotations

from typing import Any

import pytest

from platforms.inventory import InventoryError, Item
from platforms.kubernetes.inventory import KubernetesInventory
from platforms.kubernetes.kubectl import Kubectl, KubernetesError


def manifest(kind: str, name: str, namespace: str | None = "ns", **more: Any) -> dict[str, Any]:
    labels = {"mlflow-sso.component": "mlflow"} if namespace else {}
    where = {"namespace": namespace} if namespace else {}
    return {"kind": kind, "metadata": {"name": name, "labels": labels, **where, **more}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    words: list[str] = []
    found = [
        manifest("Namespace", "ns", None),
        manifest("PersistentVolumeClaim", "mlflow-artifacts"),
        manifest("Cluster", "postgres"),
        manifest("Service", "mlflow"),
        manifest("Service", "postgres-rw", ownerReferences=[{"apiVersion": "apps/v1", "kind": "Cluster"}]),
        manifest("Deployment", "waypoint", ownerReferences=[{"kind": "Gateway"}]),
        manifest("Deployment", "mlflow"),
    ]

    def get(_: Kubectl, *args: str, **__: Any) -> Any:
        words.extend(args)
        return {"items": found}

    monkeypatch.setattr(Kubectl, "json", get)
    monkeypatch.setattr(Kubectl, "groups", lambda _: {"apps"})
    return words


def test_what_runs_goes_first_and_the_namespace_last(asked: list[str]) -> None:
    found = KubernetesInventory().find("mlflow-sso", "test")
    assert [(item.kind, item.name) for item in found] == [
        ("Deployment", "ns/mlflow"),
        ("Service", "ns/mlflow"),
        ("Cluster", "ns/postgres"),
        ("PersistentVolumeClaim", "ns/mlflow-artifacts"),
        ("Namespace", "ns"),
    ]
    assert [item.data for item in found] == [False, False, True, True, True], "a namespace takes its claims with it"
    assert "mlflow-sso.project=mlflow-sso,mlflow-sso.stack=test" in asked
    assert "istio" not in " ".join(asked), "a kind that the cluster does not know is not asked for"


def test_one_object_is_removed_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[tuple[str, ...]] = []
    monkeypatch.setattr(Kubectl, "run", lambda _, *args, **__: run.append(args))
    KubernetesInventory().remove(Item("Deployment", "ns/mlflow"))
    KubernetesInventory().remove(Item("Namespace", "ns"))
    assert run[0][:5] == ("delete", "deployments.apps", "mlflow", "-n", "ns")
    assert run[1][:3] == ("delete", "namespaces", "ns")
    assert "-n" not in run[1]


def test_a_cluster_that_refuses_is_told_of_as_the_inventory_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise KubernetesError("forbidden")

    monkeypatch.setattr(Kubectl, "run", refuse)
    with pytest.raises(InventoryError, match="Namespace ns was not removed: forbidden"):
        KubernetesInventory().remove(Item("Namespace", "ns"))
    with pytest.raises(InventoryError, match="forbidden"):
        KubernetesInventory().find("mlflow-sso", "test")
