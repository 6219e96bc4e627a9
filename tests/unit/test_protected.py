"""Who is asked before a stack goes that is not for development, and by what it is known to be none."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from platforms.docker.inventory import DockerInventory
from platforms.inventory import Item
from platforms.labels import LABEL_PROTECTED
from settings import PROJECT
from stackctl.cli import app
from stackctl.commands.common import confirm_name
from stackctl.context import load
from stackctl.engines import pulumi_cli
from stackctl.engines.compose import ComposeTarget
from tests.fakes import FakeCommand, FakeDocker

VOLUME = Item("volume", f"{PROJECT}-x-postgres-data", "postgres", data=True)
CONTAINER = Item("container", f"{PROJECT}-x-redis", "redis")
DATA = {"artifacts": "s3://models/mlflow", "MLflow's database": "database mlflow in volume of-the-stack"}
ENGINES = ("compose", "pulumi")
# What tells that a stack is not for development: its settings, what the last `up` put out, or a label of its data.
WITNESSES = ("settings", "outputs", "label")


def refused(result: Result) -> str:
    """The one message of a command that did nothing; what there is may be shown before it."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.count("error: ") == 1
    return result.stderr


class Machine:
    """One that knows stack x, by either engine."""

    def __init__(self, engine: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.removed: list[str] = []
        self.config = home / "Pulumi.x.yaml"
        self._engine, self._home, self._patch = engine, home, monkeypatch
        self._pulumi = FakeCommand("pulumi", home / "pulumi", skip=len(("-C", "<folder>")))
        self._items = [CONTAINER, VOLUME]
        self._outputs: dict[str, Any] = {"data": DATA}
        self.docker = FakeDocker(home / "docker", monkeypatch)
        self.docker.engine()
        for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.setenv(variable, str(home))
        monkeypatch.setattr(DockerInventory, "find", lambda *_, **__: list(self._items))
        self.says(environment="dev")

    def says(self, *, environment: str | None, outputs: str = "", label: bool = False, damaged: bool = False) -> None:
        """environment: of the settings; None: these are lost."""
        self.config.unlink(missing_ok=True)
        if environment is not None:
            self.config.write_text(json.dumps({"config": {f"{PROJECT}:environment": environment, **_URLS}}))
        if outputs:
            self._outputs["environment"] = outputs
        self._items = [CONTAINER, Item(*VOLUME_PARTS, data=True, protected=label)]
        self._patch.setattr(pulumi_cli, "find", lambda: None)
        if self._engine == "compose":
            folder = self._home / PROJECT / "x"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "outputs.json").write_text("{" if damaged else json.dumps(self._outputs))
            self._patch.setattr(ComposeTarget, "destroy", lambda *_: self._gone("by Compose"))
            return
        self._pulumi.answer("stack", '[{"name": "x"}]')
        self._patch.setattr(pulumi_cli, "find", lambda: str(self._pulumi.path))
        self._patch.setattr(pulumi_cli, "outputs", lambda *_: self._outputs)

        def destroyed(_: object, *, protected: bool) -> None:
            self._pulumi.answer("stack", "[]")
            self._gone(f"by the engine, {'protected' if protected else 'free'}")

        self._patch.setattr(pulumi_cli, "destroy", destroyed)

    def _gone(self, how: str) -> None:
        self.removed.append(how)
        self._items = []
        (self._home / PROJECT / "x" / "outputs.json").unlink(missing_ok=True)
        self._patch.setattr("stackctl.engines.remains.stack_directory", lambda _: self._home / "none")

    def destroy(self, *words: str, typed: str = "") -> Result:
        return CliRunner().invoke(
            app, ["destroy", "--stack", "x", "--config-file", str(self.config), *words], input=typed
        )


VOLUME_PARTS = (VOLUME.kind, VOLUME.name, VOLUME.component)
_URLS = {
    f"{PROJECT}:mlflow": {"url": "https://mlflow.example.com", "tls": {"proxy": True}},
    f"{PROJECT}:keycloak": {"url": "https://login.example.com", "tls": {"proxy": True}},
}


@pytest.fixture(params=ENGINES)
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(str(request.param), tmp_path, monkeypatch)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Makes what is read from somebody at a terminal; returns the questions."""

    def answer(typed: str) -> list[str]:
        questions: list[str] = []
        monkeypatch.setattr("stackctl.commands.common.at_terminal", lambda: True)

        def prompt(question: str, **_: object) -> str:
            questions.append(question)
            return typed

        monkeypatch.setattr(typer, "prompt", prompt)
        return questions

    return answer


def not_for_development(machine: Machine, witness: str) -> None:
    machine.says(
        environment="prod" if witness == "settings" else "dev",
        outputs="staging" if witness == "outputs" else "",
        label=witness == "label",
    )


def test_in_development_nobody_is_asked(machine: Machine) -> None:
    done = machine.destroy()
    assert done.exit_code == 0, done.output
    assert len(machine.removed) == 1
    assert "protected" not in machine.removed[0]


@pytest.mark.parametrize("witness", WITNESSES)
def test_elsewhere_it_is_refused_where_nobody_can_be_asked(machine: Machine, witness: str) -> None:
    not_for_development(machine, witness)
    done = machine.destroy()
    message = refused(done)
    assert "--yes: expected it, or a terminal to ask on" in message
    assert machine.removed == []
    assert f"volume     {VOLUME.name}" in done.stdout, "what would go is shown"
    assert CONTAINER.name not in done.stdout, "and what is made again is not"
    assert "Not removed, because it is not the stack's own: s3://models/mlflow." in message


@pytest.mark.parametrize("witness", WITNESSES)
def test_whoever_says_yes_is_not_asked(machine: Machine, witness: str) -> None:
    not_for_development(machine, witness)
    done = machine.destroy("--yes")
    assert done.exit_code == 0, done.output
    assert machine.removed in (["by Compose"], ["by the engine, protected"])


@pytest.mark.parametrize("witness", WITNESSES)
def test_at_a_terminal_the_stacks_name_is_asked_for(
    machine: Machine, witness: str, asked: Callable[[str], list[str]]
) -> None:
    not_for_development(machine, witness)
    questions = asked("y")
    assert "confirmation = y: expected x" in refused(machine.destroy())
    assert machine.removed == []
    asked("x")
    assert machine.destroy().exit_code == 0
    assert len(machine.removed) == 1
    assert questions == ["This cannot be undone (1 volume). Type the stack's name to go on"]


def test_one_of_which_nothing_tells_what_it_is_for_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier release wrote nothing of it, and the settings are lost."""
    machine = Machine("compose", tmp_path, monkeypatch)
    machine.says(environment=None)
    assert "is for nobody knows what" in refused(machine.destroy())
    machine.says(environment=None, damaged=True)
    assert "is for nobody knows what" in refused(machine.destroy())
    machine.says(environment="dev", damaged=True)
    assert machine.destroy().exit_code == 0


def test_a_realm_that_goes_by_itself_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine("pulumi", tmp_path, monkeypatch)
    machine.says(environment="prod")
    given = json.loads(machine.config.read_text())
    database = {part: {"database": part, "username": part, "password": "p"} for part in ("keycloak", "mlflow", "oidc")}
    given["config"][f"{PROJECT}:postgres"] = {"external": {"host": "db.example.com", **database}}
    machine.config.write_text(json.dumps(given))
    done = machine.destroy()
    refused(done)
    assert "realm      mlflow with its people, in https://login.example.com" in done.stdout


@pytest.mark.parametrize("label", [True, False])
def test_cleanup_leaves_data_outside_development(label: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, removed = Machine("compose", tmp_path, monkeypatch), list[str]()
    machine.says(environment=None if label else "prod", label=label)
    monkeypatch.setattr(DockerInventory, "remove", lambda _, item: removed.append(item.name))
    done = CliRunner().invoke(app, ["cleanup", "--stack", "x", "--yes", "--config-file", str(machine.config)])
    assert done.exit_code == 0, done.output
    assert removed == [CONTAINER.name]
    assert f"docker volume rm {VOLUME.name}" in done.stderr


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_volume_has_the_label_that_it_was_made_with(
    environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose offers to make it anew otherwise, and its data are lost then."""
    machine = Machine("compose", tmp_path, monkeypatch)
    machine.says(environment=environment)
    machine.docker.answer("volume", f"{PROJECT}-x-postgres-data\t\n{PROJECT}-x-redis-data\ttrue\n")
    config = json.loads(machine.config.read_text())
    config["config"][f"{PROJECT}:redis"] = {"persistent": True}
    machine.config.write_text(json.dumps(config))
    context = load("x", machine.config)

    def labelled(directory: Path) -> set[str]:
        ComposeTarget().write(context, directory)
        volumes = yaml.safe_load((directory / "compose.yaml").read_text())["volumes"]
        return {name for name, volume in volumes.items() if LABEL_PROTECTED in volume["labels"]}

    new = {"mlflow-artifacts"} if environment == "prod" else set()
    assert labelled(context.directory) == {"redis-data"} | new
    assert labelled(tmp_path / "elsewhere") == set(), "nobody knows what is there"


def test_nobody_is_at_a_terminal_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    with pytest.raises(Exception, match="a terminal to ask on"):
        confirm_name("x", [VOLUME])
