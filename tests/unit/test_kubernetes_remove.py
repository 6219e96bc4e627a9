"""What is removed from a cluster, what is left alone, and when it gives up."""

from __future__ import annotations

from typing import Any

import pytest

from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.plan import Manifest
from platforms.kubernetes.remove import GONE_SECONDS, Place, prune, remove
from platforms.labels import stack_labels

SERVER = "https://cluster.example:6443"
OURS = stack_labels("mlflow-sso", "test")
SHARED = Place(None, SERVER, "shared", created=False)


def item(kind: str, name: str, **metadata: Any) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, **metadata}}


class Cluster:
    """A cluster that lets go of what is deleted, but for what is stuck."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.items: list[Manifest] = []
        self.stuck: set[str] = set()
        self.namespaces: dict[str, dict[str, str]] = {"shared": {}}
        self.deleted: list[str] = []
        self.now = 0.0
        monkeypatch.setattr(Kubectl, "server", lambda _: SERVER)
        monkeypatch.setattr(Kubectl, "groups", lambda _: {"apps", "networking.k8s.io", "policy", "autoscaling"})
        monkeypatch.setattr(Kubectl, "json", self.json)
        monkeypatch.setattr(Kubectl, "run", self.run)
        monkeypatch.setattr(Kubectl, "get", self.get)

    def json(self, *args: str, **_: Any) -> Any:
        assert "istio" not in args[1], "a kind that the cluster does not know is not asked for"
        return {"items": self.items}

    def get(self, resource: str, name: str, namespace: str | None = None) -> Manifest | None:
        labels = self.namespaces.get(name)
        return None if labels is None else {"metadata": {"labels": labels}, "status": {}}

    def run(self, *args: str, **_: Any) -> str:
        named = [word for word in args[1:] if not word.startswith("-") and word not in ("namespace", "shared")]
        self.deleted += named
        for name in named:
            self.namespaces.pop(name, None)
        gone = {name.rpartition("/")[2] for name in named} - self.stuck
        self.items = [one for one in self.items if one["metadata"]["name"] not in gone]
        return ""

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def remove(self, place: Place) -> list[str]:
        told: list[str] = []
        remove(place, "mlflow-sso", "test", told.append, clock=self.clock, sleep=self.sleep)
        return told


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_a_namespace_of_the_stacks_own_goes_whole(cluster: Cluster) -> None:
    cluster.namespaces["own"] = dict(OURS)
    cluster.items = [item("Service", "mlflow"), item("Deployment", "mlflow"), item("Gateway", "waypoint")]
    cluster.remove(Place(None, SERVER, "own", created=True))
    assert cluster.deleted == [
        "own", "deployments.apps/mlflow", "gateways.gateway.networking.k8s.io/waypoint", "own"
    ], "what runs, and then all of it"  # fmt: skip


def test_a_namespace_of_somebody_else_stays(cluster: Cluster) -> None:
    cluster.items = [item("Deployment", "mlflow"), item("PersistentVolumeClaim", "postgres-data")]
    cluster.remove(SHARED)
    assert cluster.deleted == ["deployments.apps/mlflow", "persistentvolumeclaims/postgres-data"]
    assert "shared" in cluster.namespaces


def test_one_that_was_made_anew_by_somebody_else_is_not_taken_for_the_stacks_own(cluster: Cluster) -> None:
    cluster.remove(Place(None, SERVER, "shared", created=True))
    assert "shared" in cluster.namespaces


def test_a_namespace_that_is_gone_already_is_no_error(cluster: Cluster) -> None:
    assert cluster.remove(Place(None, SERVER, "gone", created=True)) == []


def test_another_cluster_is_never_touched(cluster: Cluster) -> None:
    with pytest.raises(KubernetesError, match="nothing was changed"):
        cluster.remove(Place(None, "https://another.example", "shared", created=False))
    assert cluster.deleted == []


def test_what_is_stuck_is_named_and_not_waited_for_without_end(cluster: Cluster) -> None:
    cluster.items = [item("Service", "mlflow")]
    cluster.stuck = {"mlflow"}
    with pytest.raises(KubernetesError, match="still holds something after 181 s: Service/mlflow"):
        cluster.remove(SHARED)
    assert cluster.now == GONE_SECONDS + 1


def test_an_older_form_goes_but_not_its_data_nor_what_others_made_of_it(cluster: Cluster) -> None:
    cluster.items = [
        item("Secret", "mlflow-secrets-new"),
        item("Secret", "mlflow-secrets-old"),
        item("PersistentVolumeClaim", "redis-data"),
        item("Deployment", "waypoint", ownerReferences=[{"kind": "Gateway"}]),
    ]
    removed = prune(Kubectl(), "shared", "mlflow-sso", "test", {("Secret", "mlflow-secrets-new")})
    assert removed == cluster.deleted == ["secrets/mlflow-secrets-old"]


def test_data_that_an_operator_keeps_are_not_pruned(cluster: Cluster) -> None:
    cluster.items = [item("Cluster", "postgres"), item("NetworkPolicy", "postgres-instances")]
    assert prune(Kubectl(), "shared", "mlflow-sso", "test", set()) == [
        "networkpolicies.networking.k8s.io/postgres-instances"
    ]


def test_what_was_made_for_an_object_of_a_kind_that_is_gone_goes_too(cluster: Cluster) -> None:
    """Nobody collects it: the cluster no longer knows what its owner was."""
    lost = [{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster"}]
    kept = [{"apiVersion": "apps/v1", "kind": "StatefulSet"}]
    cluster.items = [
        item("Pod", "postgres-1", ownerReferences=lost),
        item("PersistentVolumeClaim", "postgres-1", ownerReferences=lost),
        item("Pod", "redis-0", ownerReferences=kept),
    ]
    cluster.remove(SHARED)
    assert cluster.deleted == ["pods/postgres-1", "persistentvolumeclaims/postgres-1"]
