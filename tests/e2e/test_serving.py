"""MLflow answers everybody, whatever one of them asks first or reads slowly."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.harness import TIMEOUT, Client, Stack, docker, eventually, run_in

API = "/api/2.0/mlflow"
SEARCH = f"{API}/experiments/search?max_results=1"
# What the page asks for that people see first, beside the tracking API: it opens a store of its own.
ASSISTANT = "/ajax-api/3.0/mlflow/assistant/providers"
# Bytes that no buffer holds, and that take minutes to be handed out to nobody.
HEAVY = 16 * 1024**3


def test_slow_downloads_hold_nobody_up_and_end_with_their_readers(stack: Stack, client: Client) -> None:
    token = client.password_token("alice")["access_token"]
    body = {"name": f"heavy-{secrets.token_hex(4)}"}
    experiment = client.mlflow(f"{API}/experiments/create", token, "POST", json=body).json()["experiment_id"]
    run = client.mlflow(f"{API}/runs/create", token, "POST", json={"experiment_id": experiment}).json()["run"]
    path = f"{experiment}/{run['info']['run_id']}/artifacts/model.bin"
    artifact = f"{API}-artifacts/artifacts/{path}"
    assert client.mlflow(artifact, token, "PUT", data=b"weights").status_code == 200
    assert client.mlflow(artifact, token).content == b"weights"
    mlflow = stack.container("mlflow")
    run_in(mlflow, "truncate", "-s", str(HEAVY), f"/mlflow/artifacts/{path}")
    with _reads_nothing(client, artifact, token), _reads_nothing(client, artifact, token):
        for _ in range(3):
            assert client.mlflow(SEARCH, token).status_code == 200
        assert _opened(mlflow, path) == 2
    eventually(lambda: _opened(mlflow, path), lambda left: left == 0, "the server lets go of what nobody reads")
    assert "ClientGone" not in stack.logs("mlflow")
    run_in(mlflow, "truncate", "-s", "0", f"/mlflow/artifacts/{path}")


def _opened(container: str, path: str) -> int:
    """How often the server has this artifact open."""
    return run_in(container, "bash", "-c", "ls -l /proc/1/fd").count(path)


@contextmanager
def _reads_nothing(client: Client, path: str, token: str) -> Iterator[None]:
    """Somebody who has asked for it, has got the first bytes, and reads no more."""
    server = urlsplit(client.outputs["mlflow_url"])
    with socket.create_connection((server.hostname, server.port or 80), timeout=TIMEOUT) as one:
        head = f"GET {path} HTTP/1.1\r\nHost: {server.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
        one.sendall(head.encode())
        assert one.recv(12) == b"HTTP/1.1 200"
        yield


@pytest.mark.restarts
@pytest.mark.parametrize("first", [ASSISTANT, SEARCH])
def test_a_new_server_answers_whatever_is_asked_first(stack: Stack, client: Client, first: str) -> None:
    token = _restarted(stack, client)
    assert client.mlflow(first, token).status_code == 200


@pytest.mark.restarts
def test_a_new_server_answers_many_at_once(stack: Stack, client: Client) -> None:
    token = _restarted(stack, client)
    paths = (SEARCH, ASSISTANT, "/", "/ajax-api/2.0/mlflow/users/current") * 6
    with ThreadPoolExecutor(len(paths)) as threads:
        answers = list(threads.map(lambda path: client.mlflow(path, token).status_code, paths))
    assert answers == [200] * len(paths)


def _restarted(stack: Stack, client: Client) -> str:
    """Restart MLflow, so that it has answered nothing but its health; returns alice's token."""
    token = str(client.password_token("alice")["access_token"])
    docker("restart", stack.container("mlflow"))
    eventually(lambda: _ready(client), bool, "MLflow is ready after its restart")
    return token


def _ready(client: Client) -> bool:
    try:
        return client.mlflow("/health/ready").status_code == 200
    except requests.RequestException:
        return False
