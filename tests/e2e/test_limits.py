"""What MLflow is asked costs its sender: bodies, artifacts of any size, many calls at once, stores that are away.

How each limit is counted is held by tests/unit/test_guard.py and its kin; here are the image, Flask and real stores.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import requests

from tests.bench.worst import spans
from tests.e2e.asking import V2, Person, person
from tests.e2e.harness import TIMEOUT, Client, Stack, docker, eventually, inspect, run_in
from tests.e2e.waits import PATIENCE, renew_connections

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1 << 20
# More than all the memory that requests have for files.
LARGE = 300


@pytest.fixture(scope="module")
def place(bob: Person) -> str:
    """Where a run of bob's has its artifacts."""
    experiment = bob.experiment()
    return f"{ARTIFACTS}/{experiment}/{bob.run(experiment)}/artifacts"


def _large(mib: int, digest: hashlib._Hash) -> Iterator[bytes]:
    for _ in range(mib):
        piece = os.urandom(MIB)
        digest.update(piece)
        yield piece


def _url(client: Client, path: str) -> str:
    return f"{client.outputs['mlflow_url']}{path}"


def _scratch(stack: Stack) -> int:
    """MiB of files that requests have in memory."""
    return int(run_in(stack.container("mlflow"), "df", "-m", "--output=used", "/tmp").split()[-1])


def _incoming(stack: Stack) -> list[str]:
    """Files of uploads that are not whole."""
    found = run_in(stack.container("mlflow"), "find", "/mlflow/artifacts/.artifact.uploading.", "-type", "f")
    return found.split()


def test_an_artifact_of_any_size_goes_through_without_a_copy(
    stack: Stack, client: Client, bob: Person, place: str
) -> None:
    headers = {"Authorization": bob.authorization}
    sent, got = hashlib.sha256(), hashlib.sha256()
    url = _url(client, f"{place}/model.bin")
    before = _scratch(stack)
    answer = requests.put(url, data=_large(LARGE, sent), headers=headers, timeout=TIMEOUT)
    assert answer.status_code == 200, answer.text
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        assert answer.headers["Content-Length"] == str(LARGE * MIB)
        for piece in answer.iter_content(MIB):
            got.update(piece)
    assert got.digest() == sent.digest()
    part = requests.get(url, headers={**headers, "Range": "bytes=-10"}, timeout=TIMEOUT)
    assert (part.status_code, len(part.content)) == (206, 10)
    assert _scratch(stack) <= before + 1
    assert _incoming(stack) == []


def test_a_download_by_the_page_is_the_same(client: Client, bob: Person, place: str) -> None:
    bob.ask("PUT", f"{place}/page.html", data=b"<script>alert(1)</script>" * 99)
    run = place.split("/")[-2]
    answer = bob.ask("GET", f"/get-artifact?path=page.html&run_uuid={run}")
    assert answer.content == b"<script>alert(1)</script>" * 99
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_download_by_the_page_may_have_any_size(stack: Stack, client: Client, bob: Person, place: str) -> None:
    run = place.split("/")[-2]
    headers = {"Authorization": bob.authorization}
    sent, got = hashlib.sha256(), hashlib.sha256()
    requests.put(_url(client, f"{place}/large.bin"), data=_large(100, sent), headers=headers, timeout=TIMEOUT)
    before = _scratch(stack)
    url = _url(client, f"/get-artifact?path=large.bin&run_uuid={run}")
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        assert answer.status_code == 200, answer.text
        for piece in answer.iter_content(MIB):
            got.update(piece)
    assert got.digest() == sent.digest()
    assert _scratch(stack) <= before + 1


def test_nothing_is_left_of_an_upload_whose_client_goes(stack: Stack, client: Client, bob: Person, place: str) -> None:
    server = urlsplit(client.outputs["mlflow_url"])
    with socket.create_connection((server.hostname, server.port or 80), timeout=TIMEOUT) as one:
        head = f"PUT {place}/half.bin HTTP/1.1\r\nHost: {server.netloc}\r\nAuthorization: {bob.authorization}\r\n"
        one.sendall(f"{head}Content-Length: {50 * MIB}\r\n\r\n".encode() + os.urandom(9 * MIB))
        eventually(lambda: _incoming(stack), lambda files: len(files) == 1, "the upload has begun")
    eventually(lambda: _incoming(stack), lambda files: not files, "nothing is left of it")
    assert bob.ask("GET", f"{place}/half.bin").status_code == 404


@pytest.mark.parametrize("who", ["nobody", "somebody without a grant"])
def test_who_may_not_send_an_artifact_sends_none(
    stack: Stack, client: Client, bob: Person, place: str, who: str
) -> None:
    headers = {} if who == "nobody" else {"Authorization": bob.authorization}
    alices = person(client, "alice").experiment()
    path = f"{place}/theirs.bin" if who == "nobody" else f"{ARTIFACTS}/{alices}/theirs/artifacts/x.bin"
    before = _scratch(stack)
    refused: int | None = None
    try:
        data = _large(100, hashlib.sha256())
        refused = requests.put(_url(client, path), data=data, headers=headers, timeout=TIMEOUT).status_code
    except requests.ConnectionError:
        # The server answers, and closes a connection on which nobody reads yet.
        pass
    assert refused in (401, 403, None)
    assert _scratch(stack) <= before + 1
    assert _incoming(stack) == []


@pytest.mark.parametrize("path", ["/health", "/login", "/metrics", "/static-files/x", "/oidc/ui/", "/providers"])
def test_strangers_send_no_bodies(stack: Stack, client: Client, path: str) -> None:
    before = _scratch(stack)
    server = urlsplit(client.outputs["mlflow_url"])
    head = f"POST {path} HTTP/1.1\r\nHost: {server.netloc}\r\nContent-Length: 400000000\r\n\r\n".encode()
    with socket.create_connection((server.hostname, server.port or 80), timeout=TIMEOUT) as one:
        one.sendall(head + b"x" * MIB)
        assert one.recv(12) == b"HTTP/1.1 405"
    assert _scratch(stack) <= before + 1


@pytest.mark.parametrize(
    "path", [f"{V2}/users/current/tokens", f"{V2}/runs/log-batch", "/graphql", "/v1/traces", f"{V2}/runs/search"]
)
def test_a_body_that_would_end_the_server_is_refused(stack: Stack, bob: Person, path: str) -> None:
    started = inspect(stack.container("mlflow"))["State"]["StartedAt"]
    body = ('{"name": "x", "pad": [' + ",".join(['{"a": 1}'] * 4_000_000) + "]}").encode()
    try:
        answer = bob.headed({"Content-Type": "application/json", "x-mlflow-experiment-id": "0"}, path, body)
        # The spans of experiment 0 are refused before anything of them is read.
        assert answer.status_code in (413, 403), answer.text
    except requests.ConnectionError:
        pass
    assert bob.ask("GET", f"{V2}/experiments/search?max_results=1").status_code == 200
    assert inspect(stack.container("mlflow"))["State"]["StartedAt"] == started


WORDS = {"Content-Type": "application/json"}
SPANS = {"Content-Type": "application/x-protobuf"}
LISTS = {"Content-Type": "application/json", "Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/graphql", WORDS, b'{"query": "{ ' + b"a " * (8 * MIB - 20) + b'}"}'),
        ("/v1/traces", SPANS, b"\x0a\x00" * (16 * MIB)),
        ("/v1/traces", SPANS, spans(100_000, 0)),
        ("/v1/traces", LISTS, gzip.compress(b'{"resourceSpans": [' + b"[]," * (20 * MIB) + b"[]]}")),
    ],
    ids=["words", "resources", "spans", "lists"],
)
def test_a_body_is_refused_for_what_it_would_be_in_memory(
    stack: Stack, bob: Person, path: str, headers: dict[str, str], body: bytes
) -> None:
    started = inspect(stack.container("mlflow"))["State"]["StartedAt"]
    given = {**headers, "x-mlflow-experiment-id": bob.experiment()}
    with contextlib.suppress(requests.ConnectionError):
        answer = bob.headed(given, path, body)
        assert answer.status_code == 413, answer.text
    assert bob.ask("GET", f"{V2}/experiments/search?max_results=1").status_code == 200
    assert inspect(stack.container("mlflow"))["State"]["StartedAt"] == started


@pytest.mark.parametrize("path", [f"{V2}/users/current", "/oidc/ui/", f"{V2}/experiments/search?max_results=1"])
def test_every_route_answers_for_its_own_host_alone(client: Client, bob: Person, path: str) -> None:
    assert bob.headed({"Host": "evil.example"}, path).status_code == 403
    answer = bob.headed({}, path)
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_no_page_of_another_empties_the_trash(client: Client) -> None:
    alice = person(client, "alice")
    headers = {"Origin": "http://evil.example"}
    assert alice.headed(headers, "/oidc/trash/cleanup", b"").status_code == 403
    assert alice.headed({"Sec-Fetch-Site": "same-site"}, "/oidc/trash/cleanup", b"").status_code == 403


def test_a_search_without_words_is_answered(bob: Person) -> None:
    experiment = bob.experiment()
    for prefix in ("api", "ajax-api"):
        found = bob.must("POST", f"/{prefix}/2.0/mlflow/experiments/search", {})
        assert experiment in [one["experiment_id"] for one in found["experiments"]]
    zero = bob.ask("POST", f"{V2}/experiments/search", {"max_results": 0})
    assert zero.status_code == 400, "a zero that somebody sent is none"


def _ask(bob: Person, method: str, path: str, body: object = None, **more: object) -> requests.Response:
    """Asks as MLflow's client does, which repeats what is told to come later (`mlflow.utils.request_utils`)."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = bob.ask(method, path, body, **more)
        if answer.status_code not in (429, 503) or time.monotonic() > deadline:
            return answer
        time.sleep(int(answer.headers["Retry-After"]))


def _one_of_a_sweep(bob: Person, experiment: str) -> list[int]:
    """What one client of a sweep calls; the status of each answer."""
    made = _ask(bob, "POST", f"{V2}/runs/create", {"experiment_id": experiment, "start_time": 1})
    if made.status_code != 200:
        return [made.status_code]
    run = made.json()["run"]["info"]["run_id"]
    metrics = [{"key": f"m{n}", "value": n, "timestamp": n, "step": n} for n in range(900)]
    batch = {"run_id": run, "metrics": metrics, "params": [{"key": f"p{n}", "value": "v"} for n in range(90)]}
    answers = [
        _ask(bob, "POST", f"{V2}/runs/log-batch", batch),
        _ask(bob, "PUT", f"{ARTIFACTS}/{experiment}/{run}/artifacts/a.bin", data=os.urandom(MIB)),
        _ask(bob, "POST", f"{V2}/runs/search", {"experiment_ids": [experiment], "max_results": 5}),
        _ask(bob, "POST", f"{V2}/runs/update", {"run_id": run, "status": "FINISHED", "end_time": 2}),
    ]
    return [answer.status_code for answer in answers]


def test_no_call_of_a_sweep_is_lost(bob: Person) -> None:
    experiment = bob.experiment()
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: _one_of_a_sweep(bob, experiment), range(48)))
    assert [status for statuses in answers for status in statuses if status != 200] == []


def test_the_secrets_of_the_gateway_are_under_a_key_of_the_stacks(stack: Stack, client: Client) -> None:
    alice = person(client, "alice")
    config = alice.must("GET", "/ajax-api/3.0/mlflow/gateway/secrets/config")
    assert config["using_default_passphrase"] is False
    body = {"secret_name": f"s-{secrets.token_hex(4)}", "provider": "openai", "secret_value": {"api_key": "k"}}
    alice.must("POST", "/api/3.0/mlflow/gateway/secrets/create", body)
    assert {version for _, version in _rows(stack)} == {2}


_WRAP = """
import os, psycopg2
from mlflow.utils.crypto import DEFAULT_KEK_PASSPHRASE, KEKManager, rotate_secret_encryption
public, own = KEKManager(DEFAULT_KEK_PASSPHRASE, 1), KEKManager()
url = os.environ["MLFLOW_BACKEND_STORE_URI"].replace("+psycopg2", "")
with psycopg2.connect(url) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT secret_id, encrypted_value, wrapped_dek FROM secrets")
    for secret, value, wrapped in cursor.fetchall():
        wrapped = rotate_secret_encryption(bytes(value), bytes(wrapped), own, public).wrapped_dek
        cursor.execute("UPDATE secrets SET wrapped_dek = %s, kek_version = 1 WHERE secret_id = %s", (wrapped, secret))
"""


def _rows(stack: Stack) -> list[tuple[str, int]]:
    query = "SELECT secret_id, kek_version FROM secrets"
    script = f'PGPASSWORD=$POSTGRES_PASSWORD exec psql -X -A -t -h 127.0.0.1 -U postgres -d mlflow -c "{query}"'
    rows = run_in(stack.container("postgres"), "bash", "-c", script).split()
    return [(row.split("|")[0], int(row.split("|")[1])) for row in rows]


@pytest.mark.restarts
def test_secrets_of_before_come_under_it_as_mlflow_starts(stack: Stack, client: Client) -> None:
    alice = person(client, "alice")
    body = {"secret_name": f"s-{secrets.token_hex(4)}", "provider": "openai", "secret_value": {"api_key": "k"}}
    alice.must("POST", "/api/3.0/mlflow/gateway/secrets/create", body)
    mlflow = stack.container("mlflow")
    run_in(mlflow, "/opt/mlflow/bin/python", "-c", _WRAP)
    assert {version for _, version in _rows(stack)} == {1}
    restarted = datetime.now(UTC).isoformat()
    docker("restart", mlflow)
    _serves(client)
    assert {version for _, version in _rows(stack)} == {2}
    assert "secrets of the AI gateway" in stack.logs("mlflow", "--since", restarted)


@pytest.mark.restarts
def test_what_cannot_be_looked_up_is_told_as_such(stack: Stack, client: Client) -> None:
    bob = person(client, "bob")
    experiment = bob.experiment()
    run = bob.run(experiment)
    asked = (
        ("GET", f"{V2}/runs/get?run_id={run}", None),
        ("POST", f"{V2}/runs/search", {"experiment_ids": [experiment]}),
        ("POST", f"{V2}/runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1}),
        ("GET", f"{V2}/users/current", None),
        ("PUT", f"{ARTIFACTS}/{experiment}/{run}/artifacts/a.bin", None),
    )
    docker("stop", stack.container("postgres"))
    try:
        answers = [bob.ask(method, path, body) for method, path, body in asked]
        assert {answer.status_code for answer in answers} == {503}, [answer.text[:200] for answer in answers]
        assert all("Retry-After" in answer.headers for answer in answers)
        assert json.loads(answers[0].text)["error_code"] == "TEMPORARILY_UNAVAILABLE"
    finally:
        docker("start", stack.container("postgres"))
    eventually(lambda: bob.ask("GET", asked[0][1]).status_code, lambda status: status == 200, "it is found again")
    # Keycloak learns as late that its connections were cut.
    renew_connections(client)


@pytest.mark.restarts
def test_a_database_that_says_nothing_more_is_told_as_such(stack: Stack, client: Client) -> None:
    """Its machine takes what it is sent, and nobody but the server itself ends the wait."""
    bob = person(client, "bob")
    run = bob.run(bob.experiment())
    asked = (("GET", f"{V2}/runs/get?run_id={run}", None), ("POST", f"{V2}/runs/search", {"experiment_ids": ["0"]}))
    docker("pause", stack.container("postgres"))
    try:
        answers = [bob.ask(method, path, body) for method, path, body in asked]
        assert {answer.status_code for answer in answers} == {503}, [answer.text[:200] for answer in answers]
    finally:
        docker("unpause", stack.container("postgres"))
    eventually(lambda: bob.ask("GET", asked[0][1]).status_code, lambda status: status == 200, "it is found again")
    renew_connections(client)


@pytest.mark.restarts
@pytest.mark.parametrize("how", [("stop", "start"), ("pause", "unpause")])
def test_without_redis_everybody_is_answered_and_a_taken_grant_is_gone(
    stack: Stack, client: Client, how: tuple[str, str]
) -> None:
    alice, bob = person(client, "alice"), person(client, "bob")
    experiment = alice.experiment()
    grant = f"{V2}/permissions/users/bob/experiments/{experiment}"
    alice.must("POST", grant, {"permission": "READ"})
    shown = f"{V2}/experiments/get?experiment_id={experiment}"

    def ten() -> float:
        """Seconds for so many answers."""
        began = time.monotonic()
        assert [bob.ask("GET", shown).status_code for _ in range(10)] == [200] * 10
        return time.monotonic() - began

    with_redis = ten()
    docker(how[0], stack.container("redis"))
    try:
        assert ten() < 15 + 4 * with_redis
        assert alice.ask("DELETE", grant).status_code == 200
        assert bob.ask("GET", shown).status_code == 403
    finally:
        docker(how[1], stack.container("redis"))
    # What Redis kept of before is not believed, now that it is asked again.
    for _ in range(8):
        assert bob.ask("GET", shown).status_code == 403
        time.sleep(1)


def _serves(client: Client) -> None:
    def ready() -> int:
        try:
            return client.mlflow("/health/ready").status_code
        except requests.ConnectionError:
            time.sleep(1)
            return 0

    eventually(ready, lambda status: status == 200, "MLflow serves again", 180)
