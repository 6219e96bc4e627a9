"""What is asked of a cluster before the first object is made, on a kubectl that answers as it is told."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.preflight import check_cluster
from tests.contract.kubernetes_samples import FETCHED, KEPT, OPERATED, OUTSIDE, SCALED, plan

FAKE = """#!/usr/bin/env python3
import json, sys
answers = json.loads(open({path!r}).read())
words = [w for w in sys.argv[1:] if not w.startswith("-")]
for start, answer in answers:
    if words[: len(start)] == start:
        if answer is None:
            sys.exit("error: the connection to the server was refused")
        if answer == "reviews":
            items = json.load(sys.stdin)["items"]
            for item in items:
                what = item["spec"]["resourceAttributes"]
                name = what["verb"] + " " + what["resource"]
                item["status"] = {{"allowed": name not in {denied!r}}}
            answer = "\\n".join(json.dumps(item, indent=1) for item in items) + "\\n"
        sys.stdout.write(answer if isinstance(answer, str) else json.dumps(answer))
        sys.exit(0)
sys.exit("unexpected: " + " ".join(sys.argv[1:]))
"""
STANDARD = {"metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}


def gateway(**listeners: str) -> dict[str, Any]:
    """One with these listeners and their protocols."""
    found = [{"name": name, "protocol": protocol, "port": 443} for name, protocol in listeners.items()]
    return {"metadata": {"name": "public"}, "spec": {"listeners": found}}


class Cluster:
    """The answers of a cluster, by the first words of the question."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        folder.mkdir()
        self.denied: list[str] = []
        self.answers: dict[tuple[str, ...], Any] = {
            ("config", "view"): "https://cluster.example:6443",
            ("version",): {"serverVersion": {"major": "1", "minor": "34", "gitVersion": "v1.34.3"}},
            ("get", "/apis"): self.groups("gateway.networking.k8s.io", "security.istio.io", "cert-manager.io"),
            ("create",): "reviews",
            ("get", "namespace"): "",
            ("get", "storageclasses"): {"items": [STANDARD]},
            ("get", "gatewayclass"): {"metadata": {"name": "istio-waypoint"}},
            ("get", "gateways.gateway.networking.k8s.io"): gateway(https="HTTPS", http="HTTP"),
            ("get", "ingressclass"): {"metadata": {"name": "nginx"}},
            ("get", "services"): {"items": []},
        }
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    @staticmethod
    def groups(*names: str) -> dict[str, Any]:
        return {"groups": [{"name": name, "versions": [{"groupVersion": f"{name}/v1"}]} for name in names]}

    def problems(self, config: dict[str, Any]) -> str:
        answers = self._folder / "answers.json"
        answers.write_text(json.dumps([[list(start), answer] for start, answer in self.answers.items()]))
        command = self._folder / "kubectl"
        command.write_text(FAKE.format(path=str(answers), denied=self.denied))
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        stack = plan(config)
        return "\n".join(str(problem) for problem in check_cluster(stack, every_object(stack)))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(tmp_path / "bin", monkeypatch)


def test_a_fit_cluster_has_no_problem(cluster: Cluster) -> None:
    assert cluster.problems({}) == ""


def test_one_that_does_not_answer_is_the_only_problem(cluster: Cluster) -> None:
    cluster.answers["version",] = None
    assert cluster.problems({}) == (
        "kubernetes cluster: expected one that answers (the connection to the server was refused); "
        "see KUBECONFIG and `kubectl cluster-info`"
    )


def test_an_old_one_is_named_with_its_version(cluster: Cluster) -> None:
    cluster.answers["version",]["serverVersion"] |= {"minor": "29+", "gitVersion": "v1.29.1"}
    assert "= v1.29.1: expected 1.30 or later" in cluster.problems({})


def test_missing_apis_are_named_with_what_brings_them(cluster: Cluster) -> None:
    cluster.answers["get", "/apis"] = cluster.groups("apps")
    text = cluster.problems(SCALED)
    assert "no AuthorizationPolicy, PeerAuthentication: expected Istio (its CRDs) there" in text
    assert (
        "no Gateway, HTTPRoute: expected the Gateway API (its CRDs) there, "
        "or kubernetes.mesh.enabled: false and no kubernetes.gateway"
    ) in text, "one of the two settings alone leads to another refusal"
    assert cluster.problems({"kubernetes": {"mesh": {"enabled": False}}}) == ""


def test_istio_without_its_ambient_profile_is_named(cluster: Cluster) -> None:
    cluster.answers["get", "gatewayclass"] = ""
    assert "expected the GatewayClass istio-waypoint" in cluster.problems({})


def test_every_missing_permission_is_named(cluster: Cluster) -> None:
    cluster.denied = ["create networkpolicies", "create pods/portforward"]
    text = cluster.problems({})
    assert "kubernetes permission = create networkpolicies.networking.k8s.io: expected this user to have it" in text
    assert "create pods/portforward" in text
    assert text.count("\n") == 1


def test_an_unknown_storage_class_is_named_with_the_known_ones(cluster: Cluster) -> None:
    text = cluster.problems({"kubernetes": {"storage": {"className": "fast"}}})
    assert text == "kubernetes.storage.className = fast: expected one of standard"
    cluster.answers["get", "storageclasses"] = {"items": []}
    assert "the cluster has no default; expected one of none" in cluster.problems({})


def namespace(labels: dict[str, str], phase: str = "Active") -> dict[str, Any]:
    return {"metadata": {"name": "x", "labels": labels}, "status": {"phase": phase}}


def test_a_namespace_of_somebody_else_is_not_taken_over(cluster: Cluster) -> None:
    cluster.answers["get", "namespace"] = namespace({})
    assert "is there and not made by this stack" in cluster.problems({})
    cluster.answers["get", "namespace"] = namespace({"mlflow-sso.project": "mlflow-sso", "mlflow-sso.stack": "other"})
    assert "is there and stack other's" in cluster.problems({})
    cluster.answers["get", "namespace"] = namespace({"mlflow-sso.project": "mlflow-sso", "mlflow-sso.stack": "test"})
    assert cluster.problems({}) == ""
    cluster.answers["get", "namespace"]["status"]["phase"] = "Terminating"
    assert "is being deleted" in cluster.problems({})


def test_two_stacks_do_not_share_a_namespace(cluster: Cluster) -> None:
    assert "expected one that is there, or kubernetes.createNamespace: true" in cluster.problems(OUTSIDE)
    cluster.answers["get", "namespace"] = namespace({})
    assert cluster.problems(OUTSIDE) == ""
    cluster.answers["get", "services"] = {"items": [{"metadata": {"labels": {"mlflow-sso.stack": "other"}}}]}
    assert "holds stack other; expected a namespace of its own" in cluster.problems(OUTSIDE)


def test_a_namespace_with_sidecars_cannot_be_in_the_ambient_mesh(cluster: Cluster) -> None:
    cluster.answers["get", "namespace"] = namespace({"istio-injection": "enabled"})
    assert "expected it without sidecar injection" in cluster.problems(OUTSIDE)


def test_a_gateway_a_class_and_cert_manager_have_to_be_there(cluster: Cluster) -> None:
    cluster.answers["get", "storageclasses"]["items"] += [{"metadata": {"name": n}} for n in ("fast", "nfs")]
    assert cluster.problems(SCALED) == ""
    cluster.answers["get", "gateways.gateway.networking.k8s.io"] = ""
    assert "kubernetes.gateway = gateways/public: expected a Gateway that is there" in cluster.problems(SCALED)
    cluster.answers["get", "namespace"] = namespace({})
    cluster.answers["get", "ingressclass"] = ""
    cluster.answers["get", "/apis"] = cluster.groups("gateway.networking.k8s.io", "security.istio.io")
    text = cluster.problems(OUTSIDE)
    assert "kubernetes.ingress.className = nginx: expected an IngressClass that is there" in text
    assert "kubernetes.ingress = letsencrypt: expected cert-manager on the cluster" in text


@pytest.mark.parametrize(
    ("section", "listeners", "expected"),
    [
        (None, {"web": "HTTPS"}, ""),
        (None, {"web": "HTTPS", "other": "HTTPS", "db": "TCP"}, ""),
        (None, {"web": "HTTPS", "plain": "HTTP"}, ": expected an https listener of the Gateway: web; tokens in clear"),
        (None, {"plain": "HTTP"}, "none, and it needs one; tokens in clear come in at plain"),
        ("web", {"web": "HTTPS", "plain": "HTTP"}, ""),
        ("plain", {"web": "HTTPS", "plain": "HTTP"}, "section = plain: expected an https listener of the Gateway: web"),
        ("gone", {"web": "HTTPS"}, "section = gone: expected an https listener of the Gateway: web"),
    ],
)
def test_no_token_comes_in_at_a_listener_for_plain_http(
    section: str | None, listeners: dict[str, str], expected: str, cluster: Cluster
) -> None:
    cluster.answers["get", "gateways.gateway.networking.k8s.io"] = gateway(**listeners)
    where = {"name": "public", "namespace": "gateways", **({"section": section} if section else {})}
    urls = {part: {"url": f"https://{part}.example.com"} for part in ("mlflow", "keycloak")}
    found = cluster.problems({**urls, "kubernetes": {"gateway": where}})
    assert (expected in found) if expected else (found == "")


def test_a_secret_that_is_used_has_to_be_there_with_its_keys(cluster: Cluster) -> None:
    cluster.answers["get", "namespace"] = namespace({})
    cluster.answers["get", "secret", "db-mlflow"] = "username ."
    cluster.answers["get", "secret", "s3.artifacts"] = "id secret ."
    cluster.answers["get", "secret", "cache"] = ""
    cluster.answers["get", "secret"] = "password ."
    assert cluster.problems(KEPT).splitlines() == [
        "kubernetes Secret = cache: expected it to be in namespace shared already",
        "kubernetes Secret db-mlflow = password: expected one of its keys: username",
    ]


def test_a_secret_cannot_be_in_a_namespace_that_is_still_to_be_made(cluster: Cluster) -> None:
    cluster.answers["get", "secret"] = ""
    config = {**KEPT, "kubernetes": {"ingress": KEPT["kubernetes"]["ingress"]}}
    assert "in namespace mlflow-sso-test already (with kubernetes.createNamespace: false)" in cluster.problems(config)


def test_an_operator_for_secrets_and_its_store_have_to_be_there(cluster: Cluster) -> None:
    cluster.answers["get", "/apis"]["groups"] += cluster.groups("external-secrets.io")["groups"]
    cluster.answers["get", "clustersecretstores.external-secrets.io"] = {"metadata": {"name": "vault"}}
    cluster.answers["get", "secret", "models"] = "api-key ."
    assert cluster.problems(FETCHED) == ""
    cluster.answers["get", "clustersecretstores.external-secrets.io"] = ""
    text = cluster.problems(FETCHED)
    assert text == "kubernetes.externalSecrets.store = vault: expected a ClusterSecretStore"
    cluster.answers["get", "/apis"]["groups"][-1]["versions"] = [{"groupVersion": "external-secrets.io/v1beta1"}]
    assert cluster.problems(FETCHED) == (
        "kubernetes cluster = no ExternalSecret: expected the External Secrets Operator (its CRDs) there, "
        "or no kubernetes.externalSecrets"
    )


def operated(cluster: Cluster, **labels: str) -> dict[str, Any]:
    """A cluster with the operator for Postgres in the namespace that the settings name."""
    cluster.answers["get", "/apis"]["groups"] += cluster.groups("postgresql.cnpg.io")["groups"]
    cluster.answers = {
        ("get", "statefulsets.apps"): "",
        ("get", "clusters.postgresql.cnpg.io"): "",
        ("get", "namespace", "databases"): namespace({}),
        ("get", "namespace", "shared"): namespace(labels),
        **cluster.answers,
    }
    names = ("fast", "slow")
    cluster.answers["get", "storageclasses"]["items"] += [{"metadata": {"name": name}} for name in names]
    return OPERATED


def test_an_operator_for_postgres_has_to_be_there(cluster: Cluster) -> None:
    cluster.answers["get", "statefulsets.apps"] = ""
    assert (
        "kubernetes cluster = no Cluster: expected CloudNativePG (its CRDs) there, or no kubernetes.cloudNativePg"
        in cluster.problems(OPERATED)
    )
    config = operated(cluster)
    assert cluster.problems(config) == ""
    cluster.answers["get", "namespace", "databases"] = ""
    assert "cloudNativePg.operatorNamespace = databases: expected the operator's" in cluster.problems(config)
    cluster.answers["get", "storageclasses"]["items"].pop(1)
    assert "kubernetes.storage.className = fast: expected one of slow, standard" in cluster.problems(config)


def test_its_jobs_have_to_be_in_the_mesh_with_the_namespace(cluster: Cluster) -> None:
    config = operated(cluster)
    config = {**config, "kubernetes": {**config["kubernetes"], "namespace": "shared", "createNamespace": False}}
    assert "kubernetes.namespace = shared: expected it to be labelled istio.io/data" in cluster.problems(config)
    cluster.answers["get", "namespace", "shared"] = namespace({"istio.io/dataplane-mode": "ambient"})
    assert cluster.problems(config) == ""


def test_data_are_not_left_behind_when_another_kind_runs_postgres(cluster: Cluster) -> None:
    config = operated(cluster)
    ours = {"mlflow-sso.project": "mlflow-sso", "mlflow-sso.stack": "test"}
    cluster.answers["get", "statefulsets.apps"] = {"kind": "StatefulSet", "metadata": {"name": "x", "labels": ours}}
    assert "cloudNativePg = set: expected it as it was: StatefulSet postgres holds the data" in cluster.problems(config)
    assert cluster.problems({}) == ""
    cluster.answers["get", "clusters.postgresql.cnpg.io"] = {"kind": "Cluster", "metadata": {"labels": ours}}
    assert "cloudNativePg = not set: expected it as it was: Cluster postgres holds the data" in cluster.problems({})
