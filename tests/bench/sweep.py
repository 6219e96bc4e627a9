"""A sweep of 64 clients of one person, by MLflow's own client: the stack against `mlflow server` without a login.

Both sides are asked by turns, by as many processes of the same client, so what the client itself costs is the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from settings import ROOT
from tests.bench.calls import without_login
from tests.bench.figures import Count, Figure, Held, percentile, timed
from tests.bench.sweeper import Told
from tests.e2e.asking import person
from tests.e2e.harness import Client, Stack

ROUNDS, CLIENTS = 5, 64
# A process of Python computes with one core, and the clients of one would wait for each other.
PROCESSES = 4
# At least the calls in a second of the server without a login, and at most twice its slowest of a hundred.
SECONDS, SLOWEST = 1.0, 2.0


@dataclass
class Side:
    """What the rounds of one server came to. seconds: for each call that was answered."""

    seconds: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    calls: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, seconds: float, told: list[Told]) -> None:
        """A round: how long it took, and its calls."""
        answered = [call for _, call, error in told if error is None]
        self.seconds.append(1000 * seconds / len(answered))
        self.slowest.append(percentile([call for _, call, _ in told], 99))
        self.calls += len(told)
        self.lost.update(f"{name}: {error}" for name, _, error in told if error is not None)

    def complain(self, name: str) -> None:
        for error, times in self.lost.most_common(10):
            sys.stderr.write(f"{name} lost {times} x {error}\n")


def sweep(stack: Stack, scratch: Path) -> list[Held]:
    """The figures of a sweep."""
    client = Client(stack.outputs())
    ours, theirs = Side(), Side()
    with without_login(stack) as bare:
        for number in range(ROUNDS + 1):
            # A token lives for minutes, and each round has an experiment of its own, which its searches read.
            bob = person(client, "bob")
            login = {"MLFLOW_TRACKING_TOKEN": bob.token}
            for side, url, known in ((ours, client.outputs["mlflow_url"], login), (theirs, bare.url, {})):
                seconds, told = _round(url, bob.experiment(), known, scratch)
                # The first round warms both sides.
                if number:
                    side.add(seconds, told)
    ours.complain("the stack")
    theirs.complain("without a login")
    name = f"{stack.engine}: sweep of {CLIENTS}"
    return [
        Count(f"{name}, calls lost of {ours.calls}", ours.lost.total(), "calls", 0),
        Count(f"{name}, without a login, of {theirs.calls}", theirs.lost.total(), "calls"),
        Figure(f"{name}, a call", ours.seconds, "ms", theirs.seconds, SECONDS),
        Figure(f"{name}, p99", ours.slowest, "s", theirs.slowest, SLOWEST),
    ]


def _round(url: str, experiment: str, login: Mapping[str, str], scratch: Path) -> tuple[float, list[Told]]:
    """Seconds of the clients, from the first to the last call, and their calls."""
    command = (sys.executable, "-m", "tests.bench.sweeper", url, experiment, str(CLIENTS // PROCESSES))
    # No login that is kept on this machine.
    env = {**os.environ, "XDG_CONFIG_HOME": str(scratch / "nobody"), "XDG_STATE_HOME": str(scratch / "nobody"), **login}
    told: list[Told] = []
    with ExitStack() as started:
        processes = [
            started.enter_context(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            for _ in range(PROCESSES)
        ]
        for process in processes:
            _line(process)

        def run() -> None:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            for process in processes:
                told.extend((name, seconds, error) for name, seconds, error in json.loads(_line(process)))

        return timed(run), told


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the sweep ended early")
    return line
