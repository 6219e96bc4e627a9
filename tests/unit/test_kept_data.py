"""What `up` from rendered files keeps of where the data are, and what it asks of that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.stack import stack_spec
from problems import StackError
from settings import Platform
from settings.catalogue import refs
from stackctl import cli
from stackctl.context import Context, stack_directory
from stackctl.engines import kept_data
from stackctl.engines.compose import ComposeTarget
from stackctl.engines.targets import TARGETS
from tests.fakes import FakeDocker
from tests.samples import settings

BUCKET = {"mlflow": {"s3": {"bucket": "b", "accessKeyId": "a", "secretAccessKey": "s"}}}
COMPOSE = ComposeTarget()


def context(config: dict[str, Any] | None = None) -> Context:
    found = settings(config)
    return Context("test", Path("Pulumi.test.yaml"), found, stack_spec(found))


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker(tmp_path / "docker", monkeypatch)
    fake.engine()
    fake.images(*refs().values())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return fake


def said(config: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in kept_data.problems(context(config), COMPOSE, [])]


def test_what_an_up_has_reached_is_what_the_next_one_asks_for() -> None:
    assert said(BUCKET) == [], "nobody knows of data yet"
    kept_data.remember(context(), COMPOSE)
    assert said({}) == []
    (refused,) = said(BUCKET)
    assert refused.startswith("mlflow-sso:mlflow.s3 = s3://b: expected what it was")
    kept_data.remember(context(BUCKET), COMPOSE)
    assert said(BUCKET) == []


def test_an_engine_without_an_answer_is_named_once(docker: FakeDocker) -> None:
    docker.fail("volume", "no answer")
    assert said({}) == ["data of stack test: expected an answer: no answer"]
    problem = kept_data.problems(context(), COMPOSE, [])[0]
    assert kept_data.problems(context(), COMPOSE, [problem]) == []


def test_a_damaged_file_is_no_leave(tmp_path: Path) -> None:
    kept_data.remember(context(), COMPOSE)
    (stack_directory("test") / kept_data.DATA_FILE).write_text("{")
    with pytest.raises(StackError, match=r"data\.json: expected the JSON that was written here; remove it if"):
        said({})


def test_a_stack_on_another_platform_is_not_left_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComposeTarget, "owns", lambda *_: True)
    cli._refuse_another_platform(context(), TARGETS[Platform.DOCKER])
    with pytest.raises(StackError, match="mlflow-sso:platform = kubernetes: expected docker: the stack is there"):
        cli._refuse_another_platform(context({"platform": "kubernetes"}), TARGETS[Platform.KUBERNETES])


def test_only_what_an_up_reached_is_kept() -> None:
    COMPOSE.write(context(), stack_directory("test"))
    assert not (stack_directory("test") / kept_data.DATA_FILE).exists()
    kept_data.remember(context(), COMPOSE)
    kept = json.loads((stack_directory("test") / kept_data.DATA_FILE).read_text())
    assert kept["artifacts"] == "volume mlflow-sso-test-mlflow-artifacts"
    assert kept["platform"] == "docker"
