"""The files of a login on every system; what cannot run here runs against a stand-in of that system's own module."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlflow_sso_client import files
from mlflow_sso_client.command import main


class Msvcrt(ModuleType):
    """Locks as Windows does: the second who asks is refused after a while (here at once), and asks again."""

    LK_LOCK, LK_UNLCK = 1, 0

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.calls: list[tuple[int, int]] = []
        self.refusals = 2

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        assert count == 1
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0, "it locks from the current position on"
        if mode == self.LK_LOCK and self.refusals:
            self.refusals -= 1
            raise OSError(36, "Resource deadlock avoided")
        self.calls.append((descriptor, mode))


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Msvcrt:
    module = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", module)
    monkeypatch.delitem(sys.modules, "mlflow_sso_client._windows", raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    return module


def test_on_windows_a_lock_is_waited_for_and_let_go(windows: Msvcrt, tmp_path: Path) -> None:
    with files.held(tmp_path / "x.lock"):
        assert [mode for _, mode in windows.calls] == [Msvcrt.LK_LOCK]
    assert [mode for _, mode in windows.calls] == [Msvcrt.LK_LOCK, Msvcrt.LK_UNLCK]


def test_on_windows_configuration_is_in_the_roaming_profile(
    windows: Msvcrt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("APPDATA", str(tmp_path))
    assert files.config_home() == tmp_path / "mlflow-sso"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    assert files.config_home() == Path("/elsewhere/mlflow-sso")


def test_on_windows_a_file_that_somebody_reads_is_replaced_a_little_later(
    windows: Msvcrt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusals = iter([PermissionError(13, "in use"), PermissionError(13, "in use")])
    real = Path.replace

    def busy(self: Path, target: Any) -> Any:
        for error in refusals:
            raise error
        return real(self, target)

    monkeypatch.setattr(Path, "replace", busy)
    files.write_private(tmp_path / "login.json", "new")
    assert (tmp_path / "login.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["login.json"], "nothing half written is left"


def test_on_windows_a_lock_that_cannot_be_had_at_all_is_told(
    windows: Msvcrt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only "somebody else has it" is a reason to ask again; any other would be asked for ever."""

    def locking(descriptor: int, mode: int, count: int) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(windows, "locking", locking)
    with pytest.raises(OSError, match="Permission denied"), files.held(tmp_path / "x.lock"):
        pass


def test_on_windows_a_file_that_somebody_replaces_is_read_a_little_later(
    windows: Msvcrt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "login.json").write_text("text")
    refusals = iter([PermissionError(13, "in use"), PermissionError(13, "in use")])
    real = Path.read_text

    def busy(self: Path, encoding: str | None = None) -> str:
        for error in refusals:
            raise error
        return real(self, encoding)

    monkeypatch.setattr(Path, "read_text", busy)
    assert files.read_text(tmp_path / "login.json") == "text"
    module = importlib.import_module("mlflow_sso_client._windows")
    monkeypatch.setattr(module, "_PATIENCE", 0)
    refusals = iter([PermissionError(13, "never yours")] * 9)
    with pytest.raises(PermissionError, match="never yours"):
        files.read_text(tmp_path / "login.json")


def test_every_system_has_the_same_functions(windows: Msvcrt) -> None:
    needed = {name for name in vars(files.System) if not name.startswith("_")}
    for name in ("_posix", "_windows"):
        module = importlib.import_module(f"mlflow_sso_client.{name}")
        assert needed <= set(vars(module)), name


def test_nothing_of_one_system_is_needed_to_import_the_client() -> None:
    program = (
        "import sys; sys.modules['fcntl'] = sys.modules['pwd'] = None;"
        "import mlflow_sso_client.providers, mlflow_sso_client.command; print('imported')"
    )
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "imported", done.stderr


def test_the_client_imports_nothing_of_the_rest() -> None:
    """In a folder of somebody's own, `settings` is somebody's own."""
    program = (
        "import sys\n"
        "for name in ('settings', 'components', 'platforms', 'stackctl', 'problems', 'pulumi', 'typer', 'pydantic'):\n"
        "    sys.modules[name] = None\n"
        "import mlflow_sso_client.providers, mlflow_sso_client.command; print('imported')"
    )
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "imported", done.stderr


def test_a_user_without_a_home_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever runs a container by a number has neither a name nor a HOME."""

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert main(["token"]) == 2
    assert capsys.readouterr().err == "error: no home directory is known here; set HOME, or XDG_CONFIG_HOME\n"
