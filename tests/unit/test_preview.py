"""A preview changes nothing: neither what the engine knows, nor the settings, nor what other commands say after it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow_sso_client.errors import RefusedError
from typer.testing import CliRunner, Result

from platforms.processes import run
from settings import PROJECT
from stackctl.cli import app
from stackctl.engines import kubectl, pulumi_cli
from stackctl.people import connection
from stackctl.people.connection import Where

SETTINGS = b"# A comment, and no end of line\nconfig: {}"

# An engine that keeps a list of stacks, and writes a salt into the settings as the real one does.
_ENGINE = """\
#!/bin/sh
shift 2
printf '%s\\n' "$*" >> {here}/calls
case "$1 $2" in
"stack ls") [ -f {here}/known ] && echo '[{{"name": "x"}}]' || echo '[]' ;;
"stack init") : > {here}/known; printf '\\nencryptionsalt: v1:x\\n' >> {root}/Pulumi.x.yaml ;;
"stack rm") [ ! -f {here}/resources ] || {{ echo "error: it has resources" >&2; exit 1; }}
  rm {here}/known ;;
"stack output") [ -f {here}/known ] && echo '{{}}' || {{ echo "error: no stack named x" >&2; exit 1; }} ;;
preview*) while [ "$1" != --config-file ]; do shift; done
  printf '\\nencryptionsalt: v1:x\\n' >> "$2"
  [ ! -f {here}/fails ] || exit 1 ;;
esac
"""


class Engine:
    def __init__(self, here: Path) -> None:
        self.here = here
        self.path = here / "pulumi"
        self.path.write_text(_ENGINE.format(here=here, root=here))
        self.path.chmod(0o755)

    def has(self, what: str) -> bool:
        return (self.here / what).exists()

    def make(self, what: str) -> None:
        (self.here / what).touch()

    @property
    def calls(self) -> list[str]:
        return (self.here / "calls").read_text().splitlines() if self.has("calls") else []


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(tmp_path)
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "given")
    monkeypatch.setattr(pulumi_cli, "find", lambda: str(made.path))
    monkeypatch.setattr(pulumi_cli, "unavailable", lambda plugin: None)
    monkeypatch.setattr(pulumi_cli, "ROOT", tmp_path)
    # The test's own standard error is none that a program could write to.
    monkeypatch.setattr(pulumi_cli, "show", lambda *words, variables: run(*words, variables=variables).code)
    return made


def preview(config: Path) -> Result:
    config.write_bytes(SETTINGS)
    return CliRunner().invoke(app, ["preview", "--stack", "x", "--config-file", str(config)])


@pytest.mark.parametrize("name", ["Pulumi.x.yaml", "own.yaml"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_preview_of_a_stack_that_is_not_there_leaves_no_trace(
    name: str, fails: bool, engine: Engine, tmp_path: Path
) -> None:
    if fails:
        engine.make("fails")
    usual = tmp_path / "Pulumi.x.yaml"
    done = preview(tmp_path / name)
    assert done.exit_code == (1 if fails else 0), done.output
    assert [call.split()[0] for call in engine.calls].count("preview") == 1
    assert not engine.has("known")
    assert (tmp_path / name).read_bytes() == SETTINGS
    assert usual.exists() == (name == usual.name)


def test_a_preview_takes_no_stack_away_that_was_there(engine: Engine, tmp_path: Path) -> None:
    engine.make("known")
    assert preview(tmp_path / "own.yaml").exit_code == 0
    assert engine.has("known")
    assert not [call for call in engine.calls if call.startswith(("stack init", "stack rm"))]


def test_a_stack_that_was_filled_in_the_meantime_stays_with_its_salt(engine: Engine, tmp_path: Path) -> None:
    engine.make("resources")
    done = preview(tmp_path / "own.yaml")
    assert done.exit_code == 0
    assert "it has resources" in done.stderr
    assert engine.has("known")
    assert b"encryptionsalt" in (tmp_path / "own.yaml").read_bytes()


def test_a_stack_without_outputs_is_none_for_whoever_reads_them(engine: Engine, tmp_path: Path) -> None:
    engine.make("known")
    (tmp_path / "own.yaml").write_bytes(SETTINGS)
    words = ("--stack", "x", "--config-file", str(tmp_path / "own.yaml"))
    done = CliRunner().invoke(app, ["outputs", *words])
    assert done.exit_code == 2
    assert "There is no stack x here." in done.stderr
    done = CliRunner().invoke(app, ["login", *words])
    assert done.exit_code == 2, done.output
    assert "there is no stack x" in done.stderr
    with pytest.raises(RefusedError, match="there is no stack x"):
        connection.resolve(Where(stack="x", config_file=tmp_path / "own.yaml"))


def test_a_stack_that_is_on_another_platform_has_no_preview(engine: Engine, tmp_path: Path) -> None:
    """What these settings would make is nothing that `up` would do."""
    kept = Path(os.environ["XDG_STATE_HOME"]) / PROJECT / "x" / "kubernetes" / kubectl.PLACE_FILE
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    done = preview(tmp_path / "own.yaml")
    assert done.exit_code == 2
    assert "expected render, which brought it up" in done.stderr
    assert engine.calls == []
