"""People's way in, for real: what istiod makes of a Gateway's routes or of an Ingress, run by an Envoy in a pod.

istiod is a controller of both. Its own proxy is published as an image only, so a plain Envoy takes its place: it gets
the listeners, routes and endpoints that istiod would send, without the filters that only Istio's build knows.
"""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import discovery
from tests.e2e.cluster import get, kubectl, namespace, run_pod, until
from tests.e2e.envoy import PROGRAM
from tests.e2e.harness import free_ports

GATEWAY, CERTIFICATE = "public", "public-tls"
INGRESS_CONTROLLER = "istio.io/ingress-controller"
_GATEWAY_LABELS = {"gateway.networking.k8s.io/gateway-name": GATEWAY}
# The proxies that serve Ingresses, as istiod knows them by default.
_INGRESS_LABELS = {"istio": "ingressgateway"}
_PLAIN_TYPES = "type.googleapis.com/envoy."
# Envoy is started anew whenever it ends, so that a new configuration needs no new pod.
_RUN = """
while [[ ! -f /tmp/run ]]; do sleep 0.2; done
while :; do
  /tmp/envoy -c /tmp/envoy.json --use-dynamic-base-id --concurrency 1 --log-level error &
  echo $! > /tmp/envoy.pid
  wait $!
  sleep 0.2
done
"""
# Ends the one that runs, if any, and waits for the next to listen: a forward ends at the first refused connection.
_SERVE = """
if [[ -f /tmp/run ]]; then
  old=$(< /tmp/envoy.pid)
  kill $old
  while kill -0 $old 2> /dev/null; do sleep 0.1; done
fi
touch /tmp/run
for _ in {{1..900}}; do
  (exec 3<> /dev/tcp/127.0.0.1/{port}) 2> /dev/null && exit 0
  sleep 0.2
done
exit 1
"""


@dataclass
class Entrance:
    """A namespace with a Gateway, a certificate for both hosts, and a pod that serves them on `port`.

    proxies: the network that the pod's address is of.
    """

    namespace: str
    port: int
    hosts: tuple[str, str]
    ca_file: Path
    ingress_class: str
    proxies: str
    forward: subprocess.Popen[bytes] | None = None

    def url(self, host: int) -> str:
        return f"https://{self.hosts[host]}:{self.port}"

    def serve(self, kind: str, stack: str) -> None:
        """Have Envoy serve what istiod makes of the `gateway` or the `ingress` of the stack in namespace `stack`."""
        labels = _GATEWAY_LABELS if kind == "gateway" else _INGRESS_LABELS
        found: list[dict[str, Any]] = []
        # This takes as long as a conversation may, and so comes before it.
        _know_extensions()
        import grpc

        def complete() -> bool:
            with discovery.istiod() as istiod:
                _wait_port(int(istiod.rpartition(":")[2]))
                try:
                    with discovery.asking(istiod, "router", self.namespace, GATEWAY, labels) as ask:
                        made = _Compiler(ask, stack, self.port).configuration()
                except grpc.RpcError:
                    return False
            found[:] = [made]
            text = json.dumps(made)
            return all(f'"{host}"' in text for host in self.hosts)

        until(complete, f"istiod's configuration for the {kind}", 180)
        if self.forward is None:
            # Its image is one that the stack has brought to the cluster.
            run_pod(self.namespace, GATEWAY, ["bash", "-c", _RUN])
            kubectl("cp", str(PROGRAM), f"{self.namespace}/{GATEWAY}:/tmp/envoy")
        inside = ("exec", "-i", "-n", self.namespace, GATEWAY, "--", "bash", "-c")
        kubectl(*inside, "cat > /tmp/envoy.json", stdin=json.dumps(found[0]))
        kubectl(*inside, _SERVE.format(port=self.port))
        self.close()
        self.forward = subprocess.Popen(
            ("kubectl", "port-forward", "-n", self.namespace, f"pod/{GATEWAY}", f"{self.port}:{self.port}"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_port(self.port)

    def close(self) -> None:
        if self.forward is not None:
            self.forward.terminate()
            self.forward.wait(10)


class _Compiler:
    """Turns istiod's resources into one static configuration of Envoy's."""

    def __init__(self, ask: discovery.Ask, stack: str, port: int) -> None:
        self._ask, self._stack, self._port = ask, stack, port

    def configuration(self) -> dict[str, Any]:
        listeners = [made for resource in self._ask(discovery.LISTENERS) if (made := self._listener(resource))]
        names = sorted(set(_values(listeners, "cluster")))
        assigned = {a["cluster_name"]: a for a in map(_plain, self._ask(discovery.ENDPOINTS, names))} if names else {}
        clusters = [
            {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": _reachable(assignment)}
            for name, assignment in assigned.items()
        ]
        return {"static_resources": {"listeners": listeners, "clusters": clusters}}

    def _listener(self, resource: Any) -> dict[str, Any] | None:
        """A listener with TLS, on the port that people use; None for any other."""
        from envoy.config.listener.v3 import listener_pb2

        listener = listener_pb2.Listener()
        resource.Unpack(listener)
        chains = [chain for chain in listener.filter_chains if chain.HasField("transport_socket")]
        if not chains:
            return None
        for chain in chains:
            self._serve(chain)
        listener.ClearField("filter_chains")
        listener.filter_chains.extend(chains)
        listener.address.socket_address.port_value = self._port
        return _plain(listener)

    def _serve(self, chain: Any) -> None:
        from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
        from envoy.extensions.transport_sockets.tls.v3 import tls_pb2

        manager = http_connection_manager_pb2.HttpConnectionManager()
        chain.filters[0].typed_config.Unpack(manager)
        (routes,) = self._ask(discovery.ROUTES, [manager.rds.route_config_name])
        routes.Unpack(manager.route_config)
        known = [f for f in manager.http_filters if f.typed_config.type_url.startswith(_PLAIN_TYPES)]
        manager.ClearField("http_filters")
        manager.http_filters.extend(known)
        manager.ClearField("tracing")
        chain.filters[0].typed_config.Pack(manager)
        tls = tls_pb2.DownstreamTlsContext()
        chain.transport_socket.typed_config.Unpack(tls)
        common = tls.common_tls_context
        for wanted in common.tls_certificate_sds_secret_configs:
            data = self._certificate(wanted.name)
            made = common.tls_certificates.add()
            made.certificate_chain.inline_string, made.private_key.inline_string = data["tls.crt"], data["tls.key"]
        common.ClearField("tls_certificate_sds_secret_configs")
        chain.transport_socket.typed_config.Pack(tls)

    def _certificate(self, reference: str) -> Mapping[str, str]:
        """The Secret that a Gateway names with its namespace, and an Ingress without: it means its own."""
        where, _, name = reference.partition("://")[2].rpartition("/")
        data = get("secret", name, "-n", where or self._stack)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _know_extensions() -> None:
    """Load the messages of Envoy's extensions, so that those inside others can be read."""
    import envoy.extensions

    for module in pkgutil.walk_packages(envoy.extensions.__path__, "envoy.extensions."):
        if module.name.endswith("_pb2"):
            importlib.import_module(module.name)


def _plain(message: Any) -> dict[str, Any]:
    from google.protobuf import any_pb2, json_format

    if isinstance(message, any_pb2.Any):
        # Unpacked by name, so that its own `@type` is no field of the result.
        shown = json_format.MessageToDict(message, preserving_proto_field_name=True)
        return {key: value for key, value in shown.items() if key != "@type"}
    return dict(json_format.MessageToDict(message, preserving_proto_field_name=True))


def _values(tree: Any, name: str) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get(name), str):
            yield tree[name]
        for inner in tree.values():
            yield from _values(inner, name)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _values(inner, name)


def _reachable(assignment: dict[str, Any]) -> dict[str, Any]:
    """The endpoints by address alone: what istiod adds for the mesh means nothing to a plain Envoy."""
    hosts = [
        {"endpoint": {"address": one["endpoint"]["address"]}}
        for group in assignment.get("endpoints", [])
        for one in group.get("lb_endpoints", [])
    ]
    return {"cluster_name": assignment["cluster_name"], "endpoints": [{"lb_endpoints": hosts}]}


@contextmanager
def entrance(folder: Path) -> Iterator[Entrance]:
    """Make the way in, reachable here by `port`."""
    name = f"edge-{secrets.token_hex(3)}"
    hosts = (f"mlflow.{name}.test", f"login.{name}.test")
    (port,) = free_ports(1)
    _self_signed(hosts, folder)
    with namespace(name) as where:
        create_certificate(where, folder)
        documents = [_gateway(where, port), _ingress_class(name)]
        kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
        made = Entrance(where, port, hosts, folder / "tls.crt", name, _pod_network())
        try:
            yield made
        finally:
            made.close()
            kubectl("delete", "ingressclass", name)


def create_certificate(where: str, folder: Path) -> None:
    """The existing Secret that a Gateway or an Ingress names."""
    files = (f"--cert={folder / 'tls.crt'}", f"--key={folder / 'tls.key'}")
    kubectl("create", "secret", "tls", CERTIFICATE, "-n", where, *files)


@contextmanager
def resolving(hosts: tuple[str, str], ca_file: Path) -> Iterator[None]:
    """Within this process the two hosts are this machine, and their certificate is trusted."""
    ask = socket.getaddrinfo

    def answer(host: Any, *args: Any, **more: Any) -> Any:
        return ask("127.0.0.1" if host in hosts else host, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", answer)
        patch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
        yield


def _gateway(where: str, port: int) -> dict[str, Any]:
    listener = {
        "name": "https",
        "port": port,
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": CERTIFICATE}]},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        # No cloud is there to give it an address.
        "metadata": {
            "name": GATEWAY,
            "namespace": where,
            "annotations": {"networking.istio.io/service-type": "ClusterIP"},
        },
        "spec": {"gatewayClassName": "istio", "listeners": [listener]},
    }


def _ingress_class(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name},
        "spec": {"controller": INGRESS_CONTROLLER},
    }


def _pod_network() -> str:
    """The network of the cluster's pods, 16 bits of it, as one pod's address tells."""
    pods = get("pods", "-n", "istio-system", "--field-selector=status.phase=Running")["items"]
    return str(ip_network(f"{pods[0]['status']['podIP']}/16", strict=False))


def _wait_port(port: int) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "istiod is not reached"
            time.sleep(0.1)


def _self_signed(hosts: tuple[str, ...], folder: Path) -> None:
    """A certificate for the hosts that is its own CA."""
    names = ",".join(f"DNS:{host}" for host in hosts)
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=public",
         "-addext", f"subjectAltName={names}", "-out", folder / "tls.crt", "-keyout", folder / "tls.key"),
        check=True, capture_output=True,
    )  # fmt: skip
