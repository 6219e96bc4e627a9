"""What the waypoint lets through: the policy that istiod compiles from the rendered one, run by a real Envoy."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from components.importing import importing_workloads
from components.stack import stack_spec
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.plan import KubernetesPlan
from settings import PROJECT, parse
from tests.e2e import discovery, envoy
from tests.e2e.cluster import cluster_or_skip, has_istio, kubectl, namespace, until

COLLECTOR = "spiffe://cluster.local/ns/otel-collector/sa/otel-collector"
NEIGHBOUR = "spiffe://cluster.local/ns/otel-collector/sa/default"
NAMESAKE = "spiffe://cluster.local/ns/elsewhere/sa/otel-collector"
FOREIGN = "spiffe://other.example/ns/otel-collector/sa/otel-collector"
LONGER = COLLECTOR + "-two"
NOBODY = ""
OTHERS = (NEIGHBOUR, NAMESAKE, FOREIGN, LONGER, NOBODY)

# Every spelling of the reserved paths that MLflow, which decodes a path before it routes, would take for one.
RESERVED = (
    "/v1/traces",
    "/v1/traces/",
    "/v1/traces/a/b",
    "/v1/traces?x=1",
    "/v1/./traces",
    "/v1/x/../traces",
    "/v1/%74races",
    "/%76%31/traces",
)
OUTSIDE = ("/", "/api/2.0/mlflow/experiments/search", "/v1/tracesx", "/v1", "/health", "/ajax-api/v1/traces")
KINDS = ("Gateway", "Service", "AuthorizationPolicy", "ConfigMap")


@pytest.fixture(scope="module")
def waypoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an Envoy that decides as the waypoint would."""
    cluster_or_skip()
    if not has_istio():
        pytest.skip("this cluster has no Istio")
    envoy.envoy_or_skip()
    with namespace(f"policy-{secrets.token_hex(3)}") as where:
        chosen = parse({f"{PROJECT}:platform": "kubernetes", f"{PROJECT}:kubernetes": {"namespace": where}}, "policy")
        plan = KubernetesPlan(PROJECT, "policy", importing_workloads(stack_spec(chosen)), chosen.kubernetes)
        wanted = [manifest for manifest in every_object(plan) if manifest["kind"] in KINDS]
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
        found: list[envoy.Compiled] = []
        with discovery.istiod() as address:
            until(lambda: _compile(address, where, found), "istiod compiles the policy", 180)
    with envoy.running(found[0], tmp_path_factory.mktemp("envoy")) as answering:
        yield answering


def _compile(address: str, where: str, found: list[envoy.Compiled]) -> bool:
    import grpc

    try:
        policy = envoy.compiled(address, where, "waypoint", "mlflow")
    except grpc.RpcError:
        return False
    if policy is not None:
        found.append(policy)
    return policy is not None


@pytest.mark.parametrize("path", RESERVED)
def test_the_collector_alone_posts_traces(waypoint: int, path: str) -> None:
    assert envoy.ask(waypoint, COLLECTOR, "POST", path) == 200
    for identity in OTHERS:
        assert envoy.ask(waypoint, identity, "POST", path) == 403, identity


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "post"])
def test_the_collector_does_nothing_else_there(waypoint: int, method: str) -> None:
    for identity in (COLLECTOR, *OTHERS):
        assert envoy.ask(waypoint, identity, method, "/v1/traces") in (400, 403), identity


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_everything_else_is_for_everybody(waypoint: int, path: str, method: str) -> None:
    for identity in (COLLECTOR, *OTHERS):
        assert envoy.ask(waypoint, identity, method, path) == 200, identity
