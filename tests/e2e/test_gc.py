"""What is deleted in MLflow goes for good by `stackctl gc`, with files and grants, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.asking import V2, V3, Person, new_trace, person
from tests.e2e.harness import ASK, Client, Stack, run_in

# Its stack is the neighbour of that one, whose MLflow no other test uses.
pytestmark = pytest.mark.parametrize("engine", ["compose"], indirect=True)
DELETED = "SELECT experiment_id FROM experiments WHERE lifecycle_stage = 'deleted'"


@dataclass(frozen=True)
class Made:
    """What bob made and deleted, and beside it what he left."""

    dead: str
    dead_run: str
    live: str
    gone: str
    model: str
    stays: str
    traces: tuple[str, str]


@pytest.fixture(scope="module")
def client(neighbour: Stack) -> Client:
    return Client(neighbour.outputs())


@pytest.fixture(scope="module")
def made(client: Client) -> Made:
    bob = person(client, "bob")
    dead, live = bob.experiment(), bob.experiment()
    dead_run, gone, stays = bob.run(dead), bob.run(live, "gone"), bob.run(live, "stays")
    for experiment, run in ((dead, dead_run), (live, gone), (live, stays)):
        bob.put(f"{experiment}/{run}/artifacts/model/weights.bin", b"w" * 1000)
    body = {"experiment_id": live, "name": "lm"}
    model = str(bob.must("POST", f"{V2}/logged-models", body)["model"]["info"]["model_id"])
    traces = (_trace(bob, live), _trace(bob, live))
    _trace(bob, dead)
    bob.must("POST", f"{V2}/traces/delete-traces", {"experiment_id": live, "request_ids": [traces[0]]})
    bob.must("POST", f"{V2}/runs/delete", {"run_id": gone})
    bob.must("DELETE", f"{V2}/logged-models/{model}")
    bob.must("POST", f"{V2}/experiments/delete", {"experiment_id": dead})
    return Made(dead, dead_run, live, gone, model, stays, traces)


def _trace(bob: Person, experiment: str) -> str:
    trace = new_trace()
    assert bob.trace(experiment, trace).status_code == 200
    bob.put(f"{experiment}/traces/{trace}/artifacts/traces.json", b"{}")
    return trace


def _files(stack: Stack) -> list[str]:
    found = run_in(stack.container("mlflow"), "find", "/mlflow/artifacts", "-type", "f", "-printf", "%P\n")
    return sorted(found.split())


def _rows(stack: Stack, database: str, query: str) -> str:
    return run_in(stack.container("postgres"), "bash", "-c", ASK, "bash", database, query).strip()


def _gc(stack: Stack, *more: str, check: bool = True) -> Any:
    return stack.stackctl("gc", *more, check=check)


def test_what_was_deleted_is_shown_and_stays_without_a_yes(neighbour: Stack, made: Made) -> None:
    before = _files(neighbour)
    shown = json.loads(_gc(neighbour, "--dry-run", "--output", "json").stdout)
    found = {(row["kind"], row["id"]): row for row in shown}
    assert found.keys() == {("experiment", made.dead), ("run", made.gone), ("model", made.model), ("traces", made.live)}
    assert found["experiment", made.dead]["holds"] == ["1 runs", "1 traces"]
    assert found["experiment", made.dead]["bytes"] == 1002
    assert found["run", made.gone]["bytes"] == 1000
    refused = _gc(neighbour, check=False)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert _gc(neighbour, "--older-than", "1d", "--yes").returncode == 0
    assert _gc(neighbour, "--older-than", "soon", "--yes", check=False).returncode == 2
    # Folders of traces have no age: nobody can restore them.
    assert _files(neighbour) == [file for file in before if f"traces/{made.traces[0]}" not in file]


def test_artifacts_that_cannot_be_removed_are_named_and_their_run_stays(neighbour: Stack, made: Made) -> None:
    """Another run's folder belongs to somebody else on the disk: what can go goes."""
    folder = f"/mlflow/artifacts/{made.dead}/{made.dead_run}/artifacts/model"
    run_in(neighbour.container("mlflow"), "chmod", "0500", folder)
    failed = _gc(neighbour, "--yes", check=False)
    assert failed.returncode == 1
    assert f"experiment {made.dead}" in failed.stderr
    assert "PermissionError" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert _rows(neighbour, "mlflow", DELETED) == made.dead
    assert _rows(neighbour, "mlflow", "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted'") == made.dead_run
    run_in(neighbour.container("mlflow"), "chmod", "0700", folder)


def test_the_rest_goes_and_nothing_else(neighbour: Stack, made: Made, client: Client) -> None:
    done = _gc(neighbour, "--yes")
    assert "1 grants on experiments that are no more" in done.stderr
    assert _files(neighbour) == sorted(
        [
            f"{made.live}/{made.stays}/artifacts/model/weights.bin",
            f"{made.live}/traces/{made.traces[1]}/artifacts/traces.json",
        ]
    )
    assert _rows(neighbour, "mlflow", DELETED) == ""
    assert _rows(neighbour, "mlflow", "SELECT count(*) FROM trace_info") == "1"
    assert _rows(neighbour, "oidc", "SELECT experiment_id FROM experiment_permissions") == made.live
    bob = person(client, "bob")
    assert bob.must("GET", f"{V2}/runs/get?run_id={made.stays}")["run"]["info"]["run_id"] == made.stays
    assert bob.must("GET", f"{V3}/traces/{made.traces[1]}")
    assert "Nothing" in _gc(neighbour, "--yes").stderr


@pytest.mark.parametrize("inside", ["team", "traces", ""])
def test_an_experiment_inside_the_folder_of_another_stays(neighbour: Stack, client: Client, inside: str) -> None:
    alice = person(client, "alice")
    outer = alice.experiment()
    inner = alice.experiment(artifact_location=f"mlflow-artifacts:/{outer}/{inside}".rstrip("/"))
    run = alice.run(inner)
    file = "/".join(filter(None, (outer, inside, run, "artifacts/weights.bin")))
    alice.put(file, b"w")
    alice.must("POST", f"{V2}/experiments/delete", {"experiment_id": outer})
    _gc(neighbour, "--yes")
    assert file in _files(neighbour)
    assert alice.must("GET", f"{V2}/runs/get?run_id={run}")["run"]["info"]["run_id"] == run


def test_a_stack_without_a_server_is_refused(neighbour: Stack, tmp_path: Path) -> None:
    nothing = Stack("compose", tmp_path, neighbour.config)
    nothing.write_config()
    done = _gc(nothing, "--yes", check=False)
    assert done.returncode == 2
    assert "no server to ask" in done.stderr
