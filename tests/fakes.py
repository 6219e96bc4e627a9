"""Commands that answer from files: the seam between this project and Docker, or the Pulumi CLI."""

from __future__ import annotations

import json
from collections.abc import Collection
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


# `ps -q` is the first column of the listing; `inspect` answers for each container by its own file.
_DOCKER = """\
#!/bin/sh
here={folder}
printf '%s\\n' "$*" >> "$here/calls"
if [ -f "$here/$1.error" ]; then cat "$here/$1.error" >&2; exit 1; fi
case "$1 $*" in
ps*" -q"* | ps*" -aq"*) [ ! -f "$here/ps" ] || cut -f 1 "$here/ps"; exit ;;
inspect*)
  set -- "$@" --
  all=
  while [ "$1" != -- ]; do
    [ ! -f "$here/container.$1" ] || all="$all${{all:+,}}$(cat "$here/container.$1")"
    shift
  done
  [ -z "$all" ] || {{ printf '[%s]\\n' "$all"; exit; }}
  set -- inspect ;;
esac
[ ! -f "$here/$1" ] || cat "$here/$1"
"""


class FakeCommand:
    """A program whose answers are set by its first word; a word without one is answered by nothing, with success.

    skip: how many words stand before the first that counts.
    """

    script = _SCRIPT

    def __init__(self, name: str, folder: Path, skip: int = 0) -> None:
        self._folder = folder / "answers"
        self._folder.mkdir(parents=True)
        self.path = folder / "bin" / name
        self.path.parent.mkdir()
        self.path.write_text(self.script.format(folder=self._folder, skip=skip))
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

    script = _DOCKER

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
        self.runs("0123abcd", *ports, health="unhealthy")

    def runs(self, container: str, *ports: int, health: str = "") -> None:
        """The one container of the stack that runs; health: as its own check has it, none where it has no check."""
        self.answer("ps", "")
        self.also_runs(container, *ports, health=health)

    def also_runs(self, container: str, *ports: int, health: str = "") -> None:
        status = f"Up 2 minutes ({health})" if health else "Up 2 minutes"
        with (self._folder / "ps").open("a") as listing:
            listing.write(f"{container}\t{status}\t{', '.join(_listed(ports))}\n")
        bound = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}] for port in ports}
        state = {"Status": "running", "ExitCode": 0, **({"Health": {"Status": health}} if health else {})}
        document = {
            "Id": container,
            "Name": f"/{container}",
            "State": state,
            "RestartCount": 0,
            "HostConfig": {"PortBindings": bound},
            "NetworkSettings": {"Ports": bound},
        }
        self.answer(f"container.{container}", json.dumps(document))

    def container(self, status: str, exit_code: int = 0, restarts: int = 0, health: str = "") -> None:
        """What is said of every container that is asked for by a name which no other answer is for."""
        state = {"Status": status, "ExitCode": exit_code, **({"Health": {"Status": health}} if health else {})}
        self.answer("inspect", json.dumps([{"State": state, "RestartCount": restarts}]))


def _listed(ports: Collection[int]) -> list[str]:
    """Ports as `docker ps` lists them: neighbours in one range (docker/cli, DisplayablePorts)."""
    ranges: list[list[int]] = []
    for port in sorted(ports):
        if ranges and port == ranges[-1][-1] + 1:
            ranges[-1].append(port)
        else:
            ranges.append([port])
    shown = [f"{ends[0]}-{ends[-1]}" if len(ends) > 1 else str(ends[0]) for ends in ranges]
    return [f"127.0.0.1:{words}->{words}/tcp" for words in shown]
