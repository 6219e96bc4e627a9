"""What is told of workloads that come, and of those that will not, by the states a cluster reports."""

from __future__ import annotations

from typing import Any

import pytest

from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.plan import KubernetesPlan, Manifest
from platforms.kubernetes.wait import workloads
from platforms.workload import Service
from tests.contract.kubernetes_samples import plan

PLAN = plan({})
OPERATED = plan({"kubernetes": {"cloudNativePg": {}}})


def controller(name: str, **status: Any) -> Manifest:
    good = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    metadata = {"generation": 2, "labels": {"mlflow-sso.component": name}}
    kind = PLAN.keeper(PLAN.named(name)).name
    return {"kind": kind, "metadata": metadata, "spec": {"replicas": 1}, "status": {**good, **status}}


def pod(name: str, reason: str = "", message: str = "", restarts: int = 0) -> Manifest:
    waiting = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    return {
        "kind": "Pod",
        "metadata": {"labels": {"mlflow-sso.component": name}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"containerStatuses": [{"state": waiting, "restartCount": restarts}]},
    }


class Time:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(
    monkeypatch: pytest.MonkeyPatch, *looks: list[Manifest], stack: KubernetesPlan = PLAN
) -> tuple[list[tuple[str, str]], float]:
    """Wait while the cluster reports `looks` in turn, the last for ever; returns what was told, and how long."""
    left = list(looks)

    def look(*_: object) -> list[Manifest]:
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(workloads, "_look", look)
    monkeypatch.setattr(Kubectl, "run", lambda *_, **__: "the last line of a log")
    told: list[tuple[str, str]] = []
    time = Time()
    workloads.wait_ready(stack, lambda n, s, _: told.append((n, s)), clock=time, sleep=time.sleep)
    return told, time.now


SERVICES = [w.name for w in PLAN.workloads if isinstance(w.runs, Service)]
READY = [controller(name) for name in SERVICES]
OTHERS = [controller(name) for name in SERVICES if name != "mlflow"]


def test_all_that_serve_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told, seconds = wait(monkeypatch, READY)
    assert told == [(name, "ready") for name in SERVICES]
    assert seconds == 0


@pytest.mark.parametrize(
    "status",
    [{"observedGeneration": 1}, {"updatedReplicas": 0}, {"readyReplicas": 0}, {"replicas": 2}],
    ids=lambda s: next(iter(s)),
)
def test_one_that_still_changes_is_waited_for(monkeypatch: pytest.MonkeyPatch, status: dict[str, int]) -> None:
    told, seconds = wait(monkeypatch, [*OTHERS, controller("mlflow", **status), pod("mlflow")], READY)
    assert [state for name, state in told if name == "mlflow"] == ["starting", "ready"]
    assert seconds == 1


@pytest.mark.parametrize(
    ("look", "text"),
    [
        ([pod("mlflow", "ImagePullBackOff", "no such image")], "ImagePullBackOff: no such image"),
        ([pod("mlflow", "CrashLoopBackOff", restarts=3)], "CrashLoopBackOff"),
        (
            [controller("mlflow", readyReplicas=0, conditions=[
                {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}])],
            "pod refused: violates PodSecurity",
        ),
    ],
)  # fmt: skip
def test_what_time_will_not_mend_is_given_up_early(
    monkeypatch: pytest.MonkeyPatch, look: list[Manifest], text: str
) -> None:
    broken = look if look[0]["kind"] != "Pod" else [controller("mlflow", readyReplicas=0), *look]
    with pytest.raises(KubernetesError) as caught:
        wait(monkeypatch, [*OTHERS, *broken])
    assert f"mlflow is not ready after 21 s: {text}" in str(caught.value)
    assert "the last line of a log" in str(caught.value)
    assert f"Next: kubectl describe pods -n {PLAN.namespace}" in str(caught.value)


def test_the_time_a_workload_may_take_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given = next(w.service.wait_seconds for w in PLAN.workloads if w.name == "mlflow")
    with pytest.raises(KubernetesError, match=f"mlflow is not ready after {given + 1} s: no pod yet"):
        wait(monkeypatch, OTHERS)


def test_servers_that_an_operator_runs_are_waited_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {"generation": 1, "labels": {"mlflow-sso.component": "postgres"}}
    looks = []
    for ready, condition in ((0, "False"), (1, "True"), (2, "False"), (2, "True")):
        status = {"phase": "Setting up", "readyInstances": ready}
        status |= {"conditions": [{"type": "Ready", "status": condition}]}
        looks.append([{"kind": "Cluster", "metadata": metadata, "spec": {"instances": 2}, "status": status}])
    others = [item for item in READY if item["metadata"]["labels"]["mlflow-sso.component"] != "postgres"]
    told, seconds = wait(monkeypatch, *([*others, *look] for look in looks), stack=OPERATED)
    assert [state for name, state in told if name == "postgres"] == ["Setting up", "ready"]
    assert seconds == 3


def test_what_another_form_of_the_stack_left_is_not_taken_for_what_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The StatefulSet of before serves beside the operator's object, and the other way round."""
    metadata = {"generation": 1, "labels": {"mlflow-sso.component": "postgres"}}
    status = {"readyInstances": 1, "conditions": [{"type": "Ready", "status": "True"}]}
    operated = {"kind": "Cluster", "metadata": metadata, "spec": {"instances": 1}, "status": status}
    of_before = controller("postgres")
    others = [item for item in READY if item["metadata"]["labels"]["mlflow-sso.component"] != "postgres"]
    for stack, left in ((OPERATED, of_before), (PLAN, operated)):
        with pytest.raises(KubernetesError, match="postgres is not ready"):
            wait(monkeypatch, [*others, left], stack=stack)
