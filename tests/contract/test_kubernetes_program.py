"""The engine on Kubernetes makes exactly the objects that `render` writes, with every value marked as secret."""

from __future__ import annotations

import socket
from typing import Any

import pulumi
import pytest

from components.stack import stack_spec
from platforms.kubernetes import site
from platforms.kubernetes.objects.render import render
from platforms.kubernetes.plan import NAME_KEY, KubernetesPlan, Manifest
from problems import Problem, StackError
from settings import PROJECT
from tests.contract.engine import GENERATED, Run, fresh_run, text
from tests.contract.kubernetes_samples import OPERATED, SAMPLES, SCALED, STACK, settings
from tests.contract.names import hold_to_snapshot
from tests.contract.targets import secret_value

STACKS = {**SAMPLES, "operated": OPERATED}


@pytest.fixture(autouse=True)
def fit_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "check_cluster", lambda *_: [])


@pytest.fixture(params=STACKS, ids=str, scope="module")
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(STACKS[request.param])


def test_the_engine_waits_for_the_address_that_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public URLs may lead somewhere only from elsewhere."""
    asked = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    for url, expected in (
        (None, ("sso.example.com", 443)),
        ("http://localhost:8081", ("127.0.0.1", 8081)),
        ("https://admin.example.com:9443", ("admin.example.com", 9443)),
    ):
        given = {**SCALED, "keycloak": {**SCALED["keycloak"], **({"adminUrl": url} if url else {})}}
        fresh_run(settings(given), STACK, preview=False)
        assert asked == [expected]
        asked.clear()


def test_a_port_that_somebody_else_holds_is_not_taken_for_the_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers there is sent the secret that administers Keycloak."""
    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: socket.socket())
    monkeypatch.setattr(site, "strangers", lambda port: {4711})
    chosen = settings({})
    plan = KubernetesPlan(PROJECT, STACK, stack_spec(chosen).workloads, chosen.kubernetes)
    workload = next(w for w in plan.workloads if w.name == "keycloak")
    ((port, entrance),) = workload.entrances
    with pytest.raises(pulumi.RunError, match="port 8080 of this machine, forwarded to keycloak, is held by uid 4711"):
        site._wait_open(plan, "keycloak", port.number, entrance.managed_url)
    monkeypatch.setattr(site, "strangers", lambda port: set())
    site._wait_open(plan, "keycloak", port.number, entrance.managed_url)


def planned(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(site, "_wait_open", lambda *_: None)
    return fresh_run(settings(config), STACK)


def objects(done: Run) -> dict[tuple[str, str], Manifest]:
    found = {}
    for resource in done.resources.values():
        if resource.type.startswith("kubernetes:"):
            found[resource.inputs["kind"], resource.inputs["metadata"]["name"]] = dict(resource.inputs)
    return found


def test_it_makes_what_is_rendered(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(config)
    spec = stack_spec(chosen)
    values = {secret.name: secret_value(secret) for secret in (*spec.secrets, NAME_KEY)}
    plan = KubernetesPlan(PROJECT, STACK, spec.workloads, chosen.kubernetes)
    written = render(plan, values, spec.shared(plan.inside))
    made = objects(planned(config, monkeypatch))
    expected = {(m["kind"], m["metadata"]["name"]): m for m in (*written.namespace, *written.secrets, *written.objects)}
    assert set(made) == set(expected)
    for key, manifest in expected.items():
        found = made[key]
        annotations = found["metadata"].get("annotations", {})
        annotations.pop("pulumi.com/skipAwait", None)
        if not annotations:
            found["metadata"].pop("annotations", None)
        assert found == manifest, key


def test_values_are_secret_and_names_are_not(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    done = planned(config, monkeypatch)
    for resource in done.resources.values():
        if resource.type.startswith("kubernetes:"):
            plain = {key: value for key, value in resource.inputs.items() if key not in resource.secret}
            assert GENERATED not in text(plain), f"{resource.name} shows a secret"
            assert (resource.inputs["kind"] == "Secret") == ("stringData" in resource.secret)
            assert "metadata" not in resource.secret


def test_only_what_runs_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the provider waits for the endpoints of each Service: ten seconds for each that comes early."""
    for (kind, _), made in objects(planned({}, monkeypatch)).items():
        waited = "pulumi.com/skipAwait" not in made["metadata"].get("annotations", {})
        assert waited == (kind in ("Namespace", "Deployment", "StatefulSet"))


@pytest.mark.parametrize("name", STACKS)
def test_logical_names_are_stable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim under another name is adopted by its physical one, and then deleted with the earlier name."""
    hold_to_snapshot(f"kubernetes-{name.replace(' ', '-')}", planned(STACKS[name], monkeypatch))


def test_logical_names_hold_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {r.name for r in planned({}, monkeypatch).resources.values() if r.type.startswith("kubernetes:")}
    assert {"mlflow-secrets", "postgres-data-persistentvolumeclaim", "mlflow-deployment"} <= names
    changed = {r.name for r in planned({"mlflow": {"env": {"A": "b"}}}, monkeypatch).resources.values()}
    assert names <= changed


def test_an_unfit_cluster_is_refused_before_the_first_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("kubernetes cluster", "", "expected one that answers")
    monkeypatch.setattr(site, "check_cluster", lambda *_: [problem])
    with pytest.raises(StackError, match="expected one that answers"):
        fresh_run(settings({}), STACK)
