"""A stack whose secrets a cluster fetches, brought up with kubectl: nothing secret is kept on this machine."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from components.stack import stack_spec
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from problems import StackError
from stackctl.context import Context
from stackctl.engines import kubectl
from stackctl.engines.kubectl import KubectlTarget
from tests.contract.kubernetes_samples import FETCHED, settings

KUBECTL = KubectlTarget()


class Cluster:
    """A cluster that takes all it is given, and makes each Secret that an ExternalSecret asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.applied = 0
        self.made = True
        self.items: list[Any] = []
        monkeypatch.setattr(Kubectl, "server", lambda _: "https://cluster.example")
        monkeypatch.setattr(Kubectl, "groups", lambda _: {"apps"})
        monkeypatch.setattr(Kubectl, "run", self.run)
        monkeypatch.setattr(Kubectl, "json", lambda *_, **__: {"items": self.items})
        monkeypatch.setattr(Kubectl, "get", self.get)
        monkeypatch.setattr("stackctl.engines.kubectl.wait_ready", lambda *_: None)
        monkeypatch.setattr("stackctl.engines.kubectl.conditions.waypoint", lambda _: [])

    def run(self, *_: str, **__: Any) -> str:
        self.applied += 1
        return ""

    def get(self, resource: str, name: str, namespace: str | None = None) -> Any:
        if resource == "externalsecrets.external-secrets.io":
            return {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        if resource == "namespace":
            return {"metadata": {"uid": "1"}}
        assert resource == "secret"
        value = base64.b64encode(f"of {name}".encode()).decode()
        held = [v for w in kubectl.plan(context()).workloads for v in w.secret_env]
        return {"data": dict.fromkeys(held, value)} if self.made else None


def context() -> Context:
    found = settings(FETCHED)
    return Context("test", Path("Pulumi.test.yaml"), found, stack_spec(found))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Cluster(monkeypatch)


def test_no_secret_is_made_or_kept_here(cluster: Cluster) -> None:
    KUBECTL.up(context())
    directory = kubectl.home("test")
    assert cluster.applied
    assert not (directory / "secrets.json").exists()
    assert sorted(path.name for path in (directory / "manifests").iterdir()) == ["00-namespace.yaml", "20-stack.yaml"]


def test_outputs_are_read_from_the_cluster(cluster: Cluster) -> None:
    KUBECTL.up(context())
    found = KUBECTL.outputs("test")
    assert set(found) == set(context().spec.outputs(kubectl.plan(context()).inside))
    assert found["client_id"] == "mlflow"
    for value in (found["client_secret"], found["admin"]["password"], found["users"]["carol@example.com"]["password"]):
        assert value.startswith("of ")
    assert "of " not in (kubectl.home("test") / "outputs.json").read_text()
    cluster.made = False
    with pytest.raises(KubernetesError, match="was it fetched from its store"):
        KUBECTL.outputs("test")


def test_what_another_engine_made_is_left_alone_and_its_own_is_not(cluster: Cluster) -> None:
    cluster.items = [{"kind": "Service", "metadata": {"name": "mlflow"}}]
    with pytest.raises(StackError, match="not made from here"):
        KUBECTL.up(context())
    cluster.items = []
    KUBECTL.up(context())
    cluster.items = [{"kind": "Service", "metadata": {"name": "mlflow"}}]
    KUBECTL.up(context())
