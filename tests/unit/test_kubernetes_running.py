"""What the doctor reads from a cluster's own words."""

from __future__ import annotations

import subprocess
from copy import deepcopy
from typing import Any

import pytest

from platforms.inventory import InventoryError
from platforms.kubernetes.kinds import KINDS
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.look.running import KubernetesRunning
from platforms.kubernetes.look.troubles import Events, Owner, job_troubles
from platforms.kubernetes.plan import Manifest
from platforms.labels import LABEL_COMPONENT, stack_labels
from platforms.running import Instance, Trouble
from platforms.workload import Service
from tests.contract.kubernetes_samples import OUTSIDE, SCALED, STACK, WITHOUT_MESH, plan, settings
from tests.unit.fake_cluster import LATER, NOW, Cluster, fixed_clock, stack

pytestmark = pytest.mark.usefixtures("components")

PROJECT = "mlflow-sso"
WHERE = "mlflow-sso-test"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_clock(monkeypatch)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch, *stack({}))


def running(config: dict[str, Any] | None = None) -> KubernetesRunning:
    return KubernetesRunning(settings(config or {}).kubernetes)


def troubles(config: dict[str, Any] | None = None) -> list[Trouble]:
    chosen = config or {}
    return running(chosen).troubles(PROJECT, STACK, plan(chosen).workloads)


@pytest.mark.parametrize("config", [{}, SCALED, WITHOUT_MESH, OUTSIDE])
def test_a_stack_that_runs_as_it_is_defined_has_no_trouble(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    Cluster(monkeypatch, *stack(config))
    assert troubles(config) == []


def test_a_pod_to_run_a_command_in_is_found_by_who_may_list_pods_alone(cluster: Cluster) -> None:
    found = running().serving(PROJECT, STACK, "mlflow")
    assert found is not None
    assert (found.component, found.running, found.env) == ("mlflow", True, {})
    assert "--artifacts-destination" in found.args
    assert {args[1] for args in cluster.asked} == {KINDS["Pod"].resource}


def test_a_pod_that_does_not_run_is_none_to_run_a_command_in(cluster: Cluster) -> None:
    for pod in [item for item in cluster.objects if item["kind"] == "Pod"]:
        pod["status"]["containerStatuses"] = [{"name": "mlflow", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    assert running().serving(PROJECT, STACK, "mlflow") is None


@pytest.mark.parametrize("config", [{}, SCALED, OUTSIDE])
def test_pods_are_read_back_as_they_were_meant(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> None:
    Cluster(monkeypatch, *stack(config))
    found = {i.component: i for i in running(config).instances(PROJECT, STACK)}
    for workload in plan(config).workloads:
        instance = found[workload.name]
        assert (instance.image, instance.args) == (workload.image, workload.args)
        assert instance.memory_mib == workload.resources.memory_mib
        # A job has a pod at its times alone, and is read from what makes it.
        assert instance.running is isinstance(workload.runs, Service)
        assert instance.ports is None
        assert {k: v for k, v in instance.env.items() if k not in workload.secret_env} == workload.env
        assert set(instance.env) == {*workload.env, *workload.secret_env}
        assert not any("hidden-value" in text for text in (repr(instance), str(instance)))
    if "mlflow" in found and not config:
        assert "hidden-value-of" in found["mlflow"].env["OIDC_CLIENT_SECRET"]


def test_variables_come_from_whole_objects_fields_and_single_keys(cluster: Cluster) -> None:
    """Somebody has added them by hand: the ones named singly win."""
    pod = cluster.one("Pod", "redis-1")
    container = pod["spec"]["containers"][0]
    container["envFrom"] = [
        {"configMapRef": {"name": "extra"}, "prefix": "P_"}, {"secretRef": {"name": "gone", "optional": True}}
    ]  # fmt: skip
    container["env"] = [
        {"name": "P_B", "value": "costs $$5"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "extra", "key": "A"}}},
        {"name": "LACKS", "valueFrom": {"configMapKeyRef": {"name": "extra", "key": "C"}}},
    ]
    data = {"A": "1", "B": "2"}
    cluster.objects.append({"kind": "ConfigMap", "metadata": {"name": "extra", "namespace": WHERE}, "data": data})
    [found] = [i for i in running().instances(PROJECT, STACK) if i.component == "redis"]
    assert found.env == {"P_A": "1", "P_B": "costs $5", "NAME": "redis-1", "A": "1"}


def test_a_pod_that_runs_comes_before_one_that_does_not_and_one_that_ends_is_left_out(cluster: Cluster) -> None:
    waiting, ending, evicted = (deepcopy(cluster.one("Pod", "mlflow-1")) for _ in range(3))
    waiting["metadata"]["name"], waiting["status"] = "mlflow-0", {"phase": "Pending"}
    ending["metadata"] |= {"name": "mlflow-2", "deletionTimestamp": NOW}
    evicted["metadata"]["name"], evicted["status"] = "mlflow-3", {"phase": "Failed", "reason": "Evicted"}
    cluster.objects += [waiting, ending, evicted]
    found = [i for i in running().instances(PROJECT, STACK) if i.component == "mlflow"]
    assert [(i.name, i.running) for i in found] == [(f"{WHERE}/mlflow-1", True), (f"{WHERE}/mlflow-0", False)]


def test_a_workload_without_a_pod_is_read_from_what_would_make_one(cluster: Cluster) -> None:
    cluster.drop("Pod", "redis-1")
    [found] = [i for i in running().instances(PROJECT, STACK) if i.component == "redis"]
    assert (found.name, found.running) == (f"{WHERE}/redis", False)
    assert "REDIS_PASSWORD" in found.env


def test_without_settings_every_namespace_is_looked_through_and_nothing_is_compared(cluster: Cluster) -> None:
    cluster.drop("NetworkPolicy", "mlflow")
    lost = KubernetesRunning()
    assert {i.component for i in lost.instances(PROJECT, STACK)} == {w.name for w in plan({}).workloads}
    assert lost.troubles(PROJECT, STACK) == []
    assert any("-A" in words for words in cluster.asked)
    cluster.asked.clear()
    running().instances(PROJECT, STACK)
    assert not any("-A" in words for words in cluster.asked), "a user may have rights in one namespace alone"


def container(waiting: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    state = {"waiting": waiting} if waiting else {"running": {"startedAt": NOW}}
    return {"name": "mlflow", "state": state, "ready": False, "started": False, "restartCount": 0, **more}


def ended(reason: str, code: int, when: str = NOW) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": code, "finishedAt": when}}


LOOPS = {"reason": "CrashLoopBackOff", "message": "back-off 40s"}
LONG_AGO = "2026-11-24T12:00:00Z"


@pytest.mark.parametrize(
    ("status", "kind", "evidence"),
    [
        (container({"reason": "ImagePullBackOff", "message": "no such"}), "image-unavailable", "ImagePullBackOff of "),
        (container({"reason": "ErrImageNeverPull"}), "image-unavailable", "ErrImageNeverPull of "),
        (container(LOOPS, restartCount=4, lastState=ended("Error", 1)), "container-restarting", "CrashLoopBackOff, 4"),
        (container(restartCount=5, lastState=ended("Error", 1)), "container-restarting", "running, 5 restarts"),
        (container(restartCount=1, lastState=ended("OOMKilled", 137)), "container-out-of-memory", "OOMKilled, 1"),
        (container({"reason": "CreateContainerConfigError", "message": "secret gone"}), "container-not-running", "Cre"),
        (container(started=True), "container-unhealthy", "not ready"),
        (container(), "container-unhealthy", "not ready"),
    ],
)
def test_each_state_of_a_container_is_named(cluster: Cluster, status: dict[str, Any], kind: str, evidence: str) -> None:
    cluster.one("Pod", "mlflow-1")["status"]["containerStatuses"] = [status]
    [trouble] = troubles()
    assert trouble.kind == kind
    assert trouble.evidence.startswith(f"{WHERE}/mlflow-1: {evidence}")
    assert trouble.cause


@pytest.mark.parametrize(
    "status",
    [
        container(ready=True, restartCount=9, lastState=ended("Error", 1, LONG_AGO)),
        container(ready=True, restartCount=1, lastState=ended("OOMKilled", 137, LONG_AGO)),
        container(ready=True, restartCount=1, lastState=ended("Error", 1)),
        container() | {"state": {"running": {"startedAt": LATER}}},
        container({"reason": "ContainerCreating"}),
    ],
)
def test_what_is_over_or_only_starting_is_no_trouble(cluster: Cluster, status: dict[str, Any]) -> None:
    cluster.one("Pod", "mlflow-1")["status"]["containerStatuses"] = [status]
    assert troubles() == []


def test_a_probe_that_fails_is_quoted_in_its_newest_words(cluster: Cluster) -> None:
    cluster.one("Pod", "mlflow-1")["status"]["containerStatuses"] = [container(started=True)]
    cluster.warn("Pod", "mlflow-1", "Unhealthy", "Readiness probe failed: 500", LATER)
    cluster.warn("Pod", "mlflow-1", "Unhealthy", "Readiness probe failed: refused")
    cluster.logs["mlflow-1"] = "no cache"
    [trouble] = troubles()
    assert trouble.evidence.endswith("Unhealthy: Readiness probe failed: 500")
    assert trouble.cause.endswith("it last said: no cache")
    assert trouble.fix == f"kubectl delete pod -n {WHERE} mlflow-1"


def pending(cluster: Cluster, message: str) -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    cluster.one("Pod", "postgres-1")["status"] = {"phase": "Pending", "conditions": [unscheduled]}


def test_a_pod_that_no_node_can_take_is_found_with_the_schedulers_reason(cluster: Cluster) -> None:
    pending(cluster, "0/1 nodes are available: 1 Insufficient memory.")
    [trouble] = troubles()
    assert trouble.kind == "pod-pending"
    assert "Insufficient memory" in trouble.evidence
    assert trouble.fix == "kubectl describe nodes"


def test_a_claim_that_is_not_bound_is_found_with_its_own_event(cluster: Cluster) -> None:
    pending(cluster, "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
    cluster.warn("PersistentVolumeClaim", "postgres-data", "ProvisioningFailed", 'storageclass "fast" not found')
    [trouble] = troubles()
    assert trouble.kind == "pod-pending"
    assert 'claim postgres-data: ProvisioningFailed: storageclass "fast" not found' in trouble.evidence
    assert trouble.fix == f"kubectl describe persistentvolumeclaims -n {WHERE} postgres-data"


def test_a_node_that_cannot_mount_a_volume_is_found(cluster: Cluster) -> None:
    cluster.one("Pod", "mlflow-1")["status"]["containerStatuses"] = [container({"reason": "ContainerCreating"})]
    cluster.warn("Pod", "mlflow-1", "FailedAttachVolume", "the volume is attached to another node")
    [trouble] = troubles()
    assert trouble.kind == "pod-pending"
    assert "attached to another node" in trouble.evidence


QUOTA = 'pods "mlflow-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3'
SECURITY = 'pods "mlflow-1" is forbidden: violates PodSecurity "restricted:latest": privileged'


@pytest.mark.parametrize(
    ("kind", "about", "message", "fix"),
    [
        ("mlflow", "ReplicaSet/mlflow-5c7", QUOTA, f"kubectl edit resourcequota small -n {WHERE}"),
        ("postgres", "StatefulSet/postgres", QUOTA, f"kubectl edit resourcequota small -n {WHERE}"),
        ("mlflow", "ReplicaSet/mlflow-5c7", SECURITY, ""),
        ("mlflow", "ReplicaSet/mlflow-5c7", "denied by a webhook", ""),
    ],
)
def test_a_pod_that_is_refused_is_found_by_the_event_of_what_makes_it(
    cluster: Cluster, kind: str, about: str, message: str, fix: str
) -> None:
    cluster.drop("Pod", f"{kind}-1")
    owner, _, name = about.partition("/")
    cluster.warn(owner, name, "FailedCreate", f"Error creating: {message}")
    [trouble] = troubles()
    assert (trouble.kind, trouble.fix) == ("pod-refused", fix)
    assert message in trouble.evidence


def test_a_rollout_whose_new_pod_is_refused_is_found_beside_the_old_one(cluster: Cluster) -> None:
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    cluster.one("Deployment", "mlflow")["status"]["conditions"] = [failed]
    assert [t.kind for t in troubles()] == ["pod-refused"]


def test_a_workload_that_was_scaled_to_none_or_gets_no_pod_is_found(cluster: Cluster) -> None:
    cluster.drop("Pod", "redis-1")
    [trouble] = troubles()
    assert (trouble.kind, trouble.evidence.partition(":")[2]) == (
        "container-not-running", " it has no pod, and no event says why"
    )  # fmt: skip
    for item in cluster.objects:
        if item["kind"] in ("Deployment", "StatefulSet") and item["metadata"]["name"] == "redis":
            item["spec"]["replicas"] = 0
    [trouble] = troubles()
    assert trouble.evidence.endswith("0 replicas are wanted")


POD = Instance(f"{WHERE}/mlflow-1", "mlflow", True, "")


def test_a_secret_is_handed_over_without_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(command: tuple[str, ...], **more: Any) -> Any:
        seen.update(command=command, input=more["input"])
        error = "refused\ncommand terminated with exit code 2\n"
        return type("Done", (), {"returncode": 2, "stdout": "out", "stderr": error})

    monkeypatch.setattr(subprocess, "run", run)
    answer = KubernetesRunning().execute(POD, ("psql", "-q"), {"PGPASSWORD": "it's $HOME"})
    assert (answer.code, answer.out, answer.error) == (2, "out", "refused")
    assert seen["command"][:8] == ("kubectl", "exec", "-i", "-n", WHERE, "mlflow-1", "-c", "mlflow")
    assert not any("HOME" in word for word in seen["command"])
    script = seen["command"][9:]
    # The words after the shell are what would run in the pod.
    monkeypatch.undo()
    done = subprocess.run(
        (*script[:-2], "printenv", "PGPASSWORD"), input=seen["input"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "it's $HOME\n"
    assert list(script[-2:]) == ["psql", "-q"]


def test_commands_for_people_name_the_context_the_namespace_and_the_pod() -> None:
    target = KubernetesRunning(settings({"kubernetes": {"context": "prod"}}).kubernetes)
    assert target.restart(POD) == f"kubectl --context prod delete pod -n {WHERE} mlflow-1"
    assert target.removal(POD).startswith(
        f"kubectl --context prod delete deployments.apps,statefulsets.apps,cronjobs.batch,jobs.batch -n {WHERE}"
    )
    assert target.shell(POD, "rm -f a").endswith(f"exec -i -n {WHERE} mlflow-1 -c mlflow -- bash -c 'rm -f a'")
    assert "du -ak /data" in target.space(POD, "/data")


def test_a_cluster_that_does_not_answer_is_told_of_as_every_target_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise KubernetesError("forbidden")

    monkeypatch.setattr(Kubectl, "json", refuse)
    with pytest.raises(InventoryError, match="forbidden"):
        running().instances(PROJECT, STACK)
    with pytest.raises(InventoryError, match="forbidden"):
        running().troubles(PROJECT, STACK)


def cron() -> Manifest:
    labels = {**stack_labels("mlflow-sso", "test"), LABEL_COMPONENT: "sweep"}
    return {"kind": "CronJob", "metadata": {"namespace": WHERE, "name": "sweep", "labels": labels}}


def ran(name: str, made: str, kind: str, reason: str = "") -> Manifest:
    condition = {"type": kind, "status": "True", "reason": reason, "message": "it has reached its limit"}
    metadata = {"namespace": WHERE, "name": name, "creationTimestamp": made}
    return {"kind": "Job", "metadata": metadata, "status": {"conditions": [condition]}}


def test_a_job_whose_newest_run_failed_is_told_and_no_other_is() -> None:
    owner = Owner(Kubectl("prod"), "test", 0)
    good = ran("sweep-2", "2026-11-02T03:30:00+00:00", "Complete")
    bad = ran("sweep-1", "2026-11-01T03:30:00+00:00", "Failed", "BackoffLimitExceeded")
    later = ran("sweep-3", "2026-11-03T03:30:00+00:00", "Failed", "DeadlineExceeded")
    assert list(job_troubles(cron(), [], Events([]), owner)) == []
    assert list(job_troubles(cron(), [bad, good], Events([]), owner)) == [], "it is well again"
    (trouble,) = job_troubles(cron(), [later, bad, good], Events([]), owner)
    assert trouble.kind == "job-failed"
    assert trouble.evidence == f"{WHERE}/sweep-3: DeadlineExceeded: it has reached its limit"
    assert trouble.fix == f"kubectl --context prod logs job/sweep-3 -n {WHERE}"


def test_of_jobs_that_follow_each_other_the_last_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that runs at changes is another object each time; what a schedule made belongs to it."""
    config = {"kubernetes": {"realmJob": True}}
    fake = Cluster(monkeypatch, *stack(config))
    (last,) = [item for item in fake.objects if item["kind"] == "Job"]
    last["metadata"]["creationTimestamp"] = LATER
    last["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    failed = {"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]}
    before = deepcopy(last) | {"status": failed}
    before["metadata"] |= {"name": "realm-job-before", "creationTimestamp": NOW}
    fake.objects.insert(0, before)
    assert troubles(config) == []
    assert [one.name for one in running(config).instances(PROJECT, STACK) if one.component == "realm-job"] == [
        f"{WHERE}/{last['metadata']['name']}"
    ]
    last["status"] = failed
    (trouble,) = troubles(config)
    assert (trouble.kind, trouble.evidence.partition(":")[0]) == ("job-failed", f"{WHERE}/{last['metadata']['name']}")
