"""A stack with jobs, on each target: the runner reaches MLflow and its database alone, and nobody reaches it."""

from __future__ import annotations

from typing import Any

import pytest

from components.identity import JOBS
from tests.contract import test_kubernetes_network as network
from tests.contract.kubernetes_policies import allows
from tests.contract.kubernetes_samples import (
    FETCHED,
    OPERATED,
    SAMPLES,
    container,
    every,
    labels_of_pods,
    of_kind,
    plan,
)
from tests.contract.targets import Target, compose_document
from tests.samples import settings

WITH_JOBS: dict[str, dict[str, Any]] = {
    name: {**config, "mlflow": {**config.get("mlflow", {}), "jobs": {}}}
    for name, config in {**SAMPLES, "fetched": FETCHED, "operated": OPERATED}.items()
}


@pytest.fixture(params=WITH_JOBS)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return WITH_JOBS[request.param]


@pytest.mark.parametrize("name", sorted({*WITH_JOBS} - {"operated"}))
def test_on_kubernetes_exactly_the_declared_callers_connect(name: str) -> None:
    """Of databases that an operator keeps, the pods are the operator's."""
    network.test_exactly_the_declared_callers_connect(WITH_JOBS[name])


def test_on_kubernetes_jobs_have_no_way_out_but_to_what_is_declared(config: dict[str, Any]) -> None:
    manifests = every(config)
    policies, labels = list(of_kind(manifests, "NetworkPolicy").values()), labels_of_pods(manifests)[JOBS]
    (runner,) = [workload for workload in plan(config).workloads if workload.name == JOBS]
    outside = {way.port for way in runner.outside}
    for port in {80, 443, 8080, 9443} - outside:
        assert not allows(policies, "Egress", labels, {"app": "anything"}, "elsewhere", plan(config).namespace, port)


def test_on_kubernetes_the_runner_holds_what_it_is_given_and_no_port(config: dict[str, Any]) -> None:
    manifests = every(config)
    deployment = of_kind(manifests, "Deployment")[JOBS]
    assert deployment["spec"]["replicas"] == 1
    assert container(deployment)["args"] == ["jobs"]
    assert JOBS not in of_kind(manifests, "Service")


def test_every_target_makes_the_runner_as_it_is_declared(target: Target) -> None:
    given = settings({"mlflow": {"jobs": {"workers": 3}}})
    made = target.deploy(given, "test")
    (declared,) = [workload for workload in target.workloads(given, "test") if workload.name == JOBS]
    runner = made[JOBS]
    assert (runner.args, runner.uid, runner.memory_mib) == (("jobs",), declared.uid, 2048)
    assert set(runner.env) == {*declared.env, *declared.secret_env}
    assert runner.env["MLFLOW_SSO_JOBS_KEY"] == made["mlflow"].env["MLFLOW_SSO_JOBS_KEY"]
    assert runner.read_only
    assert not runner.volumes
    assert all(JOBS in made[name].reached_by for name in ("mlflow", "postgres"))


def test_on_docker_the_runner_is_on_the_networks_of_those_it_calls() -> None:
    document, _, _ = compose_document(settings({"mlflow": {"jobs": {}}}), "test")
    services = document["services"]
    assert set(services[JOBS]["networks"]) == {"mlflow", "postgres"}
    assert "ports" not in services[JOBS]
    assert services[JOBS]["user"] not in {one["user"] for name, one in services.items() if name != JOBS}
