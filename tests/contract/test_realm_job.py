"""The Job that changes the realm where files are applied by another program than `stackctl up`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.identity import REALM_JOB
from components.importing import importing_workloads
from components.keycloak import HTTP_PORT, MANAGEMENT_PORT, SERVER
from components.realm.document import realm_import
from components.realm_job import DECLARED_PATH, IMPORTED_PATH
from components.realm_words import Declared
from components.stack import stack_spec
from platforms.kubernetes import site
from platforms.kubernetes.objects.render import STACK_FILE, render
from platforms.kubernetes.plan import HBONE_PORT, NAME_KEY, KubernetesPlan, Manifest
from platforms.kubernetes.site import KubernetesPlatform
from problems import StackError
from settings import PROJECT, Settings
from stackctl.context import Context
from stackctl.engines import forward, kubectl
from stackctl.engines.kubectl import MANIFESTS, KubectlTarget
from tests.contract.kubernetes_policies import allows
from tests.contract.kubernetes_samples import HIDDEN, OPERATED, SCALED, STACK, of_kind, settings

ON: dict[str, Any] = {"kubernetes": {"realmJob": True}}
MAILED: dict[str, Any] = {
    "realm": {
        "users": [{"username": "carol", "email": "carol@example.com", "password": f"{HIDDEN}-Carol-1234"}],
        "serviceAccounts": [{"clientId": "pipelines", "groups": ["mlflow-users"]}],
        "mail": {
            "host": "mail.example.com",
            "sender": "sso@example.com",
            "username": "u",
            "password": f"{HIDDEN}-mail",
        },
    }
}


def chosen(*configs: dict[str, Any]) -> Settings:
    """Settings of several samples, one over the other, with the Job."""
    merged: dict[str, Any] = {}
    for config in (*configs, ON):
        merged |= {
            key: {**merged[key], **value} if isinstance(value, dict) and key in merged else value
            for key, value in config.items()
        }
    return settings(merged)


def rendered(*configs: dict[str, Any], kept: str = "") -> list[Manifest]:
    given = chosen(*configs)
    spec = stack_spec(given)
    stack = KubernetesPlan(PROJECT, STACK, importing_workloads(spec, kept, imported=True), given.kubernetes)
    values = {secret.name: f"{HIDDEN}-{secret.name}" for secret in (*spec.secrets, NAME_KEY)}
    given_values = {secret.name: secret.value for secret in spec.secrets if secret.value is not None}
    made = render(stack, {**values, **given_values}, spec.shared(stack.inside))
    return [*made.namespace, *made.secrets, *made.objects]


def context(given: Settings, folder: Path) -> Context:
    return Context(STACK, folder / "Pulumi.yaml", given, stack_spec(given))


def job(manifests: list[Manifest]) -> Manifest:
    (found,) = of_kind(manifests, "Job").values()
    return found


def declared(manifests: list[Manifest], path: str = DECLARED_PATH) -> dict[str, Any]:
    """A file that the Job reads."""
    pod = job(manifests)["spec"]["template"]["spec"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["mountPath"] == path]
    (volume,) = [v for v in pod["volumes"] if v["name"] == mount["name"]]
    document = json.loads(of_kind(manifests, "ConfigMap")[volume["configMap"]["name"]]["data"][mount["subPath"]])
    assert isinstance(document, dict)
    return document


def test_nobody_has_it_who_did_not_ask() -> None:
    spec = stack_spec(settings({}))
    assert REALM_JOB not in {workload.name for workload in spec.workloads}
    assert REALM_JOB not in str(spec.workloads)


def test_it_reads_what_is_declared_and_finds_each_secret_by_its_variable() -> None:
    manifests = rendered(MAILED)
    document, realm = declared(manifests), stack_spec(chosen(MAILED)).realm
    (container,) = job(manifests)["spec"]["template"]["spec"]["containers"]
    variables = {one["name"] for one in container["env"]}
    assert set(Declared) <= variables
    wanted = document["realm"]
    for secret in document["secrets"]:
        assert secret["variable"] in variables
        *above, last = secret["at"]
        tree = wanted
        for key in above:
            tree = tree[key]
        assert tree[last] == ""
        tree[last] = secret["variable"]
    assert wanted == json.loads(json.dumps(realm_import(realm, lambda secret: f"REALM_{secret.variable}")))
    assert [one["at"] for one in document["secrets"] if one["forOthers"]] == [["smtpServer", "password"]]
    assert {one["at"][0] for one in document["secrets"]} == {"clients", "users", "smtpServer"}


def test_every_secret_of_it_is_in_a_secret_and_nowhere_else() -> None:
    manifests = rendered(MAILED)
    for manifest in manifests:
        assert manifest["kind"] == "Secret" or HIDDEN not in json.dumps(manifest), manifest["metadata"]["name"]
    (container,) = job(manifests)["spec"]["template"]["spec"]["containers"]
    secret = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
    assert {Declared.SECRET, "REALM_MLFLOW_CLIENT_SECRET", "REALM_KEYCLOAK_MAIL_PASSWORD"} <= set(secret)
    assert all("secretKeyRef" in source for source in secret.values())
    assert container["args"] == ["python3", "-m", "stackctl.realm.job"]


@pytest.mark.parametrize("more", [{}, SCALED, OPERATED, {"kubernetes": {"mesh": {"enabled": False}}}])
def test_it_speaks_to_keycloak_at_one_port_and_to_nobody_else(more: dict[str, Any]) -> None:
    manifests = rendered(more)
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    own = of_kind(manifests, "NetworkPolicy")[REALM_JOB]["metadata"]["namespace"]
    mine = job(manifests)["spec"]["template"]["metadata"]["labels"]
    others = {
        m["metadata"]["name"]: m["spec"]["template"]["metadata"]["labels"]
        for m in manifests
        if m["kind"] in ("Deployment", "StatefulSet")
    }
    mesh = chosen(more).kubernetes.mesh.enabled
    for name, labels in others.items():
        for port in (HTTP_PORT, MANAGEMENT_PORT, 5432, 6379, 5000):
            may = name == SERVER and port == HTTP_PORT
            both = [allows(policies, way, *ends, own, own, port) for way, ends in (
                ("Egress", (mine, labels)), ("Ingress", (labels, mine)),
            )]  # fmt: skip
            assert all(both) is may, f"{name}:{port}"
        if mesh:
            assert allows(policies, "Egress", mine, labels, own, own, HBONE_PORT) is (name == SERVER)
        assert not allows(policies, "Ingress", mine, labels, own, own, HTTP_PORT), "nobody speaks to it"
    assert "ingress" not in of_kind(manifests, "NetworkPolicy")[REALM_JOB]["spec"]
    if mesh:
        rules = of_kind(manifests, "AuthorizationPolicy")[f"{SERVER}-connections"]["spec"]["rules"]
        (rule,) = [rule for rule in rules if f"/sa/{REALM_JOB}" in str(rule)]
        assert rule["to"] == [{"operation": {"ports": [str(HTTP_PORT)]}}]
        named = [m for m in manifests if m["kind"] == "AuthorizationPolicy" and f"/sa/{REALM_JOB}" in str(m)]
        assert [m["metadata"]["name"] for m in named] == [f"{SERVER}-connections"]


def test_a_changed_realm_is_another_job_and_leaves_keycloak_as_it_is() -> None:
    first = rendered()
    files = [text for m in first if m["kind"] == "ConfigMap" for text in m["data"].items()]
    (config,) = [text for key, text in files if key.endswith("-realm.json")]
    second = rendered(MAILED, kept=config)
    assert job(first)["metadata"]["name"] != job(second)["metadata"]["name"]
    assert of_kind(first, "Deployment")[SERVER] == of_kind(second, "Deployment")[SERVER]
    assert declared(first, IMPORTED_PATH) == declared(second, IMPORTED_PATH) == json.loads(config)
    same = rendered({"mlflow": {"workers": 3}}, kept=config)
    assert job(same)["metadata"]["name"] == job(first)["metadata"]["name"], "nothing of the realm is another"


def test_secrets_that_are_fetched_are_fetched_for_it_as_well() -> None:
    given = chosen({"kubernetes": {"externalSecrets": {"store": "vault"}}})
    spec = stack_spec(given)
    stack = KubernetesPlan(PROJECT, STACK, importing_workloads(spec), given.kubernetes)
    made = list(render(stack, {}, spec.shared(stack.inside)).objects)
    (container,) = job(made)["spec"]["template"]["spec"]["containers"]
    (name,) = {one["valueFrom"]["secretKeyRef"]["name"] for one in container["env"] if "valueFrom" in one}
    asked = of_kind(made, "ExternalSecret")[name]["spec"]["target"]["template"]["data"]
    assert asked[Declared.SECRET] == "{{ .KEYCLOAK_PROVISIONER_SECRET }}"


def test_it_is_refused_by_name_where_it_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StackError, match=r"kubernetes: expected .*platform: kubernetes"):
        settings({"platform": "docker", **ON})
    existing = {"url": "https://sso.example.com", "adminClientId": "a", "adminClientSecret": "b"}
    with pytest.raises(StackError, match=r"kubernetes\.realmJob and .*keycloak\.existing = true: expected false"):
        settings({"keycloak": {"existing": existing}, **ON})
    monkeypatch.setattr(site, "check_cluster", lambda *_: [])
    given = chosen()
    problems = KubernetesPlatform(PROJECT, STACK, given.kubernetes).check(stack_spec(given).workloads).problems
    assert str(problems[0]) == "kubernetes.realmJob = true: expected false: the engine manages the realm itself"


def test_up_refuses_it_since_it_changes_the_realm_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kubectl, "check_cluster", lambda *_: [])
    monkeypatch.setattr(forward, "check", lambda _: [])
    (problem,) = KubectlTarget().preflight(context(chosen(), tmp_path))
    assert str(problem).startswith(f"{PROJECT}:kubernetes.realmJob = true: expected false: `stackctl up`")


def test_keycloak_is_not_made_anew_for_files_that_are_rendered_again(tmp_path: Path) -> None:
    """Whatever is declared since: the Job brings it there."""
    pods = []
    for config in ({}, MAILED):
        KubectlTarget().write(context(chosen(config), tmp_path), tmp_path)
        text = (tmp_path / MANIFESTS / STACK_FILE).read_text()
        found = [m for m in yaml.safe_load_all(text) if m["kind"] == "Deployment"]
        pods.append(next(m for m in found if m["metadata"]["name"] == SERVER)["spec"]["template"])
    assert pods[0] == pods[1]
