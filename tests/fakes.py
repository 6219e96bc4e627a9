"""Commands that answer from files: the seam between this project and Docker, or the Pulumi CLI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

_SCRIPT = """\
#!/bin/sh
here={folder}
shift {skip}
printf '%s\\n' "$*" >> "$here/calls"
if [ -f "$here/$1.error" ]; then cat "$here/$1.error" >&2; exit 1; fi
[ ! -f "$here/$1" ] || cat "$here/$1"
"""


class FakeCommand:
    """A program whose answers are set by its first word; a word without one is answered by nothing, with success.

    skip: how many words stand before the first that counts.
    """

    def __init__(self, name: str, folder: Path, skip: int = 0) -> None:
        self._folder = folder / "answers"
        self._folder.mkdir(parents=True)
        self.path = folder / "bin" / name
        self.path.parent.mkdir()
        self.path.write_text(_SCRIPT.format(folder=self._folder, skip=skip))
        self.path.chmod(0o755)

    def answer(self, command: str, text: str) -> None:
        (self._folder / f"{command}.error").unlink(missing_ok=True)
        (self._folder / command).write_text(text)

    def fail(self, command: str, error: str) -> None:
        (self._folder / f"{command}.error").write_text(error + "\n")

    @property
    def calls(self) -> list[str]:
        log = self._folder / "calls"
        return log.read_text().splitlines() if log.exists() else []


class FakeDocker(FakeCommand):
    """The `docker` command, put first on PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("docker", folder)
        monkeypatch.setenv("PATH", f"{self.path.parent}:/usr/bin:/bin")

    def engine(self, version: str = "24.0.7") -> None:
        # A root that is not on this machine, as with a remote engine: its disk is not measured.
        self.answer("info", json.dumps({"ServerVersion": version, "DockerRootDir": "/nowhere"}))

    def images(self, *names: str) -> None:
        self.answer("image", "\n".join(names) + "\n")

    def publishes(self, *ports: int) -> None:
        """Ports that a container of the stack holds already."""
        self.runs("0123abcd", "Up 2 minutes (unhealthy)", *ports)

    def runs(self, container: str, status: str, *ports: int) -> None:
        """The one container of the stack that is listed as running."""
        published = ", ".join(f"127.0.0.1:{port}->{port}/tcp" for port in ports)
        self.answer("ps", f"{container}\t{status}\t{published}\n")

    def container(self, status: str, exit_code: int = 0, restarts: int = 0, health: str = "") -> None:
        state = {"Status": status, "ExitCode": exit_code, **({"Health": {"Status": health}} if health else {})}
        self.answer("inspect", json.dumps([{"State": state, "RestartCount": restarts}]))
