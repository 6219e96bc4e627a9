"""Requests that an attacker found to cost everybody, each answered at once and at its sender's cost."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.asking import V2, Person
from tests.e2e.harness import TIMEOUT, Client, Stack, inspect

TRACES = "/api/3.0/mlflow/traces/search"
LINKS = "/api/2.0/mlflow/traces/link-to-run"


@pytest.fixture(scope="module")
def experiment(bob: Person) -> str:
    return bob.experiment()


def _searches(experiment: str) -> dict[str, tuple[str, dict[str, object]]]:
    """Each search with what says where it looks."""
    there: dict[str, object] = {"experiment_ids": [experiment]}
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    return {
        "runs": (f"{V2}/runs/search", there),
        "logged models": (f"{V2}/logged-models/search", there),
        "traces": (TRACES, {"locations": [place]}),
        "experiments": (f"{V2}/experiments/search", {"max_results": 5}),
    }


@pytest.mark.parametrize("what", ["runs", "logged models", "traces", "experiments"])
def test_a_search_has_a_bound_of_conditions_and_the_database_stays(
    what: str, stack: Stack, bob: Person, experiment: str
) -> None:
    """120 of them took all memory of PostgreSQL's container, which ended every connection, Keycloak's too."""
    path, body = _searches(experiment)[what]
    before = inspect(stack.container("postgres"))["State"]
    name = "tags.k{}" if what != "traces" else "tag.k{}"
    many, most = (" AND ".join(f"{name.format(n)} = 'v'" for n in range(count)) for count in (400, 40))
    # MLflow's parser takes a quote behind a backslash for a part of a text.
    hidden = rf"{name.format('q')} = 'x\'' AND {many}"
    for text in (many, hidden):
        refused = bob.ask("POST", path, body | {"filter": text})
        assert (refused.status_code, "40 conditions at most" in refused.text) == (400, True), refused.text
    assert bob.ask("POST", path, body | {"filter": most}).status_code == 200
    assert inspect(stack.container("postgres"))["State"]["StartedAt"] == before["StartedAt"]


@pytest.mark.parametrize("what", ["runs", "traces"])
def test_a_search_is_sorted_by_few_keys(what: str, bob: Person, experiment: str) -> None:
    path, body = _searches(experiment)[what]
    keys = [f"{'metrics' if what == 'runs' else 'tag'}.k{n} ASC" for n in range(21)]
    refused = bob.ask("POST", path, body | {"order_by": keys})
    assert (refused.status_code, "20 keys at most" in refused.text) == (400, True), refused.text
    assert bob.ask("POST", path, body | {"order_by": keys[:3]}).status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "application/json; a=protobuf", "text/plain"])
@pytest.mark.parametrize(
    "path", [TRACES, "/nothing/mlflow/upload-artifact", "/v1/traces", f"{V2}/users/current/tokens"]
)
def test_json_is_counted_and_read_whatever_it_is_said_to_be(
    path: str, content_type: str, bob: Person, experiment: str
) -> None:
    """31 MiB of it took a gigabyte of memory, for as many users as there were."""
    headers = {"Content-Type": content_type, "x-mlflow-experiment-id": experiment}
    assert bob.headed(headers, path, b'{"a": [' + b"{}," * 260_000 + b"{}]}").status_code == 413
    deep = bob.headed(headers, path, b'{"a":' * 20_000)
    assert 400 <= deep.status_code < 500, deep.text[:200]


@pytest.mark.parametrize("times", [1, 2])
def test_a_call_names_so_many_traces_at_most_as_an_object_and_as_its_text(times: int, bob: Person) -> None:
    body: object = {"trace_ids": [f"tr-{number:032x}" for number in range(20_000)], "run_id": "r"}
    for _ in range(times):
        body = json.dumps(body)
    start = time.monotonic()
    answer = bob.headed({"Content-Type": "application/json"}, LINKS, str(body).encode())
    assert (answer.status_code, "1000 traces at most" in answer.text) == (400, True), answer.text[:200]
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("token", ["Bearer made-up", "Basic eDp5", "Bearer"])
def test_a_made_up_token_of_a_directory_has_no_body_read(token: str, client: Client) -> None:
    """Each was a user of its own with bodies in memory: 1456 of them ended the server."""
    where = urlsplit(client.outputs["mlflow_url"])
    assert where.hostname
    assert where.port
    with socket.create_connection((where.hostname, where.port), timeout=TIMEOUT) as line:
        head = f"POST /scim/v2/Users HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: {token}\r\n"
        line.sendall(f"{head}Content-Type: application/scim+json\r\nContent-Length: 1000000\r\n\r\n".encode())
        start = time.monotonic()
        line.sendall(b"x" * 1000)
        assert line.recv(4096).split(b" ")[1] in {b"401", b"429"}
        # Whoever reads the body waits a minute for its rest.
        assert time.monotonic() - start < 40


FROM_INSIDE = """
import sys, urllib.error, urllib.request
url, host = sys.argv[1:]
headers = {"Authorization": sys.stdin.read(), "Host": host, "Content-Type": "application/json"}
try:
    print(urllib.request.urlopen(urllib.request.Request(url, b'{"message": "x"}', headers)).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_nobody_is_taken_for_the_operator_by_an_address(stack: Stack, client: Client, bob: Person) -> None:
    """`kubectl port-forward`, and a proxy in the pod, come from the loopback address."""
    url = "http://127.0.0.1:5000/ajax-api/3.0/mlflow/assistant/message"
    words = ("/opt/mlflow/bin/python", "-c", FROM_INSIDE, url, urlsplit(client.outputs["mlflow_url"]).netloc)
    assert stack.inside("mlflow", *words, given=bob.authorization).strip() == "403"


def test_empty_members_are_refused_at_once(bob: Person, experiment: str) -> None:
    """32 MiB of them computed for minutes, also once their client had left."""
    encoded = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    body = gzip.compress(b"", mtime=0) * 1_500_000
    start = time.monotonic()
    answer = bob.headed({**encoded, "x-mlflow-experiment-id": experiment}, "/v1/traces", body)
    assert answer.status_code == 400, answer.text
    assert time.monotonic() - start < 50


def test_a_number_beyond_all_numbers_is_the_callers_fault(bob: Person) -> None:
    kind = {"Content-Type": "application/json"}
    answer = bob.headed(kind, f"{V2}/experiments/search", b'{"max_results": 1e999}')
    assert answer.status_code == 400, answer.text


def test_a_path_of_an_artifact_is_not_deeper_than_anybody_needs(bob: Person, experiment: str) -> None:
    """It was a 500 with ten thousand lines of log for each."""
    place = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{bob.run(experiment)}/artifacts"
    assert bob.ask("PUT", f"{place}/{'a/' * 90}b", data=b"x").status_code == 200
    assert bob.ask("PUT", f"{place}/{'a/' * 2000}b", data=b"x").status_code == 400


def test_many_headers_and_parameters_are_refused(client: Client) -> None:
    where = urlsplit(client.outputs["mlflow_url"])
    assert where.hostname
    assert where.port
    lines = "".join(f"x-{n}: 1\r\n" for n in range(500))
    with socket.create_connection((where.hostname, where.port), timeout=TIMEOUT) as line:
        line.sendall(f"GET /health HTTP/1.1\r\nHost: {where.netloc}\r\n{lines}\r\n".encode())
        assert line.recv(4096).split(b" ")[1] == b"431"
    assert client.mlflow("/login?" + "a&" * 2500).status_code == 400


@contextlib.contextmanager
def _tiny_chunks(client: Client) -> Iterator[None]:
    """Strangers who send bodies of as many chunks as bytes."""
    where = urlsplit(client.outputs["mlflow_url"])
    assert where.hostname
    assert where.port
    head = f"POST {V2}/runs/create HTTP/1.1\r\nHost: {where.netloc}\r\nTransfer-Encoding: chunked\r\n\r\n"
    lines = [socket.create_connection((where.hostname, where.port), timeout=TIMEOUT) for _ in range(4)]
    try:
        for line in lines:
            line.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                line.send(head.encode() + b"1\r\nx\r\n" * 66_000)
        yield
    finally:
        for line in lines:
            line.close()


def _slowest(bob: Person, experiment: str) -> float:
    """Seconds that the slowest of ten answers took."""
    taken = []
    for _ in range(10):
        start = time.monotonic()
        assert bob.ask("GET", f"{V2}/experiments/get?experiment_id={experiment}").status_code == 200
        taken.append(time.monotonic() - start)
    return max(taken)


def test_a_body_in_tiny_chunks_keeps_nobody_waiting(client: Client, bob: Person, experiment: str) -> None:
    """A stranger's few hundred KB once kept everybody waiting for seconds, each time."""
    found = []
    for _ in range(3):
        alone = _slowest(bob, experiment)
        with _tiny_chunks(client):
            beside = _slowest(bob, experiment)
        if beside < max(1, 4 * alone):
            return
        found.append((alone, beside))
    raise AssertionError(f"seconds alone and beside strangers: {found}")


def test_a_body_in_chunks_is_whole(bob: Person, experiment: str) -> None:
    """Also in tiny ones: who sends them waits, and is answered."""
    place = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{bob.run(experiment)}/artifacts/chunks.bin"
    data = bytes(range(256)) * 20
    assert bob.ask("PUT", place, data=(data[n : n + 1] for n in range(len(data)))).status_code == 200
    assert bob.ask("GET", place).content == data


@pytest.mark.parametrize("path", ["/api/3.0/mlflow/traces/batchGetInfos", f"{V2}/traces/link-to-run"])
def test_a_call_names_so_many_traces(path: str, bob: Person, experiment: str) -> None:
    """20,000 times one's own took 37 seconds of rights that were asked for one by one."""
    body = {"run_id": bob.run(experiment), "trace_ids": ["tr-" + "0" * 32] * 20_000}
    start = time.monotonic()
    refused = bob.ask("POST", path, body)
    assert time.monotonic() - start < 30
    assert (refused.status_code, "1000 traces" in refused.text) == (400, True), refused.text
    start = time.monotonic()
    plain = bob.headed({"Content-Type": "text/plain"}, path, json.dumps(body).encode())
    assert time.monotonic() - start < 30
    assert plain.status_code in {400, 415}, plain.text


def test_a_trace_holds_no_more_than_can_be_read(stack: Stack, bob: Person, experiment: str) -> None:
    """336 MB of spans in one trace ended the server as they were read, and again each time."""
    trace = os.urandom(16)
    statuses = []
    for number in range(4):
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for each in range(24):
            times = {"start_time_unix_nano": 10**18, "end_time_unix_nano": 10**18 + 1}
            span = scope.spans.add(trace_id=trace, span_id=bytes([number + 1, each + 1] * 4), name="long", **times)
            span.attributes.add(key="text").value.string_value = "x" * 1_000_000
        kind = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
        statuses.append(bob.headed(kind, "/v1/traces", request.SerializeToString()).status_code)
    assert statuses[0] == 200
    assert 400 in statuses
    shown = f"/api/3.0/mlflow/traces/get?trace_id=tr-{trace.hex()}&allow_partial=true"
    assert bob.ask("GET", shown).status_code in {200, 429}
    assert inspect(stack.container("mlflow"))["RestartCount"] == 0
