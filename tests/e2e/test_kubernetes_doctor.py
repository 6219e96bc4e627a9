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
        until(lambda: _stuck(stack.physical), "the pods are stuck", 60)
        yield
    finally:
        names = [one["metadata"]["name"] for one in made]
        kubectl("delete", "pod", "-n", stack.physical, *names, "--force", "--grace-period=0")


def _stuck(where: str) -> bool:
    shown = {p["metadata"]["name"]: json.dumps(p["status"]) for p in get("pods", "-n", where)["items"]}
    words = {"flaps": "CrashLoopBackOff", "starves": "OOMKilled", "waits": "Unschedulable", "lacks": "ImagePullBackOff"}
    return all(word in shown.get(name, "") for name, word in words.items())


def test_failures_of_a_cluster_are_named_and_mended_as_told(patient: Patient, mesh: bool) -> None:
    stack, where = patient.stack, patient.stack.physical
    usual = lacking(where)
    with beside(stack):
        patient.change_client("mlflow", secret=WRONG)
        sql(where, f"ALTER ROLE mlflow PASSWORD '{WRONG}'")
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
            until(lambda: "exceeded quota" in kubectl("get", "events", "-n", where), "the quota is felt", 20)
            if mesh:
                until(lambda: "AncestorNotBound" in kubectl("get", POLICIES, "-n", where, "-o", "json"), "istiod", 20)
            found = patient.examine()
        finally:
            if mesh:
                kubectl("delete", GATEWAYS, "ill", "-n", where)
            kubectl("delete", "quota", "small", "-n", where)
    assert set(found) == {
        "pod-pending", "pod-refused", "image-unavailable", "container-restarting", "container-out-of-memory",
        "network-policy", "redis-unreachable", "client-credentials", "database-password",
        *(("mesh-policy", "waypoint", "not-in-mesh") if mesh else ()),
    }  # fmt: skip
    evidence = {kind: " | ".join(finding["evidence"] for finding in some) for kind, some in found.items()}
    assert f"{where}/waits: not scheduled: " in evidence["pod-pending"]
    assert "Insufficient memory" in evidence["pod-pending"]
    assert f"Deployment {where}/redis: " in evidence["pod-refused"]
    assert "exceeded quota: small" in evidence["pod-refused"]
    assert found["pod-refused"][0]["fix"] == f"kubectl edit resourcequota small -n {where}"
    assert f"{PROJECT}/none:0" in evidence["image-unavailable"]
    assert f"{where}/flaps: CrashLoopBackOff" in evidence["container-restarting"]
    assert "no such table" in found["container-restarting"][0]["cause"]
    assert "16Mi" in found["container-out-of-memory"][0]["cause"]
    assert evidence["network-policy"] == f"NetworkPolicy {where}/redis is not there"
    assert "changed in Keycloak" in found["client-credentials"][0]["cause"]
    assert "changed in the database" in found["database-password"][0]["cause"]
    if mesh:
        assert f"AuthorizationPolicy {where}/mlflow-connections is not there" in evidence["mesh-policy"]
        assert f"AuthorizationPolicy {where}/mlflow-requests is not accepted; AncestorN" in evidence["mesh-policy"]
        assert f"Gateway {where}/waypoint is not there" in evidence["waypoint"]
        assert f"Gateway {where}/ill is not Accepted; InvalidParameters" in evidence["waypoint"]
        assert f"namespace {where} has no label istio.io/dataplane-mode=ambient" in evidence["not-in-mesh"]
        assert f"Service {where}/mlflow has no label istio.io/use-waypoint=waypoint" in evidence["not-in-mesh"]
    mend(found["client-credentials"][0])
    mend(found["database-password"][0])
    # What the others name: `stackctl up` with this stack's settings.
    stack.up()
    patient.settle()
    # A waypoint is given its time to start, with or without an image to start from.
    until(lambda: set(patient.examine()) == usual, "nothing but the usual is found", 60)


def _ill(gateway: dict[str, Any]) -> dict[str, Any]:
    """A waypoint that istiod does not accept."""
    labels, spec = gateway["metadata"]["labels"], gateway["spec"]
    spec["infrastructure"]["parametersRef"]["name"] = "gone"
    metadata = {"name": "ill", "namespace": gateway["metadata"]["namespace"], "labels": labels}
    return {"apiVersion": gateway["apiVersion"], "kind": "Gateway", "metadata": metadata, "spec": spec}


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
    assert f"kubectl delete deployments.apps,statefulsets.apps -n {stack.physical}" in finding["fix"]


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
