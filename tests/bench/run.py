"""`make bench`: what the stack costs, as ratios within one run. Meant for a quiet machine with the images built.

Everything is held against the limit (see limit.py). The limit and each engine's start take turns, and their medians
count: one start on a machine that other work shares varies by a tenth.
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

from platforms.docker.daemon import DockerError, docker
from stackctl.context import load
from stackctl.engines import pulumi_cli
from stackctl.engines.kubectl import LOADER
from tests.bench.calls import calls
from tests.bench.figures import Figure, timed, until
from tests.bench.idle import by_turns
from tests.bench.limit import Limit
from tests.e2e.cluster import has_istio
from tests.e2e.harness import Client, Stack

ROUNDS = 3
IDLE_ROUNDS = 15
# How long a stack is left alone before its memory is looked at.
IDLE_SECONDS = 30
# What each engine's start is held to, as a multiple of the limit.
BOUNDS = {"compose": 1.3, "pulumi": 1.15}


@dataclass
class Run:
    """What is measured in one run of the bench."""

    scratch: Path
    engines: tuple[str, ...]
    limits: list[float] = field(default_factory=list)
    starts: dict[str, list[float]] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)

    def round(self, number: int) -> None:
        """The limit, then each engine from nothing; the last round also looks at what is up then."""
        self.limits.append(Limit(self.scratch).measure())
        for engine in self.engines:
            home = self.scratch / f"{engine}-{number}"
            home.mkdir()
            stack = Stack.make(engine, home)
            with ExitStack() as destroying:
                destroying.callback(stack.destroy, check=False)
                self.starts.setdefault(engine, []).append(timed(partial(first_call, stack)))
                if number == ROUNDS - 1:
                    self._look(engine, stack)
        shown = ", ".join(f"{engine} {seconds[-1]:.1f} s" for engine, seconds in self.starts.items())
        sys.stderr.write(f"round {number + 1} of {ROUNDS}: limit {self.limits[-1]:.1f} s, {shown}\n")

    def _look(self, engine: str, stack: Stack) -> None:
        if engine == "pulumi":
            own, bare = by_turns(stack, self.scratch, IDLE_ROUNDS)
            self.figures.append(Figure("pulumi: up with nothing to change", own, "s", bare, 1.3))
        else:
            self.figures += calls(stack)
        time.sleep(IDLE_SECONDS)
        self.figures.append(Figure(f"{engine}: memory, idle", [memory_mib(stack)], "MiB", [1024], 1.0))

    def on_kubernetes(self) -> None:
        """Each engine's start on the cluster against its starts on Docker. Once: a cluster makes the rest slower."""
        for engine in self.engines:
            there = "render" if engine == "compose" else engine
            seconds = on_kubernetes(there, self.scratch / f"{engine}-kubernetes")
            self.figures.append(Figure(f"{there}: Kubernetes against Docker", [seconds], "s", self.starts[engine], 1.5))


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
    # A machine that keeps no bytecode compiles the stack's program at each run, and of the bare one a single file.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    reason = pulumi_cli.unavailable()
    engines = ("compose",) if reason else ("compose", "pulumi")
    cluster = bool(os.environ.get("KUBECONFIG"))
    with tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), engines)
        for number in range(ROUNDS):
            run.round(number)
        if cluster:
            run.on_kubernetes()
    starts = [
        Figure(f"{engine}: nothing to first call", seconds, "s", run.limits, BOUNDS[engine])
        for engine, seconds in run.starts.items()
    ]
    figures = starts + run.figures
    for figure in figures:
        print(figure)
    if reason:
        print(f"not measured: the Pulumi engine ({reason})")
    if not cluster:
        print("not measured: Kubernetes (KUBECONFIG names no cluster)")
    return int(any(figure.ratio > figure.limit for figure in figures))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DockerError, TimeoutError) as error:
        sys.exit(f"error: {error}")
