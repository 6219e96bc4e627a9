"""Where the pods of a cluster look names up, and whether a stack's policies open the way there.

A NetworkPolicy sees a connection behind the Service: the pods that answer, at their own port. Where a cache on each
node takes queries, it sees the address that they are sent to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from platforms.kubernetes.kinds import KINDS
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.plan import DEFAULT_DENY, Manifest
from problems import Problem
from settings.kubernetes import Dns

WHERE = "kubernetes.dns"
_POLICY = KINDS["NetworkPolicy"]
# The Service of cluster DNS carries this label in every common distribution (CoreDNS and its forerunner).
_KUBE_DNS = ("kube-system", {"k8s-app": "kube-dns"})
# NodeLocal DNSCache: pods where the network redirects to them (Cilium, GKE Dataplane V2), elsewhere this address of
# each node (Kubernetes documentation, "Using NodeLocal DNSCache in Kubernetes Clusters").
_NODE_LOCAL = ("kube-system", {"k8s-app": "node-local-dns"})
_NODE_LOCAL_ADDRESS = "169.254.20.10/32"
# OpenShift's DNS operator (its documentation, "DNS Operator in OpenShift").
_OPENSHIFT = ("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"})
_OPENSHIFT_PORT = 5353
# Gardener's CoreDNS listens on the second one, since it may not bind the first.
_KUBE_DNS_PORTS = (53, 8053)


@dataclass(frozen=True)
class Pods:
    """Pods that answer; all of a namespace where they have no labels."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Addresses:
    """Addresses that answer."""

    cidr: str


def dns(told: Dns) -> dict[tuple[int, ...], list[Pods | Addresses]]:
    """Everybody who may answer, by the ports they are asked at: the usual ones, and those that the settings name."""
    found: dict[tuple[int, ...], list[Pods | Addresses]] = {
        _KUBE_DNS_PORTS: [Pods(*_KUBE_DNS)],
        (53,): [Pods(*_NODE_LOCAL), Addresses(_NODE_LOCAL_ADDRESS)],
        (_OPENSHIFT_PORT,): [Pods(*_OPENSHIFT)],
    }
    more: list[Pods | Addresses] = [Addresses(cidr) for cidr in told.addresses]
    if told.namespace is not None:
        more.append(Pods(told.namespace, told.labels))
    if more:
        found.setdefault((told.port,), []).extend(more)
    return found


def check(cluster: Kubectl, told: Dns, namespace: str) -> Iterator[Problem]:
    """Who answers in this cluster and could not be reached from a stack that comes into this namespace.

    Says nothing of what this user may not see, nor of a stack that is there: whether it finds names is seen there.
    """
    try:
        if cluster.get(_POLICY.resource, DEFAULT_DENY, namespace) is not None:
            return
        services = cluster.json("get", "services", "-n", "kube-system", "-l", "k8s-app=kube-dns", timeout=30)["items"]
        openshift = cluster.get("namespace", _OPENSHIFT[0])
        caches = cluster.json("get", "daemonsets", "-n", "kube-system", timeout=30)["items"]
    except KubernetesError:
        return
    if not services and openshift is None and told == Dns():
        expected = "expected {namespace, labels} or {addresses}: neither kube-dns nor OpenShift's DNS is there"
        yield Problem(WHERE, "", expected)
    for service in services:
        yield from _behind(cluster, told, service)
    for cache in caches:
        lacking = [address for address in _taken(cache) if not _opens(told, address)]
        if lacking:
            name = cache["metadata"]["name"]
            expected = f"expected {', '.join(lacking)} among them: {name} answers there on each node"
            yield Problem(f"{WHERE}.addresses", ", ".join(told.addresses), expected)


def _behind(cluster: Kubectl, told: Dns, service: Manifest) -> Iterator[Problem]:
    """Whether the pods behind a Service of DNS can be asked, at the ports where they are."""
    name, place = service["metadata"]["name"], service["metadata"]["namespace"]
    selector = service["spec"].get("selector") or {}
    ports = {
        ports
        for ports, answering in dns(told).items()
        for one in answering
        if isinstance(one, Pods) and one.namespace == place and one.labels.items() <= selector.items()
    }
    if selector and not ports:
        labels = ", ".join(f"{key}: {value}" for key, value in sorted(selector.items()))
        expected = f"expected {{namespace: {place}, labels: {{{labels}}}}}: these pods are behind {name}"
        yield Problem(WHERE, "", expected)
        return
    try:
        words = ("get", "endpointslices", "-n", place, "-l", f"kubernetes.io/service-name={name}")
        slices = cluster.json(*words, timeout=30)["items"]
    except KubernetesError:
        return
    asked = {port["port"] for one in slices for port in one.get("ports") or () if _is_dns(port)}
    closed = sorted(asked - {port for some in ports for port in some})
    if selector and closed:
        labels = ", ".join(f"{key}: {value}" for key, value in sorted(selector.items()))
        expected = f"expected {{namespace: {place}, labels: {{{labels}}}, port: {closed[0]}}}: {name} answers there"
        yield Problem(WHERE, f"port {told.port}", expected)


def _is_dns(port: Manifest) -> bool:
    return port.get("port") is not None and str(port.get("name", "")).startswith("dns")


def _taken(cache: Manifest) -> list[str]:
    """The addresses that a NodeLocal DNSCache takes queries at (`-localip` of its command); none of another program."""
    found = []
    for container in cache["spec"]["template"]["spec"]["containers"]:
        words = [*container.get("command", ()), *container.get("args", ())]
        for number, word in enumerate(words):
            name, same, value = word.partition("=")
            if name.lstrip("-") == "localip":
                given = value if same else next(iter(words[number + 1 :]), "")
                found += [address.strip() for address in given.split(",") if _is_address(address.strip())]
    return found


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _opens(told: Dns, address: str) -> bool:
    blocks = [
        one.cidr for ports, some in dns(told).items() if 53 in ports for one in some if isinstance(one, Addresses)
    ]
    return any(ip_address(address) in ip_network(cidr) for cidr in blocks)
