"""What a plain user learns and changes beyond their grants by values that a request carries: nothing.

Each test asks for the kind of a hole: for what first showed it, and for every other way to the same end; and that
honest use of the same calls is still answered. docs/upstream/ has the cause of each.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.asking import AJAX2, AJAX3, V2, V3, Person, new_trace


@dataclass(frozen=True)
class Hidden:
    """What alice has and bob may not see. word: stands in all of its texts."""

    word: str
    experiment: str
    run: str
    trace: str
    attachment: str


@pytest.fixture(scope="module")
def hidden(alice: Person) -> Hidden:
    word = f"secret{secrets.token_hex(6)}"
    experiment = alice.experiment(tags=[{"key": "k", "value": word}])
    run = alice.run(experiment, word)
    alice.must("POST", f"{V2}/registered-models/create", {"name": word})
    source = f"mlflow-artifacts:/{experiment}/{run}/artifacts"
    version = {"name": word, "source": source, "run_id": run, "description": word}
    alice.must("POST", f"{V2}/model-versions/create", version)
    dataset = {"name": word, "digest": "d", "source_type": "s", "source": word}
    tags = [{"key": "mlflow.data.context", "value": word}]
    alice.must("POST", f"{V2}/runs/log-inputs", {"run_id": run, "datasets": [{"tags": tags, "dataset": dataset}]})
    trace, attachment = new_trace(), "00000000-0000-4000-8000-000000000001"
    assert alice.trace(experiment, trace).status_code == 200
    spans = json.dumps({"spans": [{"name": word}], "request": word, "response": word})
    alice.put(f"{experiment}/traces/{trace}/artifacts/traces.json", spans.encode())
    alice.put(f"{experiment}/traces/{trace}/artifacts/attachments/{attachment}", word.encode())
    return Hidden(word, experiment, run, trace, attachment)


RUN = "info{runId runName artifactUri} data{params{value} tags{value}} inputs{datasetInputs{dataset{name}}}"
DEEP = f"{RUN} experiment{{experimentId name tags{{value}}}} modelVersions{{name description}}"


def _leading_queries(hidden: Hidden, own: str, own_run: str, own_model: str) -> Iterator[str]:
    """Queries that name something of bob's beside something hidden, or hide the one in the other."""
    ids = f'["{hidden.experiment}","{own}"]'
    for order in (ids, f'["{own}","{hidden.experiment}"]', f'["{own}","0{hidden.experiment}"]'):
        yield f"{{mlflowSearchRuns(input:{{experimentIds:{order}}}){{runs{{{DEEP}}}}}}}"
        yield f"{{mlflowSearchDatasets(input:{{experimentIds:{order}}}){{datasetSummaries{{name context}}}}}}"
    yield f'{{mlflowGetRun(input:{{runId:"{hidden.run}"}}){{run{{{DEEP}}}}}}}'
    yield f'{{mlflowGetRun(input:{{runUuid:"{hidden.run}"}}){{run{{{DEEP}}}}}}}'
    yield f'{{mlflowGetExperiment(input:{{experimentId:"{hidden.experiment}"}}){{experiment{{name tags{{value}}}}}}}}'
    yield f'{{mlflowListArtifacts(input:{{runId:"{hidden.run}"}}){{rootUri files{{path}}}}}}'
    runs = f'["{own_run}","{hidden.run}"]'
    yield f'{{mlflowGetMetricHistoryBulkInterval(input:{{runIds:{runs},metricKey:"m"}}){{metrics{{runId value}}}}}}'
    filters = (
        f"name != 'name=\\\"{own_model}\\\"'",
        f"name LIKE '%' and name != \\\"name='{own_model}'\\\"",
        f"name != \\\"run_id='{own_run}'\\\"",
        f"run_id = '{hidden.run}'",
        f"name = '{hidden.word}'",
    )
    for each in filters:
        yield f'{{mlflowSearchModelVersions(input:{{filter:"{each}"}}){{modelVersions{{name description}}}}}}'


def test_graphql_shows_nothing_that_its_caller_may_not_read(alice: Person, bob: Person, hidden: Hidden) -> None:
    own, model = bob.experiment(), f"bobs{secrets.token_hex(6)}"
    own_run = bob.run(own, "bobs-run")
    bob.must("POST", f"{V2}/registered-models/create", {"name": model})
    secret = (hidden.word, hidden.run, f"/{hidden.experiment}/")
    shown_to_alice = 0
    for query in _leading_queries(hidden, own, own_run, model):
        answer = json.dumps(bob.graphql(query))
        assert not [each for each in secret if each in answer], f"{query}\nanswers\n{answer}"
        shown_to_alice += hidden.word in json.dumps(alice.graphql(query))
    assert shown_to_alice >= 8, "these queries show nothing to anybody"
    both = f"query q($ids:[String]){{mlflowSearchRuns(input:{{experimentIds:$ids}}){{runs{{{DEEP}}}}}}}"
    mine = bob.graphql(both, {"ids": [hidden.experiment, own]})["data"]["mlflowSearchRuns"]["runs"]
    assert [run["info"]["runName"] for run in mine] == ["bobs-run"]
    assert mine[0]["experiment"]["experimentId"] == own
    one = bob.graphql(f'{{mlflowGetRun(input:{{runId:"{own_run}"}}){{run{{{DEEP}}}}}}}')["data"]["mlflowGetRun"]["run"]
    assert one["data"]["params"] == [{"value": "bobs-run"}]


def _locations(hidden: Hidden) -> list[str]:
    path = f"{hidden.experiment}/traces/{hidden.trace}/artifacts"
    return [
        f"mlflow-artifacts:/{path}",
        f"mlflow-artifacts:///{path}",
        f"file:///mlflow/artifacts/{path}",
        f"/mlflow/artifacts/{path}",
        f"http://localhost:5000/api/2.0/mlflow-artifacts/artifacts/{path}",
        f"mlflow-artifacts:/nowhere/../{path}",
    ]


def _trace_reads(person: Person, trace: str, attachment: str) -> str:
    """Everything that can be read of a trace, by every way."""
    asked = (
        *(("GET", f"{ajax}/get-trace-artifact?request_id={trace}") for ajax in (AJAX2, AJAX3)),
        *(("GET", f"{ajax}/get-trace-artifact?request_id={trace}&path={attachment}") for ajax in (AJAX2, AJAX3)),
        ("GET", f"{V3}/traces/get?trace_id={trace}&allow_partial=true"),
        ("GET", f"{V3}/traces/batchGet?trace_ids={trace}"),
    )
    return " ".join(person.ask(method, path).text for method, path in asked)


TAG, SPANS, ARCHIVE = "mlflow.artifactLocation", "mlflow.trace.spansLocation", "mlflow.trace.archiveLocation"


def test_a_trace_shows_only_what_lies_in_its_own_place(bob: Person, hidden: Hidden) -> None:
    own = bob.experiment()
    for location in _locations(hidden):
        trace = new_trace()
        assert bob.trace(own, trace).status_code == 200
        bob.ask("PATCH", f"{V3}/traces/{trace}/tags", {"key": TAG, "value": location})
        bob.ask("PATCH", f"{V2}/traces/{trace}/tags", {"key": TAG, "value": location})
        for moved in ({TAG: location}, {SPANS: "ARCHIVE_REPO", ARCHIVE: location}):
            tags = [{"key": key, "value": value} for key, value in moved.items()]
            ended = {"request_id": trace, "timestamp_ms": 2, "status": "OK", "request_metadata": [], "tags": tags}
            bob.ask("PATCH", f"{V2}/traces/{trace}", ended)
            assert hidden.word not in _trace_reads(bob, trace, hidden.attachment), (location, moved)
            born = new_trace()
            bob.trace(own, born, tags=moved)
            assert hidden.word not in _trace_reads(bob, born, hidden.attachment), (location, moved)


def test_the_places_of_a_trace_are_not_for_its_writers(bob: Person) -> None:
    own = bob.experiment()
    for key, value in ((TAG, "mlflow-artifacts:/0"), (SPANS, "ARCHIVE_REPO"), (ARCHIVE, "/tmp")):
        trace = new_trace()
        assert bob.trace(own, trace).status_code == 200
        tags = [{"key": key, "value": value}]
        ended = {"request_id": trace, "timestamp_ms": 2, "status": "OK", "request_metadata": [], "tags": tags}
        asked = {
            "set, v2": bob.ask("PATCH", f"{V2}/traces/{trace}/tags", tags[0]),
            "set, v3": bob.ask("PATCH", f"{V3}/traces/{trace}/tags", tags[0]),
            "removed, v2": bob.ask("DELETE", f"{V2}/traces/{trace}/tags", {"key": key}),
            "removed, v3": bob.ask("DELETE", f"{V3}/traces/{trace}/tags", {"key": key}),
            "ended": bob.ask("PATCH", f"{V2}/traces/{trace}", ended),
            "started": bob.trace(own, tags={key: value}),
            "started again": bob.trace(own, trace, tags={key: value}),
        }
        answers = {how: answer.status_code for how, answer in asked.items()}
        assert set(answers.values()) == {400}, (key, answers)


@pytest.mark.parametrize("trace", ["..", "a/../../x", "tr%2e%2e", "x" * 51, "tr-a b", "tr\u0000", "trace:/a/b"])
def test_an_id_that_could_lead_elsewhere_is_no_trace(bob: Person, trace: str) -> None:
    answer = bob.trace(bob.experiment(), trace)
    # PostgreSQL cannot look up an id with a NUL, and the plugin refuses what it cannot look up.
    assert answer.status_code in ({400, 403} if "\0" in trace else {400}), answer.text


def test_the_data_and_attachments_of_an_own_trace_are_read(bob: Person) -> None:
    own, trace, attachment = bob.experiment(), new_trace(), "00000000-0000-4000-8000-000000000002"
    assert bob.trace(own, trace).status_code == 200
    bob.put(f"{own}/traces/{trace}/artifacts/traces.json", b'{"spans": []}')
    bob.put(f"{own}/traces/{trace}/artifacts/attachments/{attachment}", b"an attachment")
    read = bob.ask("GET", f"{AJAX3}/get-trace-artifact?request_id={trace}")
    assert (read.status_code, read.content) == (200, b'{"spans": []}')
    read = bob.ask("GET", f"{AJAX3}/get-trace-artifact?request_id={trace}&path={attachment}")
    assert (read.status_code, read.content) == (200, b"an attachment")
    assert bob.ask("PATCH", f"{V3}/traces/{trace}/tags", {"key": "colour", "value": "red"}).status_code == 200


PLACES = (
    *("file:///mlflow/artifacts/{0}", "/mlflow/artifacts/{0}", "relative/{0}", "/tmp/x", "file:///dev/shm/x", "%2ftmp"),
    *("mlflow-artifacts:/{0}", "mlflow-artifacts:/../../etc", "MLFLOW-ARTIFACTS:/{0}", "models:/x/1", "data:x"),
    *("s3://nowhere/x", "gs://nowhere", "dbfs:/x", "wasbs://c@a.blob.core.windows.net/x", "unknown://x"),
)


@pytest.mark.parametrize("place", PLACES)
def test_a_plain_user_does_not_choose_where_the_server_writes(bob: Person, hidden: Hidden, place: str) -> None:
    where = place.format(hidden.experiment)
    for prefix in (V2, AJAX2):
        for spelling in ("artifact_location", "artifactLocation"):
            body = {"name": f"x{secrets.token_hex(6)}", spelling: where}
            answer = bob.ask("POST", f"{prefix}/experiments/create", body)
            assert answer.status_code == 403, (prefix, spelling, answer.text)
            assert answer.json()["error_code"] == "PERMISSION_DENIED"
            assert "artifact_location" in answer.json()["message"]


def test_an_experiment_elsewhere_is_not_written_or_read_by_plain_users(alice: Person, bob: Person) -> None:
    """Made by an administrator, or before locations were refused."""
    elsewhere = alice.experiment(artifact_location=f"/tmp/elsewhere-{secrets.token_hex(6)}")
    grant = f"{V2}/permissions/users/bob/experiments/{elsewhere}"
    alice.must("POST", grant, {"permission": "MANAGE"})
    run = bob.run(elsewhere)
    upload = f"{AJAX2}/upload-artifact?run_uuid={run}&path=a.txt"
    asked = [
        bob.ask("POST", upload, data=b"x"),
        bob.ask("GET", f"{V2}/artifacts/list?run_id={run}"),
        bob.ask("GET", f"/get-artifact?run_uuid={run}&path=a.txt"),
    ]
    assert {answer.status_code for answer in asked} == {403}, [answer.text for answer in asked]
    assert all("MLFLOW_SSO_ARTIFACT_LOCATIONS" in answer.text for answer in asked)
    assert alice.ask("POST", upload, data=b"x").status_code == 200


def test_artifacts_in_the_place_of_the_server_are_written_and_read(bob: Person) -> None:
    run = bob.run(bob.experiment())
    assert bob.ask("POST", f"{AJAX2}/upload-artifact?run_uuid={run}&path=a.txt", data=b"mine").status_code == 200
    assert bob.must("GET", f"{V2}/artifacts/list?run_id={run}")["files"][0]["path"] == "a.txt"
    assert bob.ask("GET", f"/get-artifact?run_uuid={run}&path=a.txt").content == b"mine"


def _model(person: Person, experiment: str) -> str:
    made = person.must("POST", f"{V2}/logged-models", {"experiment_id": experiment, "name": "a-model"})
    return str(made["model"]["info"]["model_id"])


def _naming(person: Person, run: str, model: str) -> dict[str, int]:
    """What is answered to each request that names a logged model beside a run."""
    metric = {"key": f"m{secrets.token_hex(4)}", "value": 1, "timestamp": 1, "step": 1, "model_id": model}
    bodies: dict[str, dict[str, object]] = {
        "log-inputs": {"models": [{"model_id": model}]},
        "outputs": {"models": [{"model_id": model, "step": 1}]},
        "log-metric": metric,
        "log-batch": {"metrics": [metric]},
    }
    asked = {path: person.ask("POST", f"{V2}/runs/{path}", {"run_id": run, **body}) for path, body in bodies.items()}
    return {path: answer.status_code for path, answer in asked.items()}


def test_a_run_names_only_models_that_its_writer_may_use(alice: Person, bob: Person, hidden: Hidden) -> None:
    own = bob.experiment()
    run, mine = bob.run(own), _model(bob, own)
    for theirs in (_model(alice, hidden.experiment), f"m-{'0' * 32}"):
        assert set(_naming(bob, run, theirs).values()) == {403}
        both = [{"model_id": mine}, {"model_id": theirs}]
        assert bob.ask("POST", f"{V2}/runs/log-inputs", {"run_id": run, "models": both}).status_code == 403
    shown = bob.must("GET", f"{V2}/runs/get?run_id={run}")["run"]
    assert not shown.get("inputs", {}).get("model_inputs")
    assert not shown.get("outputs", {}).get("model_outputs")
    assert set(_naming(bob, run, mine).values()) == {200}
    lent = alice.experiment()
    alice.must("POST", f"{V2}/permissions/users/bob/experiments/{lent}", {"permission": "READ"})
    answers = _naming(bob, run, _model(alice, lent))
    assert answers.pop("log-inputs") == 200, "a run may use what its writer may read"
    assert set(answers.values()) == {403}


def test_a_hidden_scorer_is_not_run(alice: Person, bob: Person) -> None:
    """Also by who may read its experiment: a grant of its own takes the place of that."""
    lent, word = alice.experiment(), f"s{secrets.token_hex(6)}"
    alice.must("POST", f"{V2}/permissions/users/bob/experiments/{lent}", {"permission": "EDIT"})
    serial = json.dumps({
        "name": word, "description": None, "aggregations": [], "is_session_level_scorer": False,
        "mlflow_version": "3.17.2", "serialization_version": 1, "builtin_scorer_class": "Safety",
        "builtin_scorer_pydantic_data": {"name": word, "required_columns": ["inputs", "outputs"], "model": "openai:/x"},
    })  # fmt: skip
    alice.must("POST", f"{V3}/scorers/register", {"experiment_id": lent, "name": word, "serialized_scorer": serial})
    trace = new_trace()
    assert alice.trace(lent, trace).status_code == 200
    named = {"scorer_name": word, "scorer_version": 1, "serialized_scorer": serial}
    invoked = {"experiment_id": lent, "trace_ids": [trace], **named}
    evaluated = {"experiment_id": lent, "trace_ids": [trace], "serialized_scorers": [serial], "scorer_versions": [1]}
    paths = {f"{AJAX3}/scorer/invoke": invoked, f"{AJAX3}/genai/evaluate/invoke": evaluated}
    grant = f"{V2}/permissions/users/bob/scorers/{lent}/{word}"
    assert alice.ask("POST", grant, {"permission": "NO_PERMISSIONS"}).status_code == 201
    for path, body in paths.items():
        answer = bob.ask("POST", path, body)
        assert (answer.status_code, "scorer" in answer.text) == (403, True), answer.text
    alice.must("PATCH", grant, {"permission": "READ"})
    for path, body in paths.items():
        answer = bob.ask("POST", path, body)
        assert answer.status_code != 403, answer.text
