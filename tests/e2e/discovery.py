"""What istiod tells a proxy, asked for as that proxy would (Envoy's aggregated discovery service)."""

from __future__ import annotations

import queue
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.e2e.harness import free_ports

_CONFIG = "type.googleapis.com/envoy.config."
LISTENERS = f"{_CONFIG}listener.v3.Listener"
ROUTES = f"{_CONFIG}route.v3.RouteConfiguration"
ENDPOINTS = f"{_CONFIG}endpoint.v3.ClusterLoadAssignment"
# Plain text, without a certificate of the mesh.
_PORT = 15010

Ask = Callable[..., list[Any]]


@contextmanager
def istiod() -> Iterator[str]:
    """An address here that leads to istiod."""
    (port,) = free_ports(1)
    forward = subprocess.Popen(
        ("kubectl", "port-forward", "-n", "istio-system", "deployment/istiod", f"{port}:{_PORT}"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"127.0.0.1:{port}"
    finally:
        forward.terminate()
        forward.wait(10)


@contextmanager
def asking(address: str, kind: str, namespace: str, name: str, labels: Mapping[str, str]) -> Iterator[Ask]:
    """A conversation as a proxy of `kind` (waypoint or router): a function from resource type and names to messages."""
    import grpc
    from envoy.config.core.v3 import base_pb2
    from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
    from google.protobuf import struct_pb2

    metadata = struct_pb2.Struct()
    metadata.update(
        {"NAMESPACE": namespace, "CLUSTER_ID": "Kubernetes", "SERVICE_ACCOUNT": name, "LABELS": dict(labels)}
    )
    node = base_pb2.Node(id=f"{kind}~192.0.2.1~{name}-test.{namespace}~{namespace}.svc", metadata=metadata)
    questions: queue.SimpleQueue[Any] = queue.SimpleQueue()

    with grpc.insecure_channel(address) as channel:
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        answers = stub.StreamAggregatedResources(iter(questions.get, None), timeout=120)

        def ask(kind: str, names: Sequence[str] = ()) -> list[Any]:
            question = discovery_pb2.DiscoveryRequest(node=node, type_url=kind, resource_names=names)
            questions.put(question)
            answer = next(a for a in answers if a.type_url == kind)
            question.version_info, question.response_nonce = answer.version_info, answer.nonce
            questions.put(question)
            return list(answer.resources)

        try:
            yield ask
        finally:
            questions.put(None)
