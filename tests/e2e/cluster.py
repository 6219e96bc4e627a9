"""A cluster under test: the one that KUBECONFIG names. Everything made here has a name of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from components.mlflow import SERVER as MLFLOW
from settings import Settings, parse
from settings.versions import image
from tests.e2e.harness import eventually

# The namespace whose pods may call the stack that the tests share; a test makes it where it needs one.
JOBS = f"jobs-{secrets.token_hex(3)}"
# Seconds that a new policy may take until it holds.
_POLICY = 60
# A pod that the Pod Security Standard `restricted` admits.
_RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def kubectl(*args: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run(("kubectl", *args), input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(args)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + ("" if done.returncode == 0 else done.stderr)


def get(*args: str) -> Any:
    return json.loads(kubectl("get", *args, "-o", "json"))


def cluster_or_skip() -> None:
    """Skip, with the reason, where there is no cluster to test on."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    kubectl("version")


def has_istio() -> bool:
    return "security.istio.io" in kubectl("get", "--raw", "/apis")


def lacking(where: str) -> set[str]:
    """What the doctor finds in a stack that is as it should be: nothing, where the mesh has a data plane.

    Without one no waypoint ever starts and nobody takes over a pod's traffic, and it says so.
    """
    gateways = get("gateways.gateway.networking.k8s.io", "-n", where)["items"] if has_istio() else []
    if not gateways or "ambient.istio.io/redirection" in kubectl("get", "pods", "-n", where, "-o", "json"):
        return set()
    return {"waypoint", "not-in-mesh"}


def until(condition: Callable[[], bool], what: str, seconds: int = 120) -> None:
    eventually(condition, bool, what, seconds)


@contextmanager
def namespace(name: str, **labels: str) -> Iterator[str]:
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    kubectl("create", "-f", "-", stdin=json.dumps(document))
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def run_pod(where: str, name: str, command: list[str], env: dict[str, str] | None = None, **labels: str) -> None:
    """Start a pod of the MLflow image, which holds bash and Python."""
    chosen: Settings = parse({}, "any")
    container = {
        "name": name,
        "image": image(chosen, MLFLOW),
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": where, "labels": {"app": name, **labels}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": _RESTRICTED,
            "containers": [container],
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(document))
    kubectl("wait", "-n", where, f"pod/{name}", "--for=condition=Ready", "--timeout=180s")


# From the node: what is process 1 of a container takes no SIGKILL from inside it.
_KILL = """
for pod in $PODS; do
  for file in $(grep -lE "$pod|${pod//-/_}" /proc/[0-9]*/cgroup); do
    process=${file%/cgroup}
    [[ $(< $process/comm) == pause ]] || kill -9 ${process#/proc/}
  done
done 2> /dev/null
sleep 600
"""


def kill_programs(where: str, uids: Sequence[str]) -> None:
    """End every process of these pods at once, as a node short of memory would; `where` admits a privileged pod."""
    chosen: Settings = parse({}, "any")
    container = {
        "name": "killer",
        "image": image(chosen, MLFLOW),
        "imagePullPolicy": "IfNotPresent",
        "command": ["bash", "-c", _KILL],
        "env": [{"name": "PODS", "value": " ".join(uids)}],
        "securityContext": {"runAsUser": 0, "privileged": True},
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "killer", "namespace": where},
        "spec": {"hostPID": True, "restartPolicy": "Never", "containers": [container]},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(document))


def connects(where: str, pod: str, host: str, port: int) -> bool:
    """Whether a TCP connection from a pod is taken."""
    script = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{host}/{port}' && echo connected || echo refused"
    shown = kubectl("exec", "-n", where, pod, "--", "bash", "-c", script)
    return shown.strip().splitlines()[-1] == "connected"


def reaches(where: str, pod: str, host: str, port: int) -> None:
    """Waits while a busy machine takes longer than one try does."""
    until(lambda: connects(where, pod, host, port), f"{pod} connects to {host}:{port}")


def address(where: str, service: str) -> str:
    return str(get("service", service, "-n", where)["spec"]["clusterIP"])


# Whether the cluster enforces policies, once it was asked.
_ENFORCES: list[bool] = []


def enforces_policies(where: str, pod: str) -> bool:
    """Whether a pod that may connect nowhere still reaches the API server."""
    if not _ENFORCES:
        _ENFORCES.append(_is_held_back(where, pod))
    return _ENFORCES[0]


def _is_held_back(where: str, pod: str) -> bool:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "nowhere", "namespace": where},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    }
    server = address("default", "kubernetes")
    # Without a policy.
    reaches(where, pod, server, 443)
    kubectl("create", "-f", "-", stdin=json.dumps(policy))
    try:
        deadline = time.monotonic() + _POLICY
        while time.monotonic() < deadline:
            if not connects(where, pod, server, 443):
                return True
        return False
    finally:
        kubectl("delete", "networkpolicy", "nowhere", "-n", where)
