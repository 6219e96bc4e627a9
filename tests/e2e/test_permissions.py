"""What an administrator and a plain user may do with experiments, and that runs keep what is logged."""

from __future__ import annotations

import secrets

import pytest

from tests.e2e.harness import Client, Stack, run_in

API = "/api/2.0/mlflow"
# The SDK of the very version that serves, as a user runs it: with a token in the environment and nothing else.
LOG_A_RUN = """
import sys, tempfile, pathlib, mlflow
name = sys.argv[1]
mlflow.set_experiment(name)
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", 0.75)
    mlflow.log_text("learnt", "notes/model.txt")
found = mlflow.search_runs(experiment_names=[name], output_format="list")
assert [r.data.metrics["accuracy"] for r in found] == [0.75], found
path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes/model.txt")
print(run.info.run_id, pathlib.Path(path).read_text())
"""


@pytest.fixture
def experiment(client: Client) -> str:
    """An experiment of alice's; its id."""
    answer = client.mlflow(
        f"{API}/experiments/create", _token(client, "alice"), "POST", json={"name": f"alice-{secrets.token_hex(4)}"}
    )
    return str(answer.json()["experiment_id"])


def _token(client: Client, username: str) -> str:
    return str(client.password_token(username)["access_token"])


def _status(client: Client, token: str, experiment: str) -> dict[str, int]:
    """How each kind of access is answered. Changes come last, so that a refused read shows first."""
    get = client.mlflow(f"{API}/experiments/get?experiment_id={experiment}", token)
    run = client.mlflow(f"{API}/runs/create", token, "POST", json={"experiment_id": experiment})
    tag = {"experiment_id": experiment, "key": "k", "value": "v"}
    edit = client.mlflow(f"{API}/experiments/set-experiment-tag", token, "POST", json=tag)
    for answer in (get, run, edit):
        assert answer.status_code != 403 or answer.json()["error_code"] == "PERMISSION_DENIED", answer.text
    return {"read": get.status_code, "log": run.status_code, "edit": edit.status_code}


def test_an_experiment_is_hidden_from_others_until_it_is_granted(client: Client, experiment: str) -> None:
    alice, bob = _token(client, "alice"), _token(client, "bob")
    assert _status(client, alice, experiment) == {"read": 200, "log": 200, "edit": 200}
    assert _status(client, bob, experiment) == {"read": 403, "log": 403, "edit": 403}
    assert experiment not in _visible(client, bob)
    grant = f"{API}/permissions/users/bob/experiments/{experiment}"
    assert client.mlflow(grant, bob, "POST", json={"permission": "MANAGE"}).status_code == 403
    assert client.mlflow(grant, alice, "POST", json={"permission": "READ"}).status_code == 200
    assert _status(client, bob, experiment) == {"read": 200, "log": 403, "edit": 403}
    assert experiment in _visible(client, bob)
    assert client.mlflow(grant, alice, "PATCH", json={"permission": "EDIT"}).status_code == 200
    assert _status(client, bob, experiment) == {"read": 200, "log": 200, "edit": 200}
    assert client.mlflow(grant, alice, "DELETE").status_code == 200
    assert _status(client, bob, experiment) == {"read": 403, "log": 403, "edit": 403}


def test_a_plain_user_owns_what_it_creates_and_cannot_administer(client: Client) -> None:
    alice, bob = _token(client, "alice"), _token(client, "bob")
    name = f"bob-{secrets.token_hex(4)}"
    made = client.mlflow(f"{API}/experiments/create", bob, "POST", json={"name": name}).json()["experiment_id"]
    assert _status(client, bob, made) == {"read": 200, "log": 200, "edit": 200}
    assert made in _visible(client, alice)
    assert client.mlflow(f"{API}/users", bob, "POST", json={"username": "mallory"}).status_code == 403
    assert client.mlflow(f"{API}/users", alice).status_code == 200


def _visible(client: Client, token: str) -> list[str]:
    answer = client.mlflow(f"{API}/experiments/search?max_results=1000", token)
    assert answer.status_code == 200
    return [e["experiment_id"] for e in answer.json().get("experiments", [])]


def test_the_python_sdk_logs_a_run_with_an_artifact_and_reads_both_back(client: Client, stack: Stack) -> None:
    """Run where the stack has the SDK already, through the server and its artifact proxy like anywhere else."""
    answer = run_in(
        stack.container("mlflow"),
        *("python", "-c", LOG_A_RUN, f"sdk-{secrets.token_hex(4)}"),
        MLFLOW_TRACKING_TOKEN=_token(client, "bob"),
        MLFLOW_TRACKING_URI="http://localhost:5000",
    )
    run_id, text = answer.split()[-2:]
    assert text == "learnt"
    artifact = f"{API}/artifacts/list?run_id={run_id}&path=notes"
    assert client.mlflow(artifact, _token(client, "alice")).json()["files"][0]["path"] == "notes/model.txt"
    assert client.mlflow(artifact).status_code == 401


def test_artifacts_are_as_hidden_as_their_experiment(client: Client, experiment: str) -> None:
    alice, bob = _token(client, "alice"), _token(client, "bob")
    run = client.mlflow(f"{API}/runs/create", alice, "POST", json={"experiment_id": experiment}).json()["run"]
    path = f"{API}-artifacts/artifacts/{experiment}/{run['info']['run_id']}/artifacts/secret.txt"
    assert client.mlflow(path, alice, "PUT", data=b"for alice").status_code == 200
    assert client.mlflow(path, alice).content == b"for alice"
    assert client.mlflow(path).status_code == 401
    assert {client.mlflow(path, bob, method).status_code for method in ("GET", "PUT", "DELETE")} == {403}
