"""What is waited for that other controllers make, and what is told when it does not come."""

from __future__ import annotations

from typing import Any

import pytest

from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.plan import Manifest
from platforms.kubernetes.wait import conditions
from tests.contract.kubernetes_samples import FETCHED, WITHOUT_MESH, plan


class Cluster:
    """Objects that report one condition each, and a clock that moves only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.reported: dict[str, list[Manifest]] = {}
        monkeypatch.setattr(Kubectl, "get", self.get)

    def get(self, resource: str, name: str, namespace: str | None = None) -> Manifest | None:
        looks = self.reported.get(name, [])
        condition = looks.pop(0) if len(looks) > 1 else looks[0] if looks else None
        return None if condition is None else {"status": {"conditions": [condition]}}

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, config: dict[str, Any], kind: str) -> None:
        stack = plan(config)
        awaited = getattr(conditions, kind)(stack)
        conditions.wait(stack, awaited, clock=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_a_waypoint_is_waited_for_until_it_is_programmed(cluster: Cluster) -> None:
    cluster.reported["waypoint"] = [
        {"type": "Accepted", "status": "True"},
        {"type": "Programmed", "status": "False"},
        {"type": "Programmed", "status": "True"},
    ]
    cluster.wait({}, "waypoint")
    assert cluster.now == 2


def test_one_that_does_not_come_is_told_with_its_reason(cluster: Cluster) -> None:
    cluster.reported["waypoint"] = [{"type": "Programmed", "status": "False", "message": "no address"}]
    with pytest.raises(KubernetesError) as caught:
        cluster.wait({}, "waypoint")
    assert "Gateway waypoint is not programmed after 60 s: no address" in str(caught.value)
    assert "Next: istioctl waypoint status" in str(caught.value)


def test_secrets_that_are_not_fetched_are_each_told(cluster: Cluster) -> None:
    with pytest.raises(KubernetesError) as caught:
        cluster.wait(FETCHED, "fetched")
    text = str(caught.value)
    assert text.count("is not fetched after 60 s: no word from its controller") == 5
    assert "ExternalSecret mlflow-oauth-secret" in text


def test_there_is_nothing_to_wait_for_without_them(cluster: Cluster) -> None:
    cluster.wait({}, "fetched")
    cluster.wait(WITHOUT_MESH, "waypoint")
    assert cluster.now == 0
