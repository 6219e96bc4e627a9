"""Contradictions between the settings of a stack on Kubernetes: refused by name, all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.stack import stack_spec
from platforms.kubernetes.plan import KubernetesPlan
from problems import StackError
from settings import PROJECT, Platform, from_files, parse

ROUTED: dict[str, Any] = {
    "mlflow": {"url": "https://mlflow.example.com"},
    "keycloak": {"url": "https://sso.example.com"},
    "kubernetes": {"gateway": {"name": "public", "namespace": "gateways"}},
}


def refused(config: dict[str, Any], **more: Any) -> str:
    given = {"platform": "kubernetes", **config, **more}
    with pytest.raises(StackError) as caught:
        parse({f"{PROJECT}:{key}": value for key, value in given.items()}, "test")
    return str(caught.value)


def test_its_group_belongs_to_its_platform() -> None:
    text = refused({"platform": "docker", "kubernetes": {"namespace": "x"}})
    assert "mlflow-sso:kubernetes: expected mlflow-sso:platform: kubernetes with it" in text


@pytest.mark.parametrize("key", ["replicas", "maxReplicas"])
def test_several_servers_need_artifacts_that_all_can_write(key: str) -> None:
    assert f"mlflow-sso:mlflow.{key} = 3: expected 1, mlflow-sso:mlflow.s3, or" in refused({"mlflow": {key: 3}})


def test_a_route_serves_https_alone_and_tells_hosts_apart() -> None:
    text = refused(ROUTED, mlflow={"url": "http://localhost:5000"})
    assert "mlflow-sso:mlflow.url = http://localhost:5000: expected the https URL" in text
    text = refused(ROUTED, keycloak={"url": "https://mlflow.example.com:8443"})
    assert "mlflow.example.com: expected two host names" in text


def test_one_entrance_and_one_certificate() -> None:
    ingress = {"tlsSecret": "a", "issuer": "b"}
    text = refused(ROUTED, kubernetes={"ingress": ingress})
    assert "expected one of tlsSecret, issuer and clusterIssuer" in text
    both = {"gateway": {"name": "a", "namespace": "b"}, "ingress": {"tlsSecret": "a"}}
    assert "expected gateway or ingress, not both" in refused(ROUTED, kubernetes=both)


def test_the_waypoint_has_to_read_requests(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    tls = {"certificateFile": str(tmp_path / "tls.pem"), "keyFile": str(tmp_path / "tls.pem")}
    text = refused({"mlflow": {"url": "https://localhost:5000", "tls": tls}})
    assert "mlflow.tls.certificateFile" in text
    assert "the waypoint has to read requests" in text


def test_every_mistake_is_named_at_once() -> None:
    text = refused({
        "mlflow": {"replicas": 2},
        "keycloak": {"replicas": 0},
        "kubernetes": {"namespace": "Not_A_Label", "oauthSecret": "UPPER", "imagePullPolicy": "Sometimes"},
    })  # fmt: skip
    for key in ("mlflow.replicas", "keycloak.replicas", "kubernetes.namespace", "kubernetes.oauthSecret"):
        assert f"mlflow-sso:{key}" in text
    assert "kubernetes.imagePullPolicy" in text


def test_an_unknown_key_is_named_with_the_nearest_one() -> None:
    assert "did you mean waypoint?" in refused({"kubernetes": {"mesh": {"waypiont": "x"}}})


def test_a_limit_of_replicas_is_more_than_there_are() -> None:
    config = {"mlflow": {"replicas": 3, "maxReplicas": 3, "s3": {"bucket": "artifacts"}}}
    assert "mlflow.maxReplicas = 3: expected more than mlflow.replicas (3)" in refused(config)


def plan(config: dict[str, Any], stack: str = "test") -> KubernetesPlan:
    settings = parse({f"{PROJECT}:{k}": v for k, v in {"platform": "kubernetes", **config}.items()}, stack)
    return KubernetesPlan(PROJECT, stack, stack_spec(settings).workloads, settings.kubernetes)


def test_a_namespace_is_a_label_whatever_the_stack_is_called() -> None:
    assert plan({}, "My_Stack.1").namespace == "mlflow-sso-my-stack-1"
    (problem,) = plan({}, "x" * 60).check()
    assert problem.where == "namespace"


def test_an_existing_claim_is_for_a_volume_there_is() -> None:
    (problem,) = plan({"kubernetes": {"storage": {"claims": {"mlflow-artefacts": "mine"}}}}).check()
    assert "expected one of mlflow-artifacts, postgres-data" in str(problem)


def test_the_shipped_stack_is_right_and_any_stack_can_be_rendered_for_it() -> None:
    assert from_files("k8s").platform is Platform.KUBERNETES
    assert from_files("dev", platform=Platform.KUBERNETES).platform is Platform.KUBERNETES
