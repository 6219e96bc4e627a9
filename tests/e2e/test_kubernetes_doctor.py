"""Failures that only a cluster has are put into a stack on a real one, and the doctor names them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from platforms.labels import LABEL_COMPONENT, stack_labels
from settings import PROJECT
from settings.catalogue import refs
from tests.e2e.cluster import get, kubectl, lacking, namespace, until
from tests.e2e.harness import Stack
from tests.e2e.patient import WRONG, Patient, mend

POLICIES = "authorizationpolicies.security.istio.io"
GATEWAYS = "gateways.gateway.networking.k8s.io"
RESTRICTED = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.fixture(scope="module")
def patient(k8s: Stack) -> Patient:
    return Patient(k8s)


def test_a_stack_that_is_as_it_was_made_raises_no_false_alarm(patient: Patient) -> None:
    found = patient.examine()
    assert set(found) == lacking(patient.stack.physical)
    if found:
        [waypoint], [outside] = found["waypoint"], found["not-in-mesh"]
        assert f"Gateway {patient.stack.physical}/waypoint is Programmed, and no pod of it is" in waypoint["evidence"]
        assert "waypoint-" in waypoint["evidence"]
        assert "ambient.istio.io/redirection" in outside["evidence"]


def pod(where: str, stack: str, role: str, script: str = "", **more: Any) -> dict[str, Any]:
    """One more pod with the stack's labels, of a workload that it does not define."""
    container = {
        "name": role,
        "image": refs()["redis"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["bash", "-c", script],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **more,
    }
    spec = {"automountServiceAccountToken": False, "securityContext": RESTRICTED, "containers": [container]}
    labels = {**stack_labels(PROJECT, stack), LABEL_COMPONENT: role}
    metadata = {"name": role, "namespace": where, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**spec, "terminationGracePeriodSeconds": 1},
    }


@contextmanager
def beside(stack: Stack) -> Iterator[None]:
    """Pods in every state in which one can be stuck."""
    small, huge = ({"limits": {"memory": size}, "requests": {"memory": size}} for size in ("16Mi", "9000Gi"))
    made = [
        pod(stack.physical, stack.name, "flaps", "echo no such table; exit 3"),
        pod(stack.physical, stack.name, "starves", "x=$(tr '\\0' a < /dev/zero)", resources=small),
        pod(stack.physical, stack.name, "waits", resources=huge),
        pod(stack.physical, stack.name, "lacks", image=f"{PROJECT}/none:0"),
    ]
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    try:
        until(lambda: _stuck(stack.physical), "the pods are stuck", 180)
        yield
    finally:
        names = [one["metadata"]["name"] for one in made]
        kubectl("delete", "pod", "-n", stack.physical, *names, "--force", "--grace-period=0")


def _stuck(where: str) -> bool:
    shown = {p["metadata"]["name"]: json.dumps(p["status"]) for p in get("pods", "-n", where)["items"]}
    words = {"flaps": "CrashLoopBackOff", "starves": "OOMKilled", "waits": "Unschedulable", "lacks": "ImagePullBackOff"}
    return all(word in shown.get(name, "") for name, word in words.items())


@contextmanager
def ill(patient: Patient, mesh: bool) -> Iterator[None]:
    """What is wrong at once, as one failure does not hide another; what has to be mended first is put back."""
    where = patient.stack.physical
    patient.change_client("mlflow", secret=WRONG)
    sql(where, f"ALTER ROLE mlflow PASSWORD '{WRONG}'")
    in_mlflow(where, "head -c 250M /dev/zero > /tmp/fill")
    kubectl("delete", "networkpolicy", "redis", "-n", where)
    if mesh:
        kubectl("delete", POLICIES, "mlflow-connections", "-n", where)
        kubectl("create", "-f", "-", stdin=json.dumps(_ill(get(GATEWAYS, "waypoint", "-n", where))))
        kubectl("delete", GATEWAYS, "waypoint", "-n", where)
        kubectl("label", "service", "mlflow", "-n", where, "istio.io/use-waypoint-")
        kubectl("label", "namespace", where, "istio.io/dataplane-mode-")
    kubectl("create", "quota", "small", "--hard=pods=0", "-n", where)
    kubectl("delete", "pod", "-n", where, "-l", f"{LABEL_COMPONENT}=redis", "--force", "--grace-period=0")
    try:
        until(lambda: "exceeded quota" in kubectl("get", "events", "-n", where), "the quota is felt", 120)
        if mesh:
            until(lambda: "AncestorNotBound" in kubectl("get", POLICIES, "-n", where, "-o", "json"), "istiod", 120)
        yield
    finally:
        kubectl("delete", "quota", "small", "-n", where)
        in_mlflow(where, "rm -f /tmp/fill")
        if mesh:
            kubectl("delete", GATEWAYS, "ill", "-n", where)


def told(where: str, mesh: bool) -> list[tuple[str, str]]:
    """Each finding that is expected, with a part of its evidence or cause."""
    common = [
        ("pod-pending", f"{where}/waits: not scheduled: "),
        ("pod-pending", "Insufficient memory"),
        ("pod-refused", f"Deployment {where}/redis: "),
        ("pod-refused", "exceeded quota: small"),
        ("image-unavailable", f"{PROJECT}/none:0"),
        # It waits for its next start, or has just ended again.
        ("container-restarting", f"{where}/flaps: "),
        ("container-restarting", "last exit code 3"),
        ("container-restarting", "no such table"),
        ("container-out-of-memory", "the limit of 16Mi"),
        ("network-policy", f"NetworkPolicy {where}/redis is not there"),
        ("disk-full", ": /tmp has "),
        ("redis-unreachable", "the cache does not run"),
        ("client-credentials", "changed in Keycloak"),
        ("database-password", "changed in the database"),
    ]
    meshed = [
        ("mesh-policy", f"AuthorizationPolicy {where}/mlflow-connections is not there"),
        ("mesh-policy", f"AuthorizationPolicy {where}/mlflow-requests is not accepted; AncestorNotBound"),
        ("waypoint", f"Gateway {where}/waypoint is not there"),
        ("waypoint", f"Gateway {where}/ill is not Accepted; InvalidParameters"),
        ("not-in-mesh", f"namespace {where} has no label istio.io/dataplane-mode=ambient"),
        ("not-in-mesh", f"Service {where}/mlflow has no label istio.io/use-waypoint=waypoint"),
    ]
    return [*common, *(meshed if mesh else ())]


def test_failures_of_a_cluster_are_named_and_mended_as_told(patient: Patient, mesh: bool) -> None:
    stack, where = patient.stack, patient.stack.physical
    usual = lacking(where)
    with beside(stack), ill(patient, mesh):
        found = patient.examine()
    expected = told(where, mesh)
    assert set(found) == {kind for kind, _ in expected}
    for kind, part in expected:
        assert any(part in finding["evidence"] + finding["cause"] for finding in found[kind]), (part, found[kind])
    assert found["pod-refused"][0]["fix"] == f"kubectl edit resourcequota small -n {where}"
    assert f"kubectl exec -i -n {where} mlflow-" in found["disk-full"][0]["fix"]
    mend(found["client-credentials"][0])
    mend(found["database-password"][0])
    # What the others name: `stackctl up` with this stack's settings.
    stack.up()
    patient.settle()
    # A waypoint is given its time to start, with or without an image to start from.
    until(lambda: set(patient.examine()) == usual, "nothing but the usual is found", 300)


def _ill(gateway: dict[str, Any]) -> dict[str, Any]:
    """A waypoint that istiod does not accept."""
    labels, spec = gateway["metadata"]["labels"], gateway["spec"]
    spec["infrastructure"]["parametersRef"]["name"] = "gone"
    metadata = {"name": "ill", "namespace": gateway["metadata"]["namespace"], "labels": labels}
    return {"apiVersion": gateway["apiVersion"], "kind": "Gateway", "metadata": metadata, "spec": spec}


def in_mlflow(where: str, script: str) -> None:
    kubectl("exec", "-n", where, "deployment/mlflow", "--", "bash", "-c", script)


def sql(where: str, statement: str) -> None:
    script = "PGPASSWORD=$POSTGRES_PASSWORD exec psql -q -h 127.0.0.1 -U postgres"
    kubectl("exec", "-i", "-n", where, "statefulset/postgres", "--", "bash", "-c", script, stdin=statement)


def test_pods_that_run_on_after_the_settings_changed_are_found(patient: Patient) -> None:
    stack = patient.stack
    before = dict(stack.config)
    stack.config["mlflow"] = {**stack.config["mlflow"], "env": {"GREETING": "hello"}, "memoryMib": 2500}
    stack.write_config()
    try:
        found = patient.examine()
    finally:
        stack.config = before
        stack.write_config()
    assert set(found) == {"container-outdated", *lacking(stack.physical)}
    [finding] = found["container-outdated"]
    assert "GREETING is not set, defined is 'hello'" in finding["evidence"]
    assert "defined is 2500 MiB" in finding["evidence"]
    assert (
        f"kubectl delete deployments.apps,statefulsets.apps,cronjobs.batch,jobs.batch -n {stack.physical}"
        in finding["fix"]
    )


def test_a_stack_whose_state_is_lost_is_examined_and_cleared_away(tmp_path: Path, mesh: bool) -> None:
    """What is left is a namespace with the stack's labels and a program with its claim; no settings, no state."""
    stack = Stack("render", tmp_path, {})
    labels = stack_labels(PROJECT, stack.name)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": stack.physical, "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    template = pod(stack.physical, stack.name, "redis", "sleep 600", volumeMounts=[{"name": "d", "mountPath": "/d"}])
    template["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": template["metadata"],
        "spec": {
            "selector": {"matchLabels": {LABEL_COMPONENT: "redis"}},
            "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]},
        },
    }
    with namespace(stack.physical, **labels) as where:
        for manifest in (claim, deployment):
            kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        kubectl("wait", "-n", where, "deployment/redis", "--for=condition=Available", "--timeout=60s")
        seen = stack.stackctl("doctor", "--target", "kubernetes", "--output", "json", check=False)
        assert "stack-missing" not in seen.stdout
        shown = stack.stackctl("cleanup", "--target", "kubernetes", "--dry-run").stdout
        assert [line.split()[:2] for line in shown.splitlines()] == [
            ["Deployment", f"{where}/redis"], ["PersistentVolumeClaim", f"{where}/data"], ["Namespace", where],
        ]  # fmt: skip
        dirty = stack.stackctl("verify-clean", "--target", "kubernetes", check=False)
        assert dirty.returncode == 1
        assert f"Namespace {where}" in dirty.stdout
        volume = get("pvc", "data", "-n", where)["spec"]["volumeName"]
        stack.stackctl("cleanup", "--target", "kubernetes", "--yes")
        stack.stackctl("verify-clean", "--target", "kubernetes")
        until(lambda: volume not in kubectl("get", "pv", "-o", "name"), "the volume is gone", 60)
        absent = stack.stackctl("doctor", "--target", "kubernetes", "--output", "json", check=False)
        assert [finding["id"] for finding in json.loads(absent.stdout)["findings"]] == ["stack-missing"]
