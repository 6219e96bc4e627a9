"""A small stack of throw-away programs that use every word of the seam, brought up by the real platforms and engines.

It has no Keycloak and no MLflow, so it is up in seconds. A process of its own brings it up, as `stackctl` does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pulumi
import yaml

from components.importing import IMPORT_PATH
from components.keycloak import ADMIN_PASSWORD
from components.program import Component
from components.stack import stack_spec
from platforms.rules import check_secrets, check_workloads
from platforms.secrets import Secret, SecretText
from platforms.select import engine_platform
from platforms.site import ONLY, Secrets
from platforms.workload import (
    ExecCheck,
    File,
    OnDemand,
    Outside,
    Port,
    Probe,
    Protocol,
    Reading,
    Resources,
    Scheduled,
    Scratch,
    Service,
    Volume,
    Workload,
)
from settings import PROJECT, ROOT, Settings, from_files
from settings.catalogue import refs
from stackctl.context import Context
from stackctl.engines import pulumi_cli
from stackctl.engines.rendered import SECRETS_FILE
from stackctl.engines.targets import TARGETS
from tests.e2e.harness import Stack

# What an image of the stack has to keep, and directories for data and scratch that belong to their users.
RECIPE = f"""
FROM {refs()["redis"]}
USER 0
RUN install -d -o 61001 -g 61001 -m 0750 /own && install -d -o 61002 -g 61002 -m 0700 /scratch
ENTRYPOINT ["/bin/bash", "-c", "exec \\"$@\\"", "entrypoint"]
"""
IMAGE = f"{PROJECT}/throwaway:{hashlib.sha256(RECIPE.encode()).hexdigest()[:12]}"
SMALL = Resources(memory_mib=48, cpus=0.5, weight=0.5)
KEPT, SWEPT = "kept by the keeper", "swept"
EXIT_CODE = 3
# Where these are found in the environment of the process that brings the stack up.
_VERSION, _OUTSIDE = "THROWAWAY_VERSION", "THROWAWAY_OUTSIDE"

_KEEPER = f"echo {KEPT} > /own/note; redis-server --port 9000 --save '' --dir /tmp --protected-mode no > /tmp/log & "
_KEEPER += "exec redis-server --port 8080 --save '' --dir /tmp --protected-mode no > /tmp/log"
# It tries to write what it may only read, and tells what came of that.
_SWEEP = f'note=$(< /kept/note); echo "{SWEPT} $note"; touch /kept/no 2> /dev/null && echo written; exit 0'
_WAITS = ("bash", "-c", "trap exit TERM; while :; do sleep 1 & wait $!; done")
_ALWAYS = Service(Probe(ExecCheck(("true",)), interval_seconds=2, start_seconds=20))


def throwaway(version: int, outside: Sequence[Outside]) -> tuple[Workload, ...]:
    """The programs. version: of the secret that one of them reads. outside: where that one may go."""
    secrets = {"TOKEN": SecretText.of(Secret("token", version=version))}
    keeper = Workload(
        name="keeper",
        image=IMAGE,
        uid=61001,
        resources=SMALL,
        runs=Service(Probe(ExecCheck(("redis-cli", "-p", "8080", "ping")), interval_seconds=2, start_seconds=20)),
        args=("bash", "-c", _KEEPER),
        # The outputs that rendered files come with have this one, and look for the realm's import.
        secret_env={"OTHER": SecretText.of(ADMIN_PASSWORD)},
        files=(File(IMPORT_PATH, "{}"),),
        ports=(Port("asked", 8080, callers=("asker",)), Port("metrics", 9000, Protocol.HTTP, metrics="/metrics")),
        volumes=(Volume("data", "/own", size_gib=1, protected=True),),
    )
    asker = replace(keeper, name="asker", uid=61002, runs=_ALWAYS, args=_WAITS, secret_env=secrets, files=(), ports=(),
                    volumes=(), scratch=(Scratch("/scratch", 64),), outside=tuple(outside))  # fmt: skip
    stranger = replace(asker, name="stranger", uid=61003, secret_env={}, scratch=(), outside=())
    readings = (Reading("keeper", "data", "/kept"),)
    sweep = replace(stranger, name="sweep", uid=61004, runs=Scheduled("* * * * *", timeout_seconds=120),
                    args=("bash", "-c", _SWEEP), readings=readings, stop_seconds=8)  # fmt: skip
    restore = replace(stranger, name="restore", uid=61005, runs=OnDemand(timeout_seconds=120), secret_env=secrets,
                      args=("bash", "-c", f"echo restored with ${{#TOKEN}} letters; exit {EXIT_CODE}"))  # fmt: skip
    late = replace(restore, name="late", runs=OnDemand(timeout_seconds=2), args=("sleep", "60"), secret_env={})
    return (keeper, asker, stranger, sweep, restore, late)


def build() -> None:
    """Build the image of these programs on the Docker engine, unless it is there."""
    with (Path(tempfile.gettempdir()) / "throwaway-image.lock").open("w") as lock:
        # Another worker would move the name to an image of its own, and Compose takes that for a change.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if subprocess.run(("docker", "image", "inspect", IMAGE), capture_output=True, check=False).returncode != 0:
            command = ("docker", "build", "-q", "-t", IMAGE, "-")
            subprocess.run(command, input=RECIPE, text=True, check=True, capture_output=True)


@dataclass(frozen=True)
class Throwaway:
    """One such stack: its name, place and command line are those of `stack`; outside: where one of it may go."""

    stack: Stack
    outside: str

    def up(self, version: int = 1) -> None:
        """Bring it up by its engine, with this version of its secret."""
        self.stack.write_config()
        if self.stack.engine == "pulumi":
            self._pulumi(version)
        else:
            self._run(version, sys.executable, "-m", __name__, self.stack.name, str(self.stack.config_file))

    def _pulumi(self, version: int) -> None:
        program = self._program
        if not program.exists():
            program.mkdir()
            options = {"toolchain": "pip", "virtualenv": str(ROOT / ".venv")}
            project = {"name": PROJECT, "runtime": {"name": "python", "options": options}}
            (program / "Pulumi.yaml").write_text(yaml.safe_dump(project))
            (program / "__main__.py").write_text(f"from {__name__} import program\n\nprogram()\n")
            self._run(version, self._engine, "-C", str(program), "stack", "init", self.stack.name, "--no-select")
        words = ("--stack", self.stack.name, "--config-file", str(self.stack.config_file), "--non-interactive")
        self._run(version, self._engine, "-C", str(program), "up", "--yes", "--skip-preview", *words)

    def secrets(self) -> str:
        """The generated values as this machine keeps them."""
        if self.stack.engine != "pulumi":
            return "".join(path.read_text() for path in (self.stack.home / "state").rglob(SECRETS_FILE))
        words = ("stack", "export", "--show-secrets", "--stack", self.stack.name)
        shown = json.loads(self._run(1, self._engine, "-C", str(self._program), *words))
        found = [r for r in shown["deployment"].get("resources", ()) if r["type"].startswith("random:")]
        return json.dumps({r["urn"].rpartition("::")[2]: r["outputs"]["result"]["plaintext"] for r in found})

    def refused_by_engine(self) -> str:
        """What `pulumi destroy` itself says of a stack with protected data."""
        words = ("--yes", "--skip-preview", "--non-interactive", "--stack", self.stack.name)
        command = (self._engine, "-C", str(self._program), "destroy", *words)
        done = subprocess.run(
            (*command, "--config-file", str(self.stack.config_file)),
            env=self.stack.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    @property
    def _program(self) -> Path:
        return self.stack.home / "program"

    @property
    def _engine(self) -> str:
        return pulumi_cli.find() or "pulumi"

    def _run(self, version: int, *command: str) -> str:
        given = {_VERSION: str(version), _OUTSIDE: self.outside, "PYTHONPATH": str(ROOT)}
        # Somebody who works with other Compose files may have it, and what runs on demand is not started by it.
        given["COMPOSE_PROFILES"] = "on-demand"
        done = subprocess.run(
            command, cwd=ROOT, env={**self.stack.environment, **given}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


def _workloads() -> tuple[Workload, ...]:
    host, _, port = os.environ[_OUTSIDE].rpartition(":")
    found = throwaway(int(os.environ[_VERSION]), (Outside(host, int(port)),))
    problems = check_workloads(found) + check_secrets(s for w in found for s in w.secrets)
    assert problems == []
    return found


def program() -> None:
    """What the Pulumi engine runs."""
    from pulumi.runtime.config import CONFIG

    from settings import from_engine

    settings = from_engine(CONFIG.get(), pulumi.get_stack())
    checked = engine_platform(settings, PROJECT, pulumi.get_stack()).check(_workloads())
    assert checked.problems == []
    site, secrets = checked.prepare(ONLY), Secrets("secrets", ONLY)
    for workload in _workloads():
        pulumi.export(workload.name, Component(workload, site, secrets, ONLY).ready)


def _rendered(stack: str, config_file: Path) -> None:
    """What Compose or kubectl brings up."""
    settings: Settings = from_files(stack, file=config_file)
    whole = stack_spec(settings)
    # the throwaway workloads keep no data of the stack's, so no home names one of them
    spec = replace(whole, workloads=_workloads(), moves=replace(whole.moves, homes={}))
    TARGETS[settings.platform].up(Context(stack, config_file, settings, spec))


if __name__ == "__main__":
    _rendered(sys.argv[1], Path(sys.argv[2]))
