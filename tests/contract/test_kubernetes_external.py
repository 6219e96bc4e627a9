"""Secrets that an operator fetches from a store outside the cluster: what it is asked for, and what it makes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import kubernetes_validate
import pytest

from components.stack import stack_spec
from platforms.kubernetes import site
from platforms.kubernetes.objects.render import fill
from platforms.kubernetes.plan import Manifest
from problems import StackError
from tests.contract.engine import fresh_run
from tests.contract.kubernetes_samples import (
    FETCHED,
    HIDDEN,
    container,
    every,
    keepers,
    of_kind,
    plan,
    rendered,
    settings,
)
from tests.samples import write_pem

pytestmark = pytest.mark.usefixtures("components")

# With every sign that means something in a URL, and the sign that form encoding spells differently.
AWKWARD = "p@ss:w/rd %#?&+ {{ .x }} \u00fc $$ ${HOME} \\$x \\ ' \" "
PREFIX = "mlflow-sso/test/"


def asked(config: dict[str, Any] | None = None) -> dict[str, Manifest]:
    return of_kind(every(config or FETCHED), "ExternalSecret")


def all_of(component: str, config: dict[str, Any] | None = None) -> list[Manifest]:
    return [e for e in asked(config).values() if e["metadata"]["labels"].get("mlflow-sso.component") == component]


def of(component: str, config: dict[str, Any] | None = None) -> Manifest:
    (only,) = all_of(component, config)
    return only


def made(external: Manifest, store: dict[str, str]) -> dict[str, str]:
    """The Secret that the operator makes (its guide "Advanced Templating v2"; Go's text/template, `urlquery`)."""
    held = {one["secretKey"]: store[one["remoteRef"]["key"].removeprefix(PREFIX)] for one in external["spec"]["data"]}

    def action(found: re.Match[str]) -> str:
        if found[1] == '"{{"':
            return "{{"
        name, *pipe = found[1].split(" | ")
        value = held[name.removeprefix(".")]
        for call in pipe:
            value = piped(call, value)
        return value

    data = external["spec"]["target"]["template"]["data"]
    return {key: re.sub(r"\{\{ (.*?) \}\}", action, template) for key, template in data.items()}


def piped(call: str, value: str) -> str:
    """What a function of Go's templates or of Sprig makes of a value; its words are quoted, or raw in backquotes."""
    function, *words = (raw or plain for raw, plain in re.findall(r"`([^`]*)`|\"?([^\s\"`]+)\"?", call))
    known: dict[str, Callable[..., str]] = {
        "urlquery": quote_plus,
        "replace": value.replace,
        "toJson": lambda: json.dumps(value, ensure_ascii=False),
        "trimPrefix": value.removeprefix,
        "trimSuffix": value.removesuffix,
        "printf": lambda form: form % value,
    }
    return known[function](value) if function == "urlquery" else known[function](*words)


def test_no_secret_and_no_value_is_written() -> None:
    files = rendered(FETCHED).files()
    assert set(files) == {"00-namespace.yaml", "20-stack.yaml"}
    assert not of_kind(every(FETCHED), "Secret")
    assert HIDDEN not in "".join(files.values())


def test_each_has_what_the_api_requires() -> None:
    for name, external in asked().items():
        assert external["apiVersion"] == "external-secrets.io/v1"
        spec = external["spec"]
        assert spec["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
        assert spec["refreshInterval"] == "15m"
        assert spec["target"]["name"] == name
        assert spec["target"]["creationPolicy"] == "Owner", "it goes with the stack"
        keys = [one["secretKey"] for one in spec["data"]]
        assert len(keys) == len(set(keys))
        for one in spec["data"]:
            assert re.fullmatch(r"[-._a-zA-Z0-9]+", one["secretKey"])
            assert one["remoteRef"]["key"].startswith(PREFIX)
            assert one["remoteRef"]["property"] == "value"


def test_what_it_makes_is_what_the_stack_would_have_made() -> None:
    spec = stack_spec(settings(FETCHED))
    store = {secret.name: AWKWARD + secret.name for secret in spec.secrets}
    for workload in plan(FETCHED).workloads:
        expected = {name: fill(text, store) for name, text in workload.secret_env.items() if not text.kept}
        assert [made(external, store) for external in all_of(workload.name)] == ([expected] if expected else [])
    shared = made(asked()["mlflow-oauth-secret"], store)
    assert shared == {name: fill(text, store) for name, text in spec.shared(plan(FETCHED).inside).items()}


def test_every_pod_reads_what_is_made_for_it() -> None:
    there = {name: external["spec"]["target"]["template"]["data"] for name, external in asked().items()}
    there["models"] = {"api-key": ""}
    for keeper in keepers(every(FETCHED)).values():
        kubernetes_validate.validate(keeper, "1.34", strict=True)
        for variable in container(keeper)["env"]:
            if "valueFrom" in variable:
                wanted = variable["valueFrom"]["secretKeyRef"]
                assert wanted["key"] in there[wanted["name"]]


def test_keycloak_imports_the_very_secret_that_mlflow_shows() -> None:
    """Both read one key of the store, so that they agree whatever is there."""
    for component, wanted in (("keycloak", "REALM_MLFLOW_CLIENT_SECRET"), ("mlflow", "OIDC_CLIENT_SECRET")):
        external = of(component)
        data = external["spec"]["target"]["template"]["data"]
        (template,) = [text for name, text in data.items() if name.startswith(wanted)]
        assert re.fullmatch(r"\{\{ \.MLFLOW_CLIENT_SECRET( \| .*)? \}\}", template)
        keys = {one["secretKey"]: one["remoteRef"]["key"] for one in external["spec"]["data"]}
        assert keys["MLFLOW_CLIENT_SECRET"] == PREFIX + "mlflow-client-secret"


def test_pods_are_made_anew_when_the_stack_asks_for_something_else_and_annotated_for_other_changes() -> None:
    other = {**FETCHED, "redis": {"db": 3}}
    assert of("mlflow")["metadata"]["name"] != of("mlflow", other)["metadata"]["name"]
    assert of("keycloak")["metadata"]["name"] == of("keycloak", other)["metadata"]["name"]
    readers = {workload.name for workload in plan(FETCHED).workloads if workload.secret_env}
    assert readers >= {"keycloak", "mlflow"}
    for name, keeper in keepers(every(FETCHED)).items():
        expected = {"reloader.stakater.com/auto": "true"} if name in readers else {}
        assert keeper["metadata"].get("annotations", {}) == expected, name
    assert not [keeper for keeper in keepers(every({})).values() if "annotations" in keeper["metadata"]]


def test_values_in_the_settings_contradict_it() -> None:
    config = {
        **FETCHED,
        "mlflow": {"secretEnv": {"MODEL_API_KEY": "x"}},
        "realm": {"users": [{"username": "carol", "password": "y"}]},
    }
    text = "\n".join(str(problem) for problem in plan(config).check())
    assert "secret mlflow-env-MODEL_API_KEY = [secret]: expected no value in the settings" in text
    assert "secret user-carol-password = [secret]: expected no value in the settings" in text


def test_a_private_file_is_a_value_too(tmp_path: Path) -> None:
    pem = write_pem(tmp_path)
    tls = {"certificateFile": pem["certificate"], "keyFile": pem["key"]}
    config = {
        "keycloak": {"url": "https://localhost:8443", "tls": tls},
        "kubernetes": {"externalSecrets": {"store": "vault"}},
    }
    (problem,) = plan(config).check()
    assert str(problem).startswith("private file = /etc/tls/tls.key: expected none with kubernetes.externalSecrets")


def test_the_engine_which_has_to_know_the_realms_secrets_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "check_cluster", lambda *_: [])
    with pytest.raises(StackError, match=r"kubernetes\.externalSecrets: expected ENGINE=render"):
        fresh_run(settings(FETCHED), "external")
