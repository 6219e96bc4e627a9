"""What a real API server says no to, or does not have: named before the first object is made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from platforms.kubernetes.kinds import KINDS
from tests.e2e.cluster import cluster_or_skip, get, kubectl, namespace
from tests.e2e.harness import Stack, free_ports

REFUSED = 2
INGRESS = {"className": "no-such-class", "clusterIssuer": "letsencrypt"}


@pytest.fixture
def place() -> Iterator[str]:
    cluster_or_skip()
    with namespace(f"limits-{secrets.token_hex(3)}") as made:
        yield made


def _refused(stack: Stack, *words: str, **env: str) -> str:
    """`up` is refused in one message with these words, and leaves no trace on the cluster or here."""
    done = stack.up(check=False, **env)
    said = done.stdout + done.stderr
    assert done.returncode == REFUSED, said
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    for word in words:
        assert word in said, said
    assert f"namespace/{stack.physical}" not in kubectl("get", "namespaces", "-o", "name").split()
    assert not [path for path in (stack.home / "state").rglob("*") if path.is_file()]
    return said


def _made(home: Path, kubernetes: dict[str, Any], **config: Any) -> Stack:
    mesh = {"mesh": {"enabled": False}}
    return Stack.make("render", home, platform="kubernetes", kubernetes={**mesh, **kubernetes}, **config)


def _limited(place: str, folder: Path) -> Path:
    """The kubeconfig of an account that may look at everything, and make part of what a stack is made of."""
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": ["", "apps"], "resources": ["*"], "verbs": ["create", "patch", "delete"]},
    ]
    meta = {"name": place}
    subject = {"kind": "ServiceAccount", "name": "deployer", "namespace": place}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules}
    kubectl("create", "serviceaccount", "deployer", "-n", place)
    kubectl("create", "-f", "-", stdin=yaml.safe_dump(role))
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": place}
    binding = {**role, "kind": "ClusterRoleBinding", "subjects": [subject], "roleRef": reference}
    del binding["rules"]
    kubectl("create", "-f", "-", stdin=yaml.safe_dump(binding))
    shown = yaml.safe_load(kubectl("config", "view", "--raw", "--minify"))
    shown["users"][0]["user"] = {"token": kubectl("create", "token", "deployer", "-n", place).strip()}
    path = folder / "kubeconfig"
    path.touch(0o600)
    path.write_text(yaml.safe_dump(shown))
    return path


def test_every_verb_and_resource_that_is_missing(place: str, tmp_path: Path) -> None:
    try:
        said = _refused(_made(tmp_path, {}), KUBECONFIG=str(_limited(place, tmp_path)))
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", place, "--ignore-not-found")
    for kind in ("NetworkPolicy", "PodDisruptionBudget"):
        group, resource = KINDS[kind].group, KINDS[kind].plural
        for verb in ("create", "patch", "delete"):
            assert f"{verb} {resource}.{group}" in said, said
        assert f"list {resource}.{group}" not in said
    for kind in ("Deployment", "Secret", "PersistentVolumeClaim"):
        assert f" {KINDS[kind].plural}" not in said


def test_classes_and_controllers_that_are_not_there(place: str, tmp_path: Path) -> None:
    urls = {"mlflow": {"url": "https://mlflow.example.com"}, "keycloak": {"url": "https://login.example.com"}}
    known = [item["metadata"]["name"] for item in get("storageclasses")["items"]]
    stack = _made(tmp_path, {"storage": {"className": "no-such-disk"}, "ingress": INGRESS}, **urls)
    _refused(stack, "storage.className = no-such-disk", *known, "ingress.className = no-such-class", "cert-manager")
    if "gateway.networking.k8s.io" in kubectl("get", "--raw", "/apis"):
        stack = _made(tmp_path, {"gateway": {"name": "none", "namespace": place}}, **urls)
        _refused(stack, f"kubernetes.gateway = {place}/none")


def test_a_namespace_of_somebody_else(place: str, tmp_path: Path) -> None:
    _refused(_made(tmp_path, {"namespace": place}), f"kubernetes.namespace = {place}", "not made by this stack")
    _refused(_made(tmp_path, {"namespace": "no-such-space", "createNamespace": False}), "expected one that is there")
    assert not get("services,deployments,secrets", "-n", place)["items"]


def test_a_cluster_that_is_not_there(place: str, tmp_path: Path) -> None:
    _refused(_made(tmp_path, {"context": "no-such-context"}), "kubernetes cluster = no-such-context", "no-such-context")
    shown = yaml.safe_load(kubectl("config", "view", "--raw", "--minify"))
    (port,) = free_ports(1)
    shown["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path = tmp_path / "elsewhere"
    path.touch(0o600)
    path.write_text(yaml.safe_dump(shown))
    _refused(_made(tmp_path, {}), "kubernetes cluster", str(port), KUBECONFIG=str(path))
