"""Where the files of a user are: what a variable may say of it, and what is told of a place that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow_sso_client import command, files
from mlflow_sso_client.logins import LoginStore
from mlflow_sso_client.words import Once
from typer.testing import CliRunner

from problems import StackError
from stackctl import directories
from stackctl.cli import app
from stackctl.state import generated_passphrase

RELATIVE = ["here", "./here", "../here", "~/here", "."]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("stackctl.engines.pulumi_cli.find", lambda: None)
    monkeypatch.setattr(files, "once", Once())
    for name in (files.CONFIG, directories.STATE, directories.CACHE, "STACK", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize("value", ["", *RELATIVE])
def test_a_relative_directory_is_ignored(value: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login or a secret would be lost with the next change of the directory."""
    for name in (files.CONFIG, directories.STATE, directories.CACHE):
        monkeypatch.setenv(name, value)
    assert files.config_home() == home / ".config" / "mlflow-sso"
    assert directories.state_home() == home / ".local" / "state" / "mlflow-sso"
    assert directories.cache_home() == home / ".cache" / "mlflow-sso"


@pytest.mark.parametrize("value", RELATIVE)
@pytest.mark.parametrize("variable", [files.CONFIG, directories.STATE, directories.CACHE])
def test_a_relative_directory_is_told_once(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    for _ in range(2):
        files.config_home(), directories.state_home(), directories.cache_home()
    out, told = capsys.readouterr()
    (line,) = told.splitlines()
    assert out == ""
    assert line.startswith(f"mlflow-sso: {variable}={value} is ignored: it is no absolute path, ")


@pytest.mark.parametrize("value", ["", "/elsewhere"])
def test_nothing_is_told_of_any_other_directory(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (files.CONFIG, directories.STATE, directories.CACHE):
        monkeypatch.setenv(name, value and f"{tmp_path}{value}")
    files.config_home(), directories.state_home(), directories.cache_home()
    assert capsys.readouterr().err == ""


def test_whoever_wants_a_passphrase_elsewhere_is_told_that_it_is_not(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(files.CONFIG, "here")
    assert generated_passphrase(create=True) == home / ".config" / "mlflow-sso" / "passphrase"
    assert "XDG_CONFIG_HOME=here is ignored" in capsys.readouterr().err


def test_both_commands_tell_of_a_relative_directory_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(files.CONFIG, "here")
    assert command.main(["token"]) == 3
    by_client = capsys.readouterr().err.splitlines()
    monkeypatch.setattr(files, "once", Once())
    by_stackctl = CliRunner().invoke(app, ["token"]).stderr.splitlines()
    assert by_client[0] == by_stackctl[0]
    assert [line for line in (*by_client, *by_stackctl) if "ignored" in line] == [by_client[0], by_stackctl[0]]


def test_stacks_in_a_relative_directory_get_no_second_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(directories.STATE, "here")
    (tmp_path / "work" / "here" / "mlflow-sso").mkdir(parents=True)
    with pytest.raises(StackError, match=r"XDG_STATE_HOME = here: expected an absolute path; move here.mlflow-sso"):
        directories.state_home()
    assert capsys.readouterr().err == "", "it is refused, and not ignored"


@pytest.mark.parametrize("variable", [files.CONFIG, directories.STATE, directories.CACHE])
@pytest.mark.parametrize("below", ["", "below"])
def test_a_directory_that_cannot_be_made_is_told_with_its_variable(
    variable: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "file" / below))
    with pytest.raises(OSError) as refused:  # noqa: PT011 # which one, the system says
        files.write_private(Path(str(tmp_path / "file" / below)) / "mlflow-sso" / "x" / "y", "text")
    told = directories.told(refused.value)
    assert told.startswith(str(tmp_path / "file"))
    assert told.endswith(f"; set {variable} to a place that can be written to")


def test_an_error_about_any_other_file_names_no_variable(tmp_path: Path) -> None:
    assert directories.told(OSError(2, "No such file", str(tmp_path / "x"))) == f"{tmp_path / 'x'}: No such file"
    assert directories.told(OSError(28, "No space left")) == "No space left"


def test_both_commands_tell_of_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(store: LoginStore) -> str:
        files.write_private(store.path, "text")
        return ""

    (tmp_path / "file").write_text("")
    monkeypatch.setenv(files.CONFIG, str(tmp_path / "file"))
    monkeypatch.setattr(LoginStore, "access_token", refuse)
    assert command.main(["token"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    done = CliRunner().invoke(app, ["token"])
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [line]
    assert line.endswith("; set XDG_CONFIG_HOME to a place that can be written to")


def test_a_user_without_a_home_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(StackError, match="XDG_STATE_HOME: expected an absolute path, or HOME to be set"):
        directories.state_home()
    assert directories.told(OSError(28, "No space left")) == "No space left"
