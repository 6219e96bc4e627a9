"""Restarts, a second `up`, a neighbour on the same machine, and the end of a stack."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from settings.catalogue import load_versions
from tests.e2e.harness import TIMEOUT, WORKLOADS, Client, Stack, docker, eventually, inspect, run_in
from tests.e2e.login import ui_session
from tests.e2e.waits import renew_connections

API = "/api/2.0/mlflow"
MODEL = "SELECT id || ' ' || version FROM migration_model"


@dataclass(frozen=True)
class Kept:
    """What was there before a restart, and the credentials that were good."""

    experiment: str
    artifact: str
    token: str
    refresh_token: str
    keys: Any
    browser: requests.Session


@pytest.fixture(scope="session")
def kept(client: Client) -> Kept:
    content = client.password_token("alice")
    token = content["access_token"]
    body = {"name": f"kept-{secrets.token_hex(4)}"}
    experiment = str(client.mlflow(f"{API}/experiments/create", token, "POST", json=body).json()["experiment_id"])
    run = client.mlflow(f"{API}/runs/create", token, "POST", json={"experiment_id": experiment}).json()["run"]
    artifact = f"{API}-artifacts/artifacts/{experiment}/{run['info']['run_id']}/artifacts/kept.txt"
    assert client.mlflow(artifact, token, "PUT", data=b"kept").status_code == 200
    return Kept(experiment, artifact, token, content["refresh_token"], _keys(client), ui_session(client, "alice"))


def _keys(client: Client) -> Any:
    """The realm's signing keys (RFC 7517)."""
    return requests.get(f"{client.outputs['issuer_url']}/protocol/openid-connect/certs", timeout=TIMEOUT).json()


def _serves(client: Client) -> bool:
    try:
        return client.mlflow("/health/ready").status_code == 200 and bool(_keys(client))
    except requests.RequestException:
        return False


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = _identities(stack)
    files = _files(stack)
    shown = stack.up()
    assert _identities(stack) == before
    assert _files(stack) == files
    if stack.engine == "pulumi":
        text = shown.stdout + shown.stderr
        assert "unchanged" in text
        assert not [word for word in ("created", "updated", "replaced", "deleted") if f" {word}" in text], text


def _identities(stack: Stack) -> dict[str, tuple[str, str]]:
    return {w: (c["Id"], c["State"]["StartedAt"]) for w in WORKLOADS for c in [inspect(stack.container(w))]}


def _files(stack: Stack) -> dict[Path, bytes]:
    """What is rendered; the engine writes the history of every run beside its own state."""
    return {p: p.read_bytes() for p in (stack.home / "state").rglob("*") if p.is_file()}


def test_keycloak_finds_a_database_of_its_own_version(stack: Stack) -> None:
    """It checks each change of the schema wherever the database names another version, or none."""
    (found,) = _models(stack)
    assert found.split()[1] == load_versions().images["keycloak"].default
    assert "Updating database" not in docker("logs", stack.container("keycloak"))


def _models(stack: Stack) -> list[str]:
    """The versions that Keycloak's database has been of, each with the id it gave the files of its pages."""
    script = f'PGPASSWORD=$POSTGRES_PASSWORD exec psql -X -A -t -h 127.0.0.1 -U postgres -d keycloak -c "{MODEL}"'
    return run_in(stack.container("postgres"), "bash", "-c", script).splitlines()


@pytest.mark.restarts
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_restart_loses_nothing(stack: Stack, client: Client, kept: Kept, workload: str) -> None:
    docker("restart", stack.container(workload))
    eventually(lambda: _serves(client), bool, f"the stack serves after {workload} was restarted")
    # A new login needs every part of the stack; a pool of connections may take a moment to notice the restart.
    fresh = eventually(lambda: _new_token(client), bool, f"a login after {workload} was restarted")
    renew_connections(client)
    for token in (fresh, kept.token):
        answer = eventually(partial(_get, client, kept.experiment, token), _good, "the experiment")
        assert answer.json()["experiment"]["experiment_id"] == kept.experiment
        eventually(partial(client.mlflow, kept.artifact, token), lambda found: found.content == b"kept", "the artifact")
    url = f"{client.outputs['mlflow_url']}{API}/experiments/get?experiment_id={kept.experiment}"
    eventually(lambda: kept.browser.get(url, timeout=TIMEOUT, allow_redirects=False), _good, "the page's session")
    assert _keys(client) == kept.keys
    # Sessions of Keycloak are in its database.
    login = {"client_id": client.outputs["client_id"], "client_secret": client.outputs["client_secret"]}
    form = {"grant_type": "refresh_token", "refresh_token": kept.refresh_token, **login}
    eventually(lambda: client.grant(**form), _good, "the refresh token")


def _get(client: Client, experiment: str, token: str) -> requests.Response:
    return client.mlflow(f"{API}/experiments/get?experiment_id={experiment}", token)


def _good(answer: requests.Response) -> bool:
    return answer.status_code == 200


def _new_token(client: Client) -> str:
    try:
        return str(client.password_token("alice")["access_token"])
    except requests.RequestException:
        return ""


@pytest.mark.restarts
def test_two_stacks_do_not_see_each_other_and_one_goes_without_a_trace(
    stack: Stack, client: Client, neighbour: Stack
) -> None:
    other = Client(neighbour.outputs())
    assert other.password_token("alice")
    assert not _names(stack) & _names(neighbour)
    mine, theirs = client.password_token("alice")["access_token"], other.password_token("alice")["access_token"]
    search = f"{API}/experiments/search?max_results=10"
    assert (client.mlflow(search, mine).status_code, other.mlflow(search, theirs).status_code) == (200, 200)
    assert (client.mlflow(search, theirs).status_code, other.mlflow(search, mine).status_code) == (401, 401)
    assert not _values(client.outputs) & _values(other.outputs)
    assert _models(stack) != _models(neighbour)
    before = _identities(stack)
    neighbour.destroy()
    assert neighbour.leftovers() == []
    assert not list((neighbour.home / "state").rglob("secrets.*"))
    assert _identities(stack) == before
    assert client.mlflow(search, mine).status_code == 200


def _names(stack: Stack) -> set[str]:
    """Containers, volumes and networks of a stack: those it made, and those its containers are joined to."""
    found = set(stack.leftovers())
    assert len(found) > len(WORKLOADS)
    for workload in WORKLOADS:
        container = inspect(stack.container(workload))
        found |= set(container["NetworkSettings"]["Networks"])
        found |= {m["Name"] for m in container["Mounts"] if m["Type"] == "volume"}
    return found


def _values(outputs: Any) -> set[str]:
    users = outputs["users"].values()
    return {outputs["client_secret"], outputs["admin"]["password"], *(user["password"] for user in users)}


def test_nothing_is_removed_by_a_destroy_that_names_another_stack(stack: Stack) -> None:
    before = _identities(stack)
    stranger = Stack(stack.engine, stack.home, stack.config)
    stranger.write_config()
    assert stranger.destroy().returncode == 0
    assert _identities(stack) == before


def test_a_destroy_that_does_not_know_the_stack_never_calls_it_gone(stack: Stack, tmp_path: Path) -> None:
    """As another user, or with lost state: what runs is found by its labels."""
    before = _identities(stack)
    elsewhere = {"XDG_STATE_HOME": str(tmp_path), "PULUMI_BACKEND_URL": f"file://{tmp_path}"}
    told = stack.stackctl("destroy", check=False, **elsewhere)
    assert told.returncode == 1, told.stderr
    for workload in WORKLOADS:
        assert f"container {stack.container(workload)}" in told.stderr
    assert f"`stackctl cleanup --stack {stack.name}" in told.stderr
    assert _identities(stack) == before


@pytest.mark.destroys
def test_destroy_leaves_no_container_volume_or_network(stack: Stack) -> None:
    assert stack.leftovers()
    anonymous = {
        m["Name"] for w in WORKLOADS for m in inspect(stack.container(w))["Mounts"] if m["Type"] == "volume"
    }  # fmt: skip
    stack.destroy()
    assert stack.leftovers() == []
    assert not anonymous & set(docker("volume", "ls", "-q").split())
    again = stack.stackctl("destroy")
    assert "nothing to remove" in again.stderr
    shown = stack.stackctl("outputs", check=False)
    assert shown.returncode == 2, "it is refused, as every question about a stack that is not there"
    assert "There is no stack" in shown.stderr
