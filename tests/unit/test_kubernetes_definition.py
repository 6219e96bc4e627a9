"""What the doctor finds in the objects around a stack's pods, and in what the mesh says of them."""

from __future__ import annotations

from typing import Any

import pytest

from platforms.kubernetes.look.running import KubernetesRunning
from platforms.kubernetes.plan import Manifest
from platforms.running import Trouble
from tests.contract.kubernetes_samples import STACK, plan, settings
from tests.unit.fake_cluster import LATER, NOW, Cluster, fixed_clock, pod_of, stack

WHERE = "mlflow-sso-test"
SECURITY = 'pods "waypoint-1" is forbidden: violates PodSecurity "restricted:latest": seccompProfile'


_MADE = "ContainerCreating"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    fixed_clock(monkeypatch)
    return Cluster(monkeypatch, *stack({}))


def troubles() -> list[Trouble]:
    return KubernetesRunning(settings({}).kubernetes).troubles("mlflow-sso", STACK, plan({}).workloads)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("NetworkPolicy", "default-deny", "network-policy"),
        ("NetworkPolicy", "mlflow", "network-policy"),
        ("AuthorizationPolicy", "mlflow-requests", "mesh-policy"),
        ("PeerAuthentication", "mlflow-sso-test", "mesh-policy"),
        ("Gateway", "waypoint", "waypoint"),
        ("Service", "keycloak", "object-outdated"),
        ("ServiceAccount", "redis", "object-outdated"),
        ("PersistentVolumeClaim", "mlflow-artifacts", "object-outdated"),
        ("Secret", "mlflow-oauth-secret", "object-outdated"),
    ],
)
def test_an_object_that_was_removed_is_named(cluster: Cluster, kind: str, name: str, expected: str) -> None:
    cluster.drop(kind, name)
    [trouble] = troubles()
    assert (trouble.kind, trouble.evidence) == (expected, f"{kind} {WHERE}/{name} is not there")


def open_to_all(manifest: Manifest) -> None:
    manifest["spec"]["ingress"] = [{}]


def let_in(manifest: Manifest) -> None:
    manifest["spec"]["rules"].append({})


def elsewhere(manifest: Manifest) -> None:
    manifest["spec"]["selector"] = {"app": "other"}


@pytest.mark.parametrize(
    ("kind", "name", "change", "expected", "part"),
    [
        ("NetworkPolicy", "default-deny", open_to_all, "network-policy", "spec.ingress"),
        ("AuthorizationPolicy", "mlflow-requests", let_in, "mesh-policy", "spec.rules"),
        ("Service", "mlflow", elsewhere, "object-outdated", "spec.selector"),
    ],
)
def test_an_object_that_was_changed_is_named_with_the_part(
    cluster: Cluster, kind: str, name: str, change: Any, expected: str, part: str
) -> None:
    change(cluster.one(kind, name))
    [trouble] = troubles()
    assert trouble.kind == expected
    assert trouble.evidence == f"{kind} {WHERE}/{name} differs from its definition in {part}"


def test_what_the_api_server_fills_in_is_no_change(cluster: Cluster) -> None:
    cluster.one("Service", "mlflow")["spec"] |= {"clusterIP": "10.0.0.1", "sessionAffinity": "None"}
    cluster.one("Gateway", "waypoint")["spec"]["listeners"][0]["extra"] = {}
    assert troubles() == []


def test_labels_that_were_taken_away_are_missed(cluster: Cluster) -> None:
    del cluster.one("Namespace", WHERE)["metadata"]["labels"]["istio.io/dataplane-mode"]
    del cluster.one("Service", "mlflow")["metadata"]["labels"]["istio.io/use-waypoint"]
    found = troubles()
    assert [t.kind for t in found] == ["not-in-mesh", "not-in-mesh"]
    assert f"namespace {WHERE} has no label istio.io/dataplane-mode=ambient" in found[0].evidence
    assert f"Service {WHERE}/mlflow has no label istio.io/use-waypoint=waypoint" in found[1].evidence


def test_pods_whose_traffic_nobody_took_over_are_found(cluster: Cluster) -> None:
    for name in ("redis-1", "mlflow-1"):
        cluster.one("Pod", name)["metadata"]["annotations"] = {}
    [trouble] = troubles()
    assert trouble.kind == "not-in-mesh"
    assert trouble.evidence.endswith("mlflow-1, redis-1")


def programmed(status: str, **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Accepted", "status": "True"}, {"type": "Programmed", "status": status, **more}]}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "is not Accepted; no word of a controller"),
        (programmed("Unknown", reason="Pending", message="waiting"), "is not Programmed; Pending: waiting"),
        (programmed("False", reason="Invalid", message="no such ConfigMap"), "is not Programmed; Invalid: no such"),
    ],
)
def test_a_waypoint_that_is_not_programmed_is_found(cluster: Cluster, status: dict[str, Any], said: str) -> None:
    cluster.one("Gateway", "waypoint")["status"] = status
    [trouble] = troubles()
    assert trouble.kind == "waypoint"
    assert said in trouble.evidence


def test_a_waypoint_that_is_programmed_and_has_no_pod_that_is_ready_is_found(cluster: Cluster) -> None:
    cluster.one("Deployment", "waypoint")["status"] = {}
    pod = pod_of(cluster.one("StatefulSet", "postgres"))
    pod["metadata"] |= {"name": "waypoint-1", "labels": {"gateway.networking.k8s.io/gateway-name": "waypoint"}}
    waits = {"reason": "ImagePullBackOff", "message": "no such image"}
    pod["status"]["containerStatuses"] = [{"name": "istio-proxy", "state": {"waiting": waits}}]
    cluster.objects.append(pod)
    [trouble] = troubles()
    assert trouble.kind == "waypoint"
    assert trouble.evidence.endswith("no pod of it is ready; waypoint-1: ImagePullBackOff: no such image")
    pod["status"]["containerStatuses"] = [{"name": "istio-proxy", "state": {"waiting": {"reason": _MADE}}}]
    pod["metadata"]["creationTimestamp"] = NOW
    assert len(troubles()) == 1, "it has had its time"
    pod["metadata"]["creationTimestamp"] = LATER
    assert troubles() == []
    cluster.objects.remove(pod)
    cluster.warn("ReplicaSet", "waypoint-7d4", "FailedCreate", f"Error creating: {SECURITY}")
    [trouble] = troubles()
    assert trouble.evidence.endswith(f"Error creating: {SECURITY}")


def test_a_policy_that_the_mesh_did_not_take_is_found(cluster: Cluster) -> None:
    unbound = {"type": "WaypointAccepted", "status": "False", "reason": "AncestorNotBound", "message": "not bound"}
    cluster.one("AuthorizationPolicy", "mlflow-requests")["status"] = {"conditions": [unbound]}
    [trouble] = troubles()
    assert trouble.kind == "mesh-policy"
    assert trouble.evidence.endswith("mlflow-requests is not accepted; AncestorNotBound: not bound")
    cluster.one("AuthorizationPolicy", "mlflow-requests")["status"] = {}
    [trouble] = troubles()
    assert trouble.evidence.endswith("has no condition WaypointAccepted")
