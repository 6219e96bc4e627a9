"""What a plain user brings in by OpenTelemetry, settings of the gateway and assessments reaches nothing of others.

Like test_holes.py: the kind of each hole, and that honest use is still answered.
"""

from __future__ import annotations

import gzip
import json
import secrets
import time
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from tests.e2e.asking import V2, V3, Person, new_trace


def _spans(trace: str, **attributes: str) -> dict[str, Any]:
    """One span without a parent, in OTLP's JSON."""
    now = time.time_ns()
    given = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    times = {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1)}
    span = {"traceId": trace.removeprefix("tr-"), "spanId": secrets.token_hex(8), "name": "s", "kind": 1, **times}
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [{**span, "attributes": given}]}]}]}


def _send(person: Person, experiment: str, body: bytes, **headers: str) -> requests.Response:
    given = {"x-mlflow-experiment-id": experiment, "Content-Type": "application/json", **headers}
    return person.headed(given, "/v1/traces", body)


def _log(person: Person, experiment: str, trace: str, run: str = "", tags: Mapping[str, str] | None = None) -> int:
    headers = {"x-mlflow-run-id": run} if run else {}
    attributes = {f"mlflow.traceTag.{key}": value for key, value in (tags or {}).items()}
    return _send(person, experiment, json.dumps(_spans(trace, **attributes)).encode(), **headers).status_code


def _tags(person: Person, trace: str) -> dict[str, str]:
    info = person.must("GET", f"{V3}/traces/{trace}")["trace"]["trace_info"]
    return dict(info.get("tags", {}))


def test_spans_do_not_get_into_a_trace_of_another_experiment(alice: Person, bob: Person) -> None:
    theirs, own = alice.experiment(), bob.experiment()
    started, sent, mine = new_trace(), new_trace(), new_trace()
    assert alice.trace(theirs, started).status_code == 200
    assert _log(alice, theirs, sent) == 200
    before = {trace: _tags(alice, trace) for trace in (started, sent)}
    for trace, tags in before.items():
        assert _log(bob, own, trace) in {403, 409}
        both = _spans(mine)
        both["resourceSpans"] += _spans(trace)["resourceSpans"]
        assert _send(bob, own, json.dumps(both).encode()).status_code in {403, 409}
        assert _tags(alice, trace) == tags
    assert bob.ask("GET", f"{V3}/traces/{mine}").status_code in {403, 404}, "a refused body wrote a part of itself"
    assert _log(bob, own, mine) == 200
    assert _log(bob, own, mine) == 200, "spans of one trace come in more than one body"


@pytest.mark.parametrize(
    "key", ["mlflow.artifactLocation", "mlflow.trace.spansLocation", "mlflow.trace.archiveLocation"]
)
def test_spans_do_not_carry_the_places_of_their_trace(bob: Person, key: str) -> None:
    own, trace = bob.experiment(), new_trace()
    assert _log(bob, own, trace, tags={key: "ARCHIVE_REPO"}) == 400
    assert _log(bob, own, trace, tags={"colour": "red"}) == 200
    assert _tags(bob, trace)["colour"] == "red"


def test_spans_are_linked_to_runs_that_their_sender_may_change(alice: Person, bob: Person) -> None:
    theirs, own = alice.experiment(), bob.experiment()
    for run in (alice.run(theirs), "nothing", "0" * 32):
        assert _log(bob, own, new_trace(), run) == 403
    assert _log(bob, own, new_trace(), bob.run(own)) == 200


def test_traces_are_linked_by_those_who_may_read_them(alice: Person, bob: Person) -> None:
    theirs, own, hidden, mine = alice.experiment(), bob.experiment(), new_trace(), new_trace()
    assert alice.trace(theirs, hidden).status_code == 200
    assert bob.trace(own, mine).status_code == 200
    run = bob.run(own)
    for traces in ([hidden], [mine, hidden], [hidden, mine], [new_trace()]):
        for body in ({"trace_ids": traces, "run_id": run}, {"traceIds": traces, "runId": run}):
            assert bob.ask("POST", f"{V2}/traces/link-to-run", body).status_code == 403
    assert bob.ask("POST", f"{V2}/traces/link-to-run", {"trace_ids": [mine], "run_id": run}).status_code == 200


def test_models_name_runs_that_their_maker_may_change(alice: Person, bob: Person) -> None:
    theirs, own = alice.run(alice.experiment()), bob.experiment()
    body = {"experiment_id": own, "name": "m", "source_run_id": theirs}
    assert bob.ask("POST", f"{V2}/logged-models", body).status_code == 403
    assert bob.ask("POST", f"{V2}/logged-models", {**body, "source_run_id": bob.run(own)}).status_code == 200


def _deflate(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


def test_a_body_that_grows_too_much_is_refused_and_others_are_read(bob: Person) -> None:
    own, zeros = bob.experiment(), bytes(100 * 1024 * 1024)
    member = gzip.compress(zeros[: 30 * 1024 * 1024])
    bombs = {"gzip": [gzip.compress(zeros), member * 3], "deflate": [zlib.compress(zeros), _deflate(zeros, -15)]}
    for encoding, bodies in bombs.items():
        for body in bodies:
            assert _send(bob, own, body, **{"Content-Encoding": encoding}).status_code == 413, encoding
    spans = json.dumps(_spans(new_trace())).encode()
    half = len(spans) // 2
    good = {
        "gzip": [gzip.compress(spans), gzip.compress(spans[:half]) + gzip.compress(spans[half:])],
        "deflate": [zlib.compress(spans), _deflate(spans, -15)],
        "GZIP": [gzip.compress(spans)],
    }
    for encoding, bodies in good.items():
        for body in bodies:
            assert _send(bob, own, body, **{"Content-Encoding": encoding}).status_code == 200, encoding
    for encoding, body in (("gzip", gzip.compress(spans)[:-9]), ("deflate", b"no"), ("br", spans), ("gzip", b"")):
        assert _send(bob, own, body, **{"Content-Encoding": encoding}).status_code == 400, encoding


GOOGLE = {"type": "service_account", "client_email": "a@b.c", "private_key": "k", "token_uri": "http://10.0.0.1/t"}
ELSEWHERE = ["us-east-1.localhost:5000/#", "x.example/", "a@b", "10.0.0.1", "..", "a?b", "a#b", "a\\b", "ü", "a b", "A"]
STEERED: list[tuple[str, str, Any]] = [
    *(("bedrock", "aws_region_name", value) for value in ELSEWHERE),
    *(("vertex_ai", "vertex_location", value) for value in ELSEWHERE),
    *(("vertex_ai", "vertex_project", value) for value in ("a/../b", "x.example/", "a@b", "a b")),
    *(("azure", key, "10.0.0.1/") for key in ("resource_name", "account", "azure_region", "deployment_name")),
    *(("other", key, "https://10.0.0.1") for key in ("endpoint_url", "aws_sts_endpoint", "azure_endpoint", "host")),
    ("bedrock", "aws_bedrock_runtime_endpoint", "http://169.254.169.254"),
    ("other", "organization", "//10.0.0.1"),
]


@pytest.mark.parametrize(("provider", "key", "value"), STEERED)
def test_settings_of_the_gateway_name_no_hosts(bob: Person, provider: str, key: str, value: str) -> None:
    made = {"secret_name": f"s{secrets.token_hex(6)}", "provider": provider, "secret_value": {"api_key": "x"}}
    refused = bob.ask("POST", f"{V3}/gateway/secrets/create", {**made, "auth_config": {key: value}})
    assert (refused.status_code, key in refused.text) == (400, True), refused.text
    secret = bob.must("POST", f"{V3}/gateway/secrets/create", made)["secret"]["secret_id"]
    body = {"secret_id": secret, "auth_config": {key: value}}
    assert bob.ask("POST", f"{V3}/gateway/secrets/update", body).status_code == 400


@pytest.mark.parametrize(
    "credentials",
    [
        *(json.dumps(GOOGLE), json.dumps({**GOOGLE, "token_uri": "https://oauth2.googleapis.com.evil.example/t"})),
        json.dumps({**GOOGLE, "token_uri": "https://oauth2.googleapis.com@evil.example/t"}),
        json.dumps({"type": "external_account", "credential_source": {"file": "/etc/passwd"}}),
        *("/var/run/secrets/kubernetes.io/serviceaccount/token", "[]", "null"),
    ],
)
def test_credentials_of_the_gateway_name_no_hosts_and_no_files(bob: Person, credentials: str) -> None:
    made = {"secret_name": f"s{secrets.token_hex(6)}", "provider": "vertex_ai"}
    body = {**made, "secret_value": {"vertex_credentials": credentials}}
    assert bob.ask("POST", f"{V3}/gateway/secrets/create", body).status_code == 400


HONEST: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("bedrock", {"auth_mode": "api_key", "aws_region_name": "eu-central-1"}, {"api_key": "a/b+c="}),
    ("bedrock", {"auth_mode": "iam_role", "aws_role_name": "arn:aws:iam::123456789012:role/path/r"}, {"api_key": "x"}),
    (
        "vertex_ai",
        {"vertex_location": "us-central1", "vertex_project": "example.com:my-project", "vertex_anthropic_betas": "a,b"},
        {"vertex_credentials": json.dumps({**GOOGLE, "token_uri": "https://oauth2.googleapis.com/token"})},
    ),
    ("azure", {"api_version": "2024-10-21", "deployment_name": "gpt-4.1_Mini"}, {"api_key": "x"}),
    ("openai", {"organization": "org-AbC123"}, {"api_key": "sk-x"}),
]


@pytest.mark.parametrize(("provider", "settings", "values"), HONEST)
def test_settings_that_providers_need_are_taken(
    bob: Person, provider: str, settings: dict[str, str], values: dict[str, str]
) -> None:
    made = {"secret_name": f"s{secrets.token_hex(6)}", "provider": provider}
    bob.must("POST", f"{V3}/gateway/secrets/create", {**made, "secret_value": values, "auth_config": settings})
