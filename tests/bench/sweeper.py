"""Some of a sweep's clients, in a process of their own: `python -m tests.bench.sweeper URL EXPERIMENT CLIENTS`.

MLflow's own client (mlflow-skinny) makes each call, with what it repeats by itself. The process says `ready` once it
has imported that, waits for a line, and prints each call: its name, its seconds, and the error of one that was lost.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

METRICS, PARAMS, ARTIFACT_BYTES = 900, 90, 1 << 20
Told = tuple[str, float, str | None]


def one(client: MlflowClient, experiment: str, artifact: Path) -> list[Told]:
    """One client: a run, a batch, an artifact, a search, the end of the run. Stops where there is no run."""
    told: list[Told] = []

    def call(name: str, work: Callable[[], Any]) -> Any:
        start = time.monotonic()
        result, error = None, None
        try:
            result = work()
        except Exception as raised:
            error = f"{type(raised).__name__}: {str(raised)[:200]}"
        told.append((name, time.monotonic() - start, error))
        return result

    run = call("create", lambda: client.create_run(experiment))
    if run is None:
        return told
    run_id = run.info.run_id
    metrics = [Metric(f"m{n}", float(n), n, n) for n in range(METRICS)]
    params = [Param(f"p{n}", "v") for n in range(PARAMS)]
    call("batch", lambda: client.log_batch(run_id, metrics, params))
    call("artifact", lambda: client.log_artifact(run_id, str(artifact)))
    call("search", lambda: client.search_runs([experiment], max_results=5))
    call("finish", lambda: client.set_terminated(run_id))
    return told


def main() -> None:
    url, experiment, clients = sys.argv[1], sys.argv[2], int(sys.argv[3])
    client = MlflowClient(url)
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder, "artifact.bin")
        artifact.write_bytes(os.urandom(ARTIFACT_BYTES))
        print("ready", flush=True)
        sys.stdin.readline()
        # The client prints where a run is to be seen.
        with redirect_stdout(sys.stderr), ThreadPoolExecutor(clients) as threads:
            told = list(threads.map(lambda _: one(client, experiment, artifact), range(clients)))
    print(json.dumps([call for calls in told for call in calls]), flush=True)


if __name__ == "__main__":
    main()
