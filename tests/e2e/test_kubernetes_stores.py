"""Objects that other operators act on, on a real API server. No such operator runs: its kinds are there, or are not."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import cluster_or_skip, kubectl, until
from tests.e2e.harness import Stack

GROUPS = {"Cluster": "postgresql.cnpg.io", "ExternalSecret": "external-secrets.io"}
SETTINGS: dict[str, Any] = {"cloudNativePg": {"instances": 2}, "externalSecrets": {"store": "vault"}}


def definition(kind: str) -> dict[str, Any]:
    """A kind that takes whatever it is given."""
    plural = kind.lower() + "s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUPS[kind]}"},
        "spec": {
            "group": GROUPS[kind],
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def bare() -> None:
    cluster_or_skip()
    served = kubectl("get", "--raw", "/apis")
    if any(group in served for group in GROUPS.values()):
        pytest.skip("this cluster has the operators themselves, whose objects are not for a test to make")


@pytest.fixture
def stack(bare: None, tmp_path: Path) -> Stack:
    return Stack.make("render", tmp_path, platform="kubernetes", kubernetes={**SETTINGS, "mesh": {"enabled": False}})


@pytest.fixture
def kinds(bare: None) -> Iterator[None]:
    names = [definition(kind)["metadata"]["name"] for kind in GROUPS]
    for kind in GROUPS:
        kubectl("create", "-f", "-", stdin=json.dumps(definition(kind)))
    try:
        kubectl("wait", "crd", *names, "--for=condition=Established", "--timeout=30s")
        yield
    finally:
        kubectl("delete", "crd", *names, "--ignore-not-found")


def test_operators_that_are_not_there_are_refused_before_the_first_object(stack: Stack) -> None:
    done = stack.up(check=False)
    assert done.returncode == 2
    assert "no Cluster: expected CloudNativePG (its CRDs) there" in done.stderr
    assert "no ExternalSecret: expected the External Secrets Operator (its CRDs) there" in done.stderr
    assert stack.physical not in kubectl("get", "namespaces", "-o", "name")


def test_a_secret_that_is_not_there_is_refused_before_the_first_object(bare: None, tmp_path: Path) -> None:
    missing = {"host": "cache.example.com", "existingSecret": {"name": f"s{secrets.token_hex(4)}"}}
    stack = Stack.make(
        "render", tmp_path, platform="kubernetes", redis={"external": missing},
        kubernetes={"namespace": "default", "createNamespace": False, "mesh": {"enabled": False}},
    )  # fmt: skip
    done = stack.up(check=False)
    assert done.returncode == 2
    assert f"kubernetes Secret = {missing['existingSecret']['name']}: expected it to be in" in done.stderr  # type: ignore[index]


def test_what_is_rendered_is_taken_found_again_and_gone_with_its_kinds(
    stack: Stack, kinds: None, tmp_path: Path
) -> None:
    stack.write_config()
    stack.stackctl("render", "--out", str(tmp_path))
    files = tmp_path / stack.name / "manifests"
    kubectl("create", "-f", str(files / "00-namespace.yaml"))
    try:
        shown = kubectl("apply", "--server-side", "--dry-run=server", "-f", str(files), check=False)
        assert "error" not in shown.lower(), shown
        made = [m for m in yaml.safe_load_all((files / "20-stack.yaml").read_text()) if m["kind"] in GROUPS]
        for manifest in made:
            kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        _an_instance(stack.physical)
        left = stack.stackctl("verify-clean", check=False)
        assert left.returncode == 1
        assert f"Cluster {stack.physical}/postgres" in left.stdout
        assert left.stdout.count("ExternalSecret ") == len(made) - 1
        assert "postgres-rw" not in left.stdout, "it goes with the Cluster"
        kubectl("delete", "crd", *(definition(kind)["metadata"]["name"] for kind in GROUPS))
        until(lambda: GROUPS["Cluster"] not in kubectl("get", "--raw", "/apis"), "the kinds are gone", 30)
        stack.stackctl("cleanup", "--yes")
        assert stack.stackctl("verify-clean").returncode == 0
    finally:
        kubectl("delete", "namespace", stack.physical, "--ignore-not-found", "--wait=false")


def _an_instance(namespace: str) -> None:
    """What an operator makes for a Cluster, here a Service, belongs to it, and is not the stack's to remove."""
    owner = json.loads(kubectl("get", f"clusters.{GROUPS['Cluster']}", "postgres", "-n", namespace, "-o", "json"))
    reference = {key: owner["metadata"][key] for key in ("name", "uid")}
    reference |= {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "postgres-rw",
            "namespace": namespace,
            "labels": owner["metadata"]["labels"],
            "ownerReferences": [reference],
        },
        "spec": {"ports": [{"port": 5432}]},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(service))
