"""The command line: exit codes, one message without a traceback, data on standard output, secrets on request alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from mlflow_sso_client.files import private_directory, write_private
from typer.testing import CliRunner, Result

from components import redis, stack
from components.stack import redacted
from platforms.secrets import SecretText
from platforms.workload import ExecCheck, Outside, Port, Probe, Resources, Scheduled, Service, Workload
from settings import PROJECT, ROOT
from settings.catalogue import refs
from stackctl.cli import app
from stackctl.engines import pulumi_cli
from stackctl.people import offline
from tests.fakes import FakeCommand, FakeDocker
from tests.samples import everything

SECRET = "never-to-be-shown"
OUTPUTS = {
    "mlflow_url": "http://localhost:5000",
    "client_id": "mlflow",
    "client_secret": SECRET,
    "users": {"alice": {"password": SECRET, "groups": ["mlflow-admins"]}},
    "service_accounts": {"pipeline": {"client_secret": SECRET, "groups": []}},
    "admin": {"username": "admin", "password": SECRET},
}


class Operator:
    """Somebody at a terminal, with a home, a settings file and a Docker engine of their own."""

    def __init__(self, home: Path, docker: FakeDocker) -> None:
        self.home, self.docker = home, docker

    def config(self, text: str | dict[str, Any]) -> str:
        path = self.home / "Pulumi.test.yaml"
        if isinstance(text, dict):
            text = yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in text.items()}})
        path.write_text(text)
        return str(path)

    def runs(self, *args: str) -> Result:
        return CliRunner().invoke(app, args)

    def compose_stack(self, name: str = "test") -> None:
        """A stack that Compose brought up earlier."""
        folder = self.home / "state" / PROJECT / name
        folder.mkdir(parents=True)
        (folder / "outputs.json").write_text(json.dumps(OUTPUTS))

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.home.rglob("*") if p.is_file() and "docker" not in p.parts)


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    docker = FakeDocker(tmp_path / "docker", monkeypatch)
    docker.engine()
    docker.images(*refs().values())
    docker.publishes(5000, 8080)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(pulumi_cli, "unavailable", lambda plugin: "the Pulumi CLI is not installed")
    monkeypatch.setattr(pulumi_cli, "find", lambda: None)
    return Operator(tmp_path, docker)


def refused(result: Result, code: int = 2) -> str:
    """The one message of a command that did nothing."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.count("error: ") == 1
    return result.stderr


BAD = {
    "mlflow": {"url": "localhost:5000", "workers": "x", "env": {"OIDC_ISSUER": "x"}},
    "realm": {"groups": {"admins": [""]}},
    "redis": {"pass": SECRET},
}


@pytest.mark.parametrize("command", ["up", "preview", "render", "images"])
def test_bad_settings_are_refused_in_one_message_and_nothing_is_done(command: str, operator: Operator) -> None:
    config = operator.config(BAD)
    message = refused(operator.runs(command, "--stack", "test", "--config-file", config))
    for key in ("mlflow.url", "mlflow.workers", "mlflow.env.OIDC_ISSUER", "realm.groups.admins[0]", "redis.pass"):
        assert f"mlflow-sso:{key}" in message
    assert "nothing was created" in message
    assert SECRET not in message
    assert operator.files == ["Pulumi.test.yaml"]
    assert operator.docker.calls == []


@pytest.mark.parametrize("command", ["up", "preview", "render", "images"])
def test_a_stack_that_is_not_there_is_refused_with_those_that_are(command: str, operator: Operator) -> None:
    message = refused(operator.runs(command, "--stack", "nosuch"))
    assert "There is no such stack." in message
    assert "stack = nosuch: expected one of dev" in message


@pytest.mark.parametrize("command", ["up", "preview", "render", "images", "forward"])
@pytest.mark.parametrize("name", ["dev", "nosuch"])
def test_a_settings_file_that_is_not_there_is_named(command: str, name: str, operator: Operator) -> None:
    missing = operator.home / "own" / "missing.yaml"
    message = refused(operator.runs(command, "--stack", name, "--config-file", str(missing)))
    assert "The settings file is not there" in message
    assert f"--config-file = {missing}: expected a file that is there" in message
    assert "no such stack" not in message
    assert operator.docker.calls == []


@pytest.mark.parametrize("command", ["up", "preview", "render", "images", "destroy", "outputs"])
@pytest.mark.parametrize("name", ["../etc", "a b", ""])
def test_a_name_that_is_none_is_refused(command: str, name: str, operator: Operator) -> None:
    assert "That cannot be the name of a stack" in refused(operator.runs(command, "--stack", name))


@pytest.mark.parametrize("text", ["config: [", "config: 5"])
def test_a_file_that_is_no_settings_file_is_refused(text: str, operator: Operator) -> None:
    message = refused(operator.runs("render", "--stack", "test", "--config-file", operator.config(text)))
    assert "Pulumi.test.yaml cannot be read" in message


def test_own_variables_in_place_of_the_stacks_are_refused(operator: Operator) -> None:
    config = operator.config({"mlflow": {"env": {"OIDC_SCOPES": "openid", "SECRET_KEY": SECRET}}})
    message = refused(operator.runs("up", "--stack", "test", "--config-file", config))
    assert "mlflow.env.OIDC_SCOPES" in message
    assert "mlflow.env.SECRET_KEY" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    "args", [("up", "--engine", "swarm"), ("outputs", "--output", "xml"), ("up", "--nosuch"), ("nosuch",)]
)
def test_what_the_command_line_does_not_know_is_refused(args: tuple[str, ...], operator: Operator) -> None:
    result = operator.runs(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("known", "fit", "steps"),
    [
        ("[]", True, [["stack", "ls"], ["stack", "init"], ["up", "--yes"]]),
        ('[{"name": "test"}]', True, [["stack", "ls"], ["up", "--yes"]]),
        ("[]", False, [["stack", "ls"]]),
    ],
)
def test_pulumi_makes_a_stack_once_and_on_a_fit_machine_alone(
    known: str, fit: bool, steps: list[list[str]], operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi = FakeCommand("pulumi", operator.home / "pulumi", skip=len(("-C", "<folder>")))
    pulumi.answer("stack", known)
    for plugin in (*pulumi_cli.PLUGINS, "docker"):
        (pulumi.path.parent / f"pulumi-resource-{plugin}").symlink_to(pulumi.path)
    monkeypatch.setenv("PATH", f"{pulumi.path.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "given")
    if not fit:
        operator.docker.engine("19.03")
    # What a stack of before may have left was asked already, with its outputs.
    private_directory(offline.marker("test").parent)
    write_private(offline.marker("test"), "http://localhost:8080/realms/mlflow")
    words = ("up", "--stack", "test", "--config-file", operator.config("config: {}\n"))
    done = subprocess.run((sys.executable, "-m", "stackctl", *words), capture_output=True, text=True, check=False)
    assert done.returncode == (0 if fit else 2), done.stderr
    assert [call.split()[:2] for call in pulumi.calls] == steps


def test_a_component_that_cannot_be_is_refused_with_all_its_mistakes(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every command that would make something, before it does."""
    taken = {"TOKEN": SecretText.of(replace(redis.PASSWORD, length=7))}
    limits = Resources(memory_mib=64, cpus=0.1)
    job = Workload(
        name="job", image="x:1", uid=1, resources=limits, runs=Scheduled("every night", 60),
        outside=(Outside("mail.example.com", 0),), secret_env=taken,
    )  # fmt: skip
    runs = Service(Probe(ExecCheck(("true",))))
    server = replace(job, name="server", runs=runs, outside=(), secret_env={}, ports=(Port("http", 80),))
    monkeypatch.setattr(stack, "redis_workloads", lambda settings: (*redis.redis_workloads(settings), job, server))
    config = operator.config({})
    before = operator.files
    for command in (("up",), ("render", "--out", str(operator.home / "out"))):
        message = refused(operator.runs(*command, "--stack", "test", "--config-file", config))
        for mistake in (
            "workload job, schedule = every night",
            "workload job = way out to mail.example.com",
            "workload server = port http",
            "secret redis-password: expected one secret of that name",
        ):
            assert message.count(mistake) == 1, mistake
    assert operator.docker.calls == []
    assert operator.files == before


def test_no_command_shows_what_there_is(operator: Operator) -> None:
    shown = operator.runs().output
    for command in ("up", "preview", "destroy", "outputs", "render", "images"):
        assert command in shown


# Before anything is created.


def test_what_the_chosen_engine_cannot_read_is_told_with_the_rest(operator: Operator) -> None:
    users = "{users: [{username: x, password: {secure: y}}]}"
    text = f"config:\n  mlflow-sso:mlflow: {{replicas: 2}}\n  mlflow-sso:realm: {users}\n"
    message = refused(
        operator.runs("up", "--engine", "compose", "--stack", "test", "--config-file", operator.config(text))
    )
    assert "mlflow-sso:mlflow.replicas" in message
    assert "mlflow-sso:realm.users[0].password = [secret]" in message


def test_no_engine_is_refused(operator: Operator) -> None:
    operator.docker.fail("info", "Cannot connect to the Docker daemon")
    message = refused(operator.runs("up", "--stack", "test", "--config-file", operator.config({})))
    assert "Stack test cannot be brought up here; nothing was created or changed." in message
    assert "docker engine: expected one that answers (Cannot connect to the Docker daemon)" in message


def test_an_old_engine_is_refused(operator: Operator) -> None:
    operator.docker.engine("18.09.1")
    message = refused(operator.runs("up", "--stack", "test", "--config-file", operator.config({})))
    assert "docker engine = 18.09.1: expected 20.10 or later" in message


def test_a_stack_of_the_other_engine_is_left_alone(operator: Operator) -> None:
    operator.docker.answer("ps", "mlflow-sso-test-postgres\n")
    operator.docker.publishes(5000, 8080)
    operator.docker.answer("volume", "mlflow-sso-test-postgres-data\n")
    message = refused(
        operator.runs("up", "--engine", "compose", "--stack", "test", "--config-file", operator.config({}))
    )
    assert "mlflow-sso-test-postgres-data: expected none: another engine or checkout made them" in message
    assert "nothing was changed" in message
    assert not [call for call in operator.docker.calls if call.split()[0] in ("run", "create", "rm", "exec")]


def test_a_stack_of_compose_is_not_given_to_pulumi(operator: Operator) -> None:
    operator.compose_stack()
    message = refused(
        operator.runs("up", "--engine", "pulumi", "--stack", "test", "--config-file", operator.config({}))
    )
    assert "expected compose" in message


def test_a_preview_needs_the_engine_and_says_so(operator: Operator) -> None:
    message = refused(operator.runs("preview", "--stack", "test", "--config-file", operator.config({})), code=1)
    assert "the Pulumi CLI is not installed" in message
    assert "stackctl render" in message


def test_a_forward_for_a_stack_on_docker_is_refused_and_no_cluster_is_asked(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCommand("kubectl", operator.home / "kubectl")
    monkeypatch.setenv("PATH", str(cluster.path.parent), prepend=":")
    message = refused(operator.runs("forward", "--stack", "test", "--config-file", operator.config({})))
    assert "mlflow-sso:platform = docker: expected kubernetes: Docker publishes the stack's ports itself" in message
    assert cluster.calls == []
    assert operator.docker.calls == []


def test_a_forward_for_what_a_gateway_serves_is_refused(operator: Operator) -> None:
    served = {
        "platform": "kubernetes",
        "mlflow": {"url": "https://mlflow.example.com"},
        "keycloak": {"url": "https://sso.example.com"},
        "kubernetes": {"gateway": {"name": "public", "namespace": "gateways"}},
    }
    message = refused(operator.runs("forward", "--stack", "test", "--config-file", operator.config(served)))
    assert "mlflow-sso:kubernetes.gateway = public: expected none" in message


def test_every_command_has_the_same_stack_by_default() -> None:
    def options(command: Any) -> Iterator[Any]:
        yield from (option for option in command.params if "--stack" in option.opts)
        for inner in getattr(command, "commands", {}).values():
            yield from options(inner)

    found = list(options(typer.main.get_command(app)))
    assert len(found) > 15
    assert {option.default for option in found} == {"dev"}


# Outputs.


def test_secrets_are_hidden_unless_asked_for(operator: Operator) -> None:
    operator.compose_stack()
    for form in ("table", "json", "yaml"):
        hidden = operator.runs("outputs", "--stack", "test", "--output", form)
        assert hidden.exit_code == 0
        assert SECRET not in hidden.output
        assert hidden.stdout.count("[secret]") == 4
        assert "http://localhost:5000" in hidden.stdout
        shown = operator.runs("outputs", "--stack", "test", "--output", form, "--show-secrets")
        assert shown.stdout.count(SECRET) == 4
        assert shown.stderr == ""


@pytest.mark.parametrize("platform", ["docker", "kubernetes"])
def test_outputs_of_no_stack_are_refused(platform: str, operator: Operator) -> None:
    config = operator.config({"platform": platform})
    message = refused(operator.runs("outputs", "--stack", "test", "--config-file", config))
    assert "There is no stack test here." in message
    assert "`make up STACK=test`" in message


def test_json_and_yaml_are_data(operator: Operator) -> None:
    operator.compose_stack()
    args = ("outputs", "--stack", "test", "--show-secrets", "--output")
    assert json.loads(operator.runs(*args, "json").stdout) == OUTPUTS
    assert yaml.safe_load(operator.runs(*args, "yaml").stdout) == OUTPUTS


def test_redaction_keeps_everything_but_secrets() -> None:
    hidden = redacted(OUTPUTS)
    assert hidden["users"]["alice"] == {"password": "[secret]", "groups": ["mlflow-admins"]}
    assert hidden["admin"]["username"] == "admin"
    assert hidden["client_id"] == "mlflow"
    assert redacted({"of a later commit": {"token": SECRET}, "realm": "mlflow"}) == {
        "of a later commit": "[secret]", "realm": "mlflow",
    }  # fmt: skip


def test_destroying_what_is_not_there_is_done_already(operator: Operator) -> None:
    operator.docker.answer("ps", "")
    result = operator.runs("destroy", "--stack", "test")
    assert result.exit_code == 0
    assert "nothing to remove" in result.stderr
    assert not [call for call in operator.docker.calls if call.split()[0] not in ("ps", "network", "volume")]


# Render.


def test_render_needs_no_engine_and_shows_no_secret(operator: Operator) -> None:
    config = operator.config(everything(operator.home))
    out = operator.home / "out"
    result = operator.runs("render", "--stack", "test", "--config-file", config, "--out", str(out))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert {p.name for p in (out / "test").iterdir()} == {
        *("compose.yaml", "realm.json", "secrets.env", "secrets.json", "files"),
    }
    values = json.loads((out / "test" / "secrets.json").read_text()).values()
    assert not [value for value in values if value in result.output]
    assert operator.docker.calls == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_the_stacks_of_this_repository_render(path: Path, operator: Operator) -> None:
    stack = path.name.split(".")[1]
    assert operator.runs("render", "--stack", stack, "--out", str(operator.home)).exit_code == 0


def test_a_place_that_cannot_be_written_is_told(operator: Operator) -> None:
    (operator.home / "test").write_text("in the way")
    config = operator.config({})
    message = refused(
        operator.runs("render", "--stack", "test", "--config-file", config, "--out", str(operator.home)), code=1
    )
    assert f"{operator.home / 'test'}: File exists" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
@pytest.mark.parametrize("place", ["outputs.json", "kubernetes/outputs.json"])
def test_damaged_outputs_are_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, place: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    damaged = tmp_path / PROJECT / "ill" / place
    damaged.parent.mkdir(parents=True)
    damaged.write_text(text)
    (damaged.parent / "place.json").write_text("{}")
    done = CliRunner().invoke(app, ["outputs", "--stack", "ill"])
    assert done.exit_code == 2
    assert str(damaged) in done.stderr
    assert "`stackctl up` with the same engine writes it again" in done.stderr
    assert "Traceback" not in done.output
