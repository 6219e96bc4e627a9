"""`make bench`: what the stack costs, as ratios within one run. Meant for a quiet machine with the images built.

Starts are held against the limit (see limit.py), everything else against what its own module says. Both sides take
turns, and their medians count: one start on a machine that other work shares varies by a tenth.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platforms.docker.daemon import DockerError, docker
from stackctl.context import load
from stackctl.engines import pulumi_cli
from stackctl.engines.kubectl import LOADER
from tests.bench.calls import calls
from tests.bench.figures import Figure, Held, timed, until
from tests.bench.idle import by_turns
from tests.bench.limit import Limit
from tests.bench.neighbour import neighbour
from tests.bench.parts import LOOKED_AT, Part, chosen
from tests.bench.sizes import sizes
from tests.bench.streams import bucket, size_mib, volume
from tests.bench.sweep import sweep
from tests.e2e.cluster import has_istio
from tests.e2e.harness import Client, Stack

ROUNDS = 3
IDLE_ROUNDS = 15
# How long a stack is left alone before its memory is looked at.
IDLE_SECONDS = 30
# What each engine's start is held to, as a multiple of the limit.
BOUNDS = {"compose": 1.3, "pulumi": 1.15}
# A second plain user, for what one costs another.
CAROL = {
    "username": "carol",
    "email": "carol@example.com",
    "firstName": "Carol",
    "lastName": "Beside",
    "groups": ["mlflow-users"],
}


@dataclass
class Run:
    """What is measured in one run of the bench."""

    scratch: Path
    engines: tuple[str, ...]
    parts: frozenset[Part]
    limits: list[float] = field(default_factory=list)
    starts: dict[str, list[float]] = field(default_factory=dict)
    missed: int = 0
    lacking: list[str] = field(default_factory=list)

    def measure(self) -> None:
        """Each part that was asked for, the ones that need little of the machine first."""
        if Part.IMAGES in self.parts:
            self._tell(*sizes())
        if self.parts & {Part.STARTS, Part.KUBERNETES}:
            for number in range(ROUNDS):
                self._round(number)
            self._tell(
                *(
                    Figure(f"{engine}: nothing to first call", seconds, "s", self.limits, BOUNDS[engine])
                    for engine, seconds in self.starts.items()
                )
            )
        else:
            for engine in self.engines:
                if self.parts & LOOKED_AT[engine]:
                    with self._stack(engine).running() as stack:
                        self._look(engine, stack)
        if self.parts & {Part.SWEEP, Part.NEIGHBOUR, Part.VOLUME}:
            with self._stack("compose", realm={"users": [CAROL]}).running() as stack:
                self._load(stack)
        if Part.BUCKET in self.parts:
            try:
                self._tell(*bucket(self.scratch))
            except pytest.skip.Exception as reason:
                self.lacking.append(f"bucket ({reason})")

    def _tell(self, *figures: Held) -> None:
        """Prints what was measured at once: an error of a later part takes nothing of it away."""
        for figure in figures:
            print(figure, flush=True)
        self.missed += sum(figure.missed for figure in figures)

    def _stack(self, engine: str, **config: Any) -> Stack:
        return Stack.make(engine, Path(tempfile.mkdtemp(dir=self.scratch)), **config)

    def _round(self, number: int) -> None:
        """The limit, then each engine from nothing; the last round also looks at what is up then."""
        self.limits.append(Limit(self.scratch).measure())
        for engine in self.engines:
            stack = self._stack(engine)
            with ExitStack() as destroying:
                destroying.callback(stack.destroy, check=False)
                self.starts.setdefault(engine, []).append(timed(partial(first_call, stack)))
                if number == ROUNDS - 1:
                    self._look(engine, stack)
        shown = ", ".join(f"{engine} {seconds[-1]:.1f} s" for engine, seconds in self.starts.items())
        sys.stderr.write(f"round {number + 1} of {ROUNDS}: limit {self.limits[-1]:.1f} s, {shown}\n")

    def _look(self, engine: str, stack: Stack) -> None:
        wanted = self.parts & LOOKED_AT[engine]
        if Part.IDLE in wanted:
            own, bare = by_turns(stack, self.scratch, IDLE_ROUNDS)
            self._tell(Figure("pulumi: up with nothing to change", own, "s", bare, 1.3))
        if Part.CALLS in wanted:
            self._tell(*calls(stack))
        if Part.MEMORY in wanted:
            time.sleep(IDLE_SECONDS)
            self._tell(Figure(f"{engine}: memory, idle", [memory_mib(stack)], "MiB", [1024], 1.0))

    def _load(self, stack: Stack) -> None:
        """What loads a stack, on one of its own: it says nothing of a stack that is idle afterwards."""
        if Part.SWEEP in self.parts:
            self._tell(*sweep(stack, self.scratch))
        if Part.NEIGHBOUR in self.parts:
            self._tell(*neighbour(stack, self.scratch))
        if Part.VOLUME in self.parts:
            self._tell(*volume(stack))

    def on_kubernetes(self) -> None:
        """Each engine's starts on the cluster against those on Docker; last, as a cluster makes the rest slower."""
        for engine in self.engines:
            there = "render" if engine == "compose" else engine
            seconds = [on_kubernetes(there, self.scratch / f"{there}-{n}") for n in range(len(self.starts[engine]))]
            self._tell(Figure(f"{there}: Kubernetes against Docker", seconds, "s", self.starts[engine], 1.5))


def first_call(stack: Stack, **env: str) -> None:
    """From nothing to an experiment search that an administrator's token was let in for."""
    stack.up(check=True, **env)
    client = Client(stack.outputs())

    def let_in() -> bool:
        token = client.password_token("alice")["access_token"]
        return client.mlflow("/api/2.0/mlflow/experiments/search?max_results=1", token).status_code == 200

    until(let_in)


def load_images(stack: Stack) -> None:
    """Bring the stack's images to the cluster, as `up` would, so that `up` need not."""
    loader = shlex.split(os.environ.get(LOADER, ""))
    if loader:
        stack.write_config()
        names = sorted({w.image for w in load(stack.name, stack.config_file).spec.workloads})
        subprocess.run((*loader, *names), check=True, capture_output=True)


def on_kubernetes(engine: str, home: Path) -> float:
    """Seconds from nothing to the first call on the cluster that KUBECONFIG names, with the images there."""
    home.mkdir()
    stack = Stack.make(engine, home, platform="kubernetes", kubernetes={"mesh": {"enabled": has_istio()}})
    with ExitStack() as destroying:
        destroying.callback(stack.destroy, check=False)
        load_images(stack)
        # `up` would load them once more.
        return timed(partial(first_call, stack, **{LOADER: ""}))


def memory_mib(stack: Stack) -> float:
    """What the stack's containers hold, in MiB, as the engine counts it."""
    names = docker("ps", "--filter", f"name={stack.physical}-", "--format", "{{.Names}}").split()
    total = 0.0
    for used in docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).splitlines():
        number = used.split("/")[0].strip()
        total += float(number[:-3]) * {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}[number[-3:]]
    return total


def main() -> int:
    parts = chosen(os.environ.get("BENCH", ""))
    # Before anything is brought up for it.
    size_mib()
    # A machine that keeps no bytecode compiles the stack's program at each run, and of the bare one a single file.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    reason = pulumi_cli.unavailable()
    engines = ("compose",) if reason else ("compose", "pulumi")
    cluster = bool(os.environ.get("KUBECONFIG"))
    with tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), engines, parts if cluster else parts - {Part.KUBERNETES})
        run.measure()
        if Part.KUBERNETES in run.parts:
            run.on_kubernetes()
    if reason:
        run.lacking.append(f"the Pulumi engine ({reason})")
    if not cluster and Part.KUBERNETES in parts:
        run.lacking.append("Kubernetes (KUBECONFIG names no cluster)")
    for lacking in run.lacking:
        print(f"not measured: {lacking}")
    return int(run.missed > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DockerError, TimeoutError, ValueError) as error:
        sys.exit(f"error: {error}")
