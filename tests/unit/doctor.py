"""A stack to examine, made of values alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from components.realm.document import realm_import
from components.realm.spec import realm_spec
from components.stack import stack_spec
from platforms.running import EXEC_SECONDS, Answer, Instance, Trouble
from platforms.workload import Workload
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from tests.samples import settings
from tests.unit.fake_realm import FakeRealm, apply


@dataclass
class FakeRunning:
    """Answers commands by their first word."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    found: list[Trouble] = field(default_factory=list)
    commands: list[Sequence[str]] = field(default_factory=list)

    def instances(self, project: str, stack: str) -> list[Instance]:
        return []

    def serving(self, project: str, stack: str, component: str) -> Instance | None:
        return None

    def troubles(self, project: str, stack: str, defined: Sequence[Workload] = ()) -> list[Trouble]:
        return self.found

    def execute(
        self,
        instance: Instance,
        command: Sequence[str],
        secrets: Mapping[str, str] | None = None,
        seconds: int = EXEC_SECONDS,
    ) -> Answer:
        self.commands.append(command)
        return self.answers.get(command[0], Answer(0, "", ""))

    def removal(self, instance: Instance) -> str:
        return f"rm {instance.name}"

    def restart(self, instance: Instance) -> str:
        return f"restart {instance.name}"

    def space(self, instance: Instance, path: str) -> str:
        return "space"

    def shell(self, instance: Instance, script: str) -> str:
        return f"exec {instance.name} {script}"


def observed(*instances: Instance, running: FakeRunning | None = None, **more: Any) -> Observed:
    return Observed("x", "http://localhost:5000", requests.Session(), running or FakeRunning(), instances, **more)


def mlflow(**env: str) -> Instance:
    return Instance("x-mlflow", "mlflow", True, "mlflow-sso/mlflow:11.0.2-0", env=env)


def ids(found: Iterator[Finding]) -> list[str]:
    return [finding.id for finding in found]


def with_realm(declared: Mapping[str, Any]) -> tuple[Observed, FakeRealm]:
    """A stack with these settings of the realm, and its realm after `up`."""
    sample = settings({"realm": dict(declared)})
    wanted, none = (realm_import(realm_spec(one), lambda _: "x") for one in (sample, settings()))
    realm = FakeRealm(none)
    apply(realm, wanted, none)
    seen = observed(settings=sample, spec=stack_spec(sample))
    seen.__dict__["realm_admin"] = realm
    return seen, realm
