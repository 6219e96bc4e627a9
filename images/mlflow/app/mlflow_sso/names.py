"""The names by which pods of a cluster call this server, besides those that it was told.

Source: "DNS for Services and Pods" of Kubernetes: a pod's resolver searches NAMESPACE.svc.DOMAIN first.
"""

import os
import re
from pathlib import Path

_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
_SEARCH = re.compile(r"([a-z0-9-]+)\.svc\.([a-z0-9.-]+)")
# A host without a dot is the name of a service; the loopback name is not one.
_SERVICE = re.compile(r"(?!localhost\b)([a-z][a-z0-9-]*)(:\d+)?")


def with_cluster_names(hosts: str, resolver: str) -> str:
    """The hosts, and every name of those that are services of a cluster. resolver: the text of /etc/resolv.conf."""
    known = [host.strip() for host in hosts.split(",") if host.strip()]
    searched = [word for line in resolver.splitlines() if line.startswith("search") for word in line.split()[1:]]
    places = [match for match in map(_SEARCH.fullmatch, searched) if match]
    for service in [match for match in map(_SERVICE.fullmatch, known) if match]:
        name, port = service[1], service[2] or ""
        for namespace, domain in (place.groups() for place in places[:1]):
            for end in (namespace, f"{namespace}.svc", f"{namespace}.svc.{domain.rstrip('.')}"):
                known.append(f"{name}.{end}{port}")
    return ",".join(dict.fromkeys(known))


def add() -> None:
    """Lets the guard and MLflow answer for these names too, before either reads the variable."""
    if hosts := os.environ.get(_HOSTS):
        resolver = Path("/etc/resolv.conf")
        os.environ[_HOSTS] = with_cluster_names(hosts, resolver.read_text() if resolver.exists() else "")
