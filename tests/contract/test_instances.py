"""Two instances of the stack in one program: each has names of its own and belongs to what it is given as parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.program import deploy
from platforms.kubernetes import site
from platforms.site import Scope
from settings import PROJECT
from tests.contract.engine import Run, fresh_run, run_program
from tests.fakes import FakeDocker
from tests.samples import settings

SECOND = {"mlflow": {"url": "http://localhost:5001"}, "keycloak": {"url": "http://localhost:8081"}}


class Environment(pulumi.ComponentResource):
    """What somebody else's program has the stack as a part of."""

    def __init__(self, name: str) -> None:
        super().__init__("somebody:index:Environment", name)
        self.register_outputs({})


def two(config: Mapping[str, Any]) -> Run:
    async def program() -> Mapping[str, pulumi.Input[object]]:
        outputs: dict[str, pulumi.Input[object]] = {}
        for name, more in (("blue", {}), ("green", SECOND)):
            scope = Scope(name, pulumi.ResourceOptions(parent=Environment(name)))
            made = await deploy(settings({**config, **more}), "analytics", f"test-{name}", scope)
            outputs |= {f"{name}_{key}": value for key, value in made.items()}
        return outputs

    return run_program(program)


@pytest.fixture(params=["docker", "kubernetes"])
def both(request: pytest.FixtureRequest, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of both; the engine of the tests refuses a resource that is registered twice."""
    docker.publishes(5000, 8080, 5001, 8081)
    monkeypatch.setattr(site, "check_cluster", lambda *_: [])
    monkeypatch.setattr(site, "_wait_open", lambda *_: None)
    return two({"platform": request.param})


def root(run: Run, urn: str) -> str:
    """The name of what a resource belongs to in the end."""
    while run.resources[urn].parent in run.resources:
        urn = run.resources[urn].parent
    return run.resources[urn].name


def test_each_resource_is_named_after_its_instance_and_belongs_to_it(both: Run) -> None:
    counts = dict.fromkeys(("blue", "green"), 0)
    for urn, resource in both.resources.items():
        name = root(both, urn)
        assert name in counts, f"{urn} belongs to no instance"
        assert resource.name == name or resource.name.startswith(f"{name}-"), f"{urn} is named after nobody"
        counts[name] += 1
    assert counts["blue"] == counts["green"] > 30


def test_physical_names_are_scoped_by_project_and_instance(both: Run) -> None:
    labels = [str(r.inputs) for r in both.resources.values() if "mlflow-sso.stack" in str(r.inputs)]
    assert labels
    for text in labels:
        assert ("test-blue" in text) != ("test-green" in text), "it is of one instance"
        assert "analytics" in text
        assert f"{PROJECT}-test" not in text, "the project is a parameter"


def test_the_outputs_of_both_are_there(both: Run) -> None:
    assert both.outputs["blue_mlflow_url"] == "http://localhost:5000"
    assert both.outputs["green_mlflow_url"] == "http://localhost:5001"


def test_the_only_instance_of_a_program_has_the_names_that_stacks_have(docker: FakeDocker) -> None:
    names = {resource.name for resource in fresh_run(settings()).resources.values()}
    assert {"networks", "secrets", "realm", "keycloak", "mlflow", "postgres-data", "client-mlflow"} <= names
