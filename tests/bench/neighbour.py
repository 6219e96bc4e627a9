"""What one user who sends the worst that the limits allow costs another: the slowest of a hundred calls, by kind.

The other one reads, searches and logs, one call after the other, first in quiet, then beside each kind (see worst.py),
in each round. Nothing may restart meanwhile, and MLflow's memory stays below its limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from settings import ROOT
from tests.bench.figures import Count, Figure, Held, percentile, timed
from tests.bench.flood import Sent, told
from tests.bench.worst import Worst
from tests.e2e.asking import V2, Person, person
from tests.e2e.harness import SERVICES, Client, Stack, inspect

ROUNDS, QUIET_SECONDS, LOUD_SECONDS = 5, 5.0, 8.0
# So long it goes on before anybody looks.
BEGINNING_SECONDS = 1.0
# How many times its quiet value the slowest of a hundred calls may be, and what of the memory's limit may be in use.
SLOWER, PERCENT = 5.0, 99.0
MIB = 1 << 20


@dataclass
class Neighbour:
    """Somebody who works: with a token of now, on one connection."""

    person: Person
    experiment: str
    run: str

    def work(self, seconds: float) -> list[float]:
        """Seconds of each call. Raises RuntimeError for one that is not answered well."""
        batch = {"run_id": self.run, "metrics": [{"key": f"m{n}", "value": n, "timestamp": n} for n in range(10)]}
        calls = (
            ("GET", f"{V2}/experiments/get?experiment_id={self.experiment}", None),
            ("POST", f"{V2}/runs/search", json.dumps({"experiment_ids": [self.experiment], "max_results": 5})),
            ("POST", f"{V2}/runs/log-batch", json.dumps(batch)),
        )
        headers = {"Content-Type": "application/json", "Authorization": self.person.authorization}
        connection = HTTPConnection(urlsplit(self.person.client.outputs["mlflow_url"]).netloc, timeout=60)
        taken: list[float] = []
        end = time.monotonic() + seconds

        def call(method: str, path: str, body: str | None) -> None:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")

        while time.monotonic() < end:
            for one in calls:
                taken.append(timed(partial(call, *one)))
        connection.close()
        return taken


@dataclass
class Memory:
    """MiB of MLflow's memory that are no page cache, at most, while it is watched."""

    container: str
    most: float = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        # One process for all of it, since to start one takes a tenth of a second of a core.
        names = "/sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat"
        script = f"while sleep 0.5; do grep -hE '^(anon|total_rss) ' {names} 2> /dev/null; done"
        command = ("docker", "exec", self.container, "sh", "-c", script)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            reader = threading.Thread(target=self._read, args=(process,))
            reader.start()
            try:
                yield
            finally:
                process.terminate()
                reader.join()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.most = max(self.most, int(line.split()[1]) / MIB)


@dataclass
class Rounds:
    """The slowest of a hundred calls in each round: in quiet, and beside each kind."""

    quiet: list[float] = field(default_factory=list)
    loud: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, Counter[str]] = field(default_factory=dict)


def neighbour(stack: Stack, scratch: Path) -> list[Held]:
    """The figures. The stack has two plain users, bob and carol."""
    client = Client(stack.outputs())
    worst = Worst(person(client, "bob"), scratch)
    carol = person(client, "carol")
    experiment = carol.experiment()
    run = carol.run(experiment)
    before = _started(stack)
    memory, rounds = Memory(stack.container("mlflow")), Rounds()
    with memory.watched():
        for _ in range(ROUNDS):
            _round(client, worst, (experiment, run), rounds)
    for kind, answers in rounds.answers.items():
        sys.stderr.write(f"{kind}: {dict(answers)}\n")
    restarted = [name for name, started in _started(stack).items() if started != before[name]]
    limit = inspect(stack.container("mlflow"))["HostConfig"]["Memory"] / MIB
    return [
        *(
            Figure(f"{stack.engine}: p99 beside {kind}", _ms(slowest), "ms", _ms(rounds.quiet), SLOWER)
            for kind, slowest in rounds.loud.items()
        ),
        Count(f"{stack.engine}: restarted beside the worst", len(restarted), "containers", 0),
        Count(f"{stack.engine}: MLflow's memory beside the worst", round(memory.most), "MiB", limit),
    ]


def _round(client: Client, worst: Worst, known: tuple[str, str], rounds: Rounds) -> None:
    """In quiet, then beside each kind; with tokens of now, which live for minutes."""
    kinds = worst.by_kind(person(client, "bob"))
    rounds.quiet.append(_slowest("quiet", Neighbour(person(client, "carol"), *known), QUIET_SECONDS))
    for kind in kinds:
        works = Neighbour(person(client, "carol"), *known)
        with _flood(client, worst.by_kind(person(client, "bob"))[kind], rounds.answers.setdefault(kind, Counter())):
            rounds.loud.setdefault(kind, []).append(_slowest(kind, works, LOUD_SECONDS))


def _slowest(kind: str, works: Neighbour, seconds: float) -> float:
    taken = works.work(seconds)
    slowest = percentile(taken, PERCENT)
    sys.stderr.write(f"{kind}: {len(taken)} calls, p50 {1000 * median(taken):.0f} ms, p99 {1000 * slowest:.0f} ms\n")
    return slowest


@contextmanager
def _flood(client: Client, sent: Sequence[Sent], answers: Counter[str]) -> Iterator[None]:
    """Sends while it is entered; `answers` then has what was answered. Waits until the last answer is there."""
    command = (sys.executable, "-m", "tests.bench.flood")
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(told(urlsplit(client.outputs["mlflow_url"]).netloc, sent))
        process.stdin.flush()
        time.sleep(BEGINNING_SECONDS)
        try:
            yield
        finally:
            said, _ = process.communicate()
    answers.update(json.loads(said))


def _started(stack: Stack) -> dict[str, str]:
    return {name: str(inspect(stack.container(name))["State"]["StartedAt"]) for name in SERVICES}


def _ms(seconds: Sequence[float]) -> list[float]:
    return [1000 * one for one in seconds]
