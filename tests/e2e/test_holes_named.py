"""What a plain user learns and changes beyond their grants by ids and names in the body of a request: nothing.

The plugin asks for what a route is about. Beside that a body can name a model, an assessment, an issue, an endpoint or
an experiment of somebody else's, and something reads it later. docs/upstream/values has the cause of each.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.asking import V2, V3, Person, new_trace
from tests.e2e.harness import eventually

NOW = "2026-11-28T00:00:00Z"
VERSIONS = "mlflow.modelVersions"


def _word(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(6)}"


def _lend(alice: Person, kind: str, thing: str, right: str) -> None:
    alice.must("POST", f"{V2}/permissions/users/bob/{kind}/{thing}", {"permission": right})


def _logged(person: Person, experiment: str) -> str:
    made = person.must("POST", f"{V2}/logged-models", {"experiment_id": experiment, "name": "a-model"})
    return str(made["model"]["info"]["model_id"])


def _register(person: Person, source: str, **more: str) -> str:
    """Makes a model and a version of it; its name."""
    name = _word("model")
    person.must("POST", f"{V2}/registered-models/create", {"name": name})
    person.must("POST", f"{V2}/model-versions/create", {"name": name, "source": source, **more})
    return name


def _versions(person: Person, model: str) -> list[str]:
    """The names of the versions that a logged model says are made of it."""
    info = person.must("GET", f"{V2}/logged-models/{model}")["model"]["info"]
    tags = {tag["key"]: tag["value"] for tag in info.get("tags", ())}
    return [each["name"] for each in json.loads(tags.get(VERSIONS, "[]"))]


def test_a_version_marks_only_a_logged_model_that_its_maker_may_change(alice: Person, bob: Person) -> None:
    own, experiment = _logged(bob, bob.experiment()), alice.experiment()
    model = _logged(alice, experiment)
    theirs = _register(alice, f"models:/{model}", model_id=model)
    assert _versions(alice, model) == [theirs]
    _lend(alice, "registered-models", theirs, "READ")
    for source in (f"models:/{theirs}/1", f"models:/{theirs}/latest"):
        _register(bob, source)
    _lend(alice, "experiments", experiment, "READ")
    _register(bob, f"models:/{model}", model_id=model)
    assert _versions(alice, model) == [theirs], "who may only read a model makes versions of it, and changes nothing"
    alice.must("PATCH", f"{V2}/permissions/users/bob/experiments/{experiment}", {"permission": "EDIT"})
    further = _register(bob, f"models:/{model}", model_id=model)
    assert _versions(alice, model) == [theirs, further]
    assert [_register(bob, f"models:/{own}", model_id=own)] == _versions(bob, own)
    for garbage in ("no JSON", "7", "{}", "[" * 4900):
        bob.must("PATCH", f"{V2}/logged-models/{own}/tags", {"tags": [{"key": VERSIONS, "value": garbage}]})
        _register(alice, f"models:/{own}", model_id=own)


def _assessed(person: Person, trace: str, name: str = "q", **more: Any) -> dict[str, Any]:
    """An assessment as a request has it."""
    source = {"source_type": "HUMAN", "source_id": person.name}
    given = {"assessment_name": name, "trace_id": trace, "source": source, "create_time": NOW, "last_update_time": NOW}
    return {**given, **({} if "issue" in more else {"feedback": {"value": True}}), **more}


def _assess(person: Person, trace: str, name: str = "q", **more: Any) -> str:
    """Makes an assessment; its id."""
    body = {"assessment": _assessed(person, trace, name, **more)}
    made = person.must("POST", f"{V3}/traces/{trace}/assessments", body)
    return str(made["assessment"]["assessment_id"])


def _assessments(person: Person, trace: str) -> dict[str, bool]:
    """The assessments of a trace, and whether each is valid."""
    info = person.must("GET", f"{V3}/traces/{trace}")["trace"]["trace_info"]
    return {each["assessment_id"]: each["valid"] for each in info.get("assessments", ())}


def _traced(person: Person, experiment: str) -> str:
    trace = new_trace()
    assert person.trace(experiment, trace).status_code == 200
    return trace


def test_a_trace_brings_no_assessment_that_is_tied_to_another_trace(alice: Person, bob: Person) -> None:
    """Deleting one that overrides another makes the other valid again, in whichever trace that is."""
    trace, own = _traced(alice, alice.experiment()), bob.experiment()
    first = _assess(alice, trace)
    second = _assess(alice, trace, overrides=first)
    for named in ({"overrides": first}, {"assessment_id": first}, {"assessmentId": first}, {"overrides": second}):
        born = new_trace()
        answer = bob.trace(own, born, assessments=[_assessed(bob, born, **named)])
        assert answer.status_code == 400, (named, answer.text)
        assert "another trace" in answer.text
    mine = _traced(bob, own)
    body = {"assessment": _assessed(bob, mine, assessment_id=first)}
    assert bob.ask("POST", f"{V3}/traces/{mine}/assessments", body).status_code == 400
    assert _assessments(alice, trace) == {first: False, second: True}
    alice.must("DELETE", f"{V3}/traces/{trace}/assessments/{second}")
    assert _assessments(alice, trace) == {first: True}


def test_a_trace_brings_assessments_of_its_own(bob: Person) -> None:
    own, trace, first = bob.experiment(), new_trace(), f"a-{secrets.token_hex(16)}"
    both = [_assessed(bob, trace, assessment_id=first), _assessed(bob, trace, overrides=first)]
    assert bob.trace(own, trace, assessments=both).status_code == 200
    assert len(_assessments(bob, trace)) == 2


def _issue(person: Person, experiment: str) -> str:
    body = {"experiment_id": experiment, "name": "an issue", "description": "d"}
    return str(person.must("POST", f"{V3}/issues", body)["issue"]["issue_id"])


def _traces_of_issues(person: Person, experiment: str) -> list[int]:
    body = {"experiment_id": experiment, "include_trace_count": True}
    return [each.get("trace_count", 0) for each in person.must("POST", f"{V3}/issues/search", body)["issues"]]


def test_a_trace_names_only_issues_that_its_writer_may_read(alice: Person, bob: Person) -> None:
    theirs, own = alice.experiment(), bob.experiment()
    trace = _traced(bob, own)
    for hidden in (_issue(alice, theirs), f"iss-{'0' * 32}"):
        named = _assessed(bob, trace, hidden, issue={"issue_name": "x"})
        born = new_trace()
        asked = [
            bob.ask("POST", f"{V3}/traces/{trace}/assessments", {"assessment": named}),
            bob.trace(own, born, assessments=[{**named, "trace_id": born}]),
        ]
        assert {answer.status_code for answer in asked} == {403}, [answer.text for answer in asked]
    assert _traces_of_issues(alice, theirs) == [0]
    _assess(bob, trace, _issue(bob, own), issue={"issue_name": "x"})
    assert _traces_of_issues(bob, own) == [1]


def test_a_run_takes_only_assessments_with_it_that_its_deleter_may_change(alice: Person, bob: Person) -> None:
    theirs, own = alice.experiment(), bob.experiment()
    trace, mine, run = _traced(alice, theirs), _traced(bob, own), bob.run(own)
    source = {"mlflow.assessment.sourceRunId": run}
    kept = _assess(alice, trace, metadata=source)
    _assess(bob, mine, metadata=source)
    bob.must("POST", f"{V2}/runs/delete", {"run_id": run})
    assert _assessments(alice, trace) == {kept: True}
    assert _assessments(bob, mine) == {}
    second = alice.run(alice.experiment())
    _assess(alice, trace, metadata={"mlflow.assessment.sourceRunId": second})
    alice.must("POST", f"{V2}/runs/delete", {"run_id": second})
    assert _assessments(alice, trace) == {kept: True}


@dataclass(frozen=True)
class Endpoints:
    """Makes endpoints of the AI gateway for one person, whose model cannot be reached."""

    person: Person
    definition: str

    @staticmethod
    def of(person: Person) -> Endpoints:
        secret = {"secret_name": _word("s"), "provider": "openai", "secret_value": {"api_key": "x"}}
        made = person.must("POST", f"{V3}/gateway/secrets/create", secret)["secret"]["secret_id"]
        body = {"name": _word("d"), "secret_id": made, "provider": "openai", "model_name": "gpt"}
        found = person.must("POST", f"{V3}/gateway/model-definitions/create", body)["model_definition"]
        return Endpoints(person, str(found["model_definition_id"]))

    def make(self, name: str, **more: Any) -> dict[str, Any]:
        models = [{"model_definition_id": self.definition, "linkage_type": "PRIMARY", "weight": 1.0}]
        body = {"name": name, "model_configs": models, **more}
        return dict(self.person.must("POST", f"{V3}/gateway/endpoints/create", body)["endpoint"])

    def call(self, name: str, word: str) -> None:
        body = {"model": name, "messages": [{"role": "user", "content": word}]}
        headers = {"Content-Type": "application/json"}
        self.person.headed(headers, "/gateway/mlflow/v1/chat/completions", json.dumps(body).encode())


@pytest.fixture(scope="module")
def alices(alice: Person) -> Endpoints:
    return Endpoints.of(alice)


@pytest.fixture(scope="module")
def bobs(bob: Person) -> Endpoints:
    return Endpoints.of(bob)


def _traces(person: Person, experiment: str) -> str:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    answer = person.ask("POST", f"{V3}/traces/search", {"locations": [location], "max_results": 10})
    return answer.text if answer.status_code == 200 else ""


def test_what_is_asked_of_an_endpoint_is_kept_where_nobody_waits_for_it(
    alice: Person, bob: Person, alices: Endpoints
) -> None:
    """The experiment of an endpoint is looked for by a name that anybody may give."""
    name, later, word = _word("endpoint"), _word("endpoint"), _word("secret")
    waiting = {
        each: bob.must("POST", f"{V2}/experiments/create", {"name": f"gateway/{each}"}) for each in (name, later)
    }
    made = alices.make(name, usage_tracking=True)
    assert made["experiment_id"] != waiting[name]["experiment_id"]
    off = alices.make(later)
    body = {"endpoint_id": off["endpoint_id"], "usage_tracking": True}
    on = alice.must("POST", f"{V3}/gateway/endpoints/update", body)["endpoint"]
    assert on["experiment_id"] != waiting[later]["experiment_id"]
    alices.call(name, word)
    eventually(lambda: word in _traces(alice, made["experiment_id"]), bool, "the call is kept")
    assert word not in _traces(bob, waiting[name]["experiment_id"]) + _traces(bob, made["experiment_id"])


def test_an_endpoint_keeps_what_it_is_asked_in_nobody_elses_experiment(alice: Person, bobs: Endpoints) -> None:
    name = _word("endpoint")
    theirs = alice.must("POST", f"{V2}/experiments/create", {"name": f"gateway/{name}"})["experiment_id"]
    assert bobs.make(name, usage_tracking=True)["experiment_id"] != theirs


def _spent(alice: Person) -> float:
    """What the AI gateway counts as spent by everybody today."""
    day = {"unit": "DAYS", "value": 1}
    body = {"budget_unit": "USD", "budget_amount": 1e12, "duration": day, "target_scope": "GLOBAL"}
    made = alice.must("POST", f"{V3}/gateway/budgets/create", {**body, "budget_action": "ALERT"})["budget_policy"]
    windows = alice.must("GET", f"{V3}/gateway/budgets/windows")["windows"]
    alice.must("DELETE", f"{V3}/gateway/budgets/delete", {"budget_policy_id": made["budget_policy_id"]})
    (spent,) = [each["current_spend"] for each in windows if each["budget_policy_id"] == made["budget_policy_id"]]
    return float(spent)


def test_nobody_spends_the_budget_of_the_gateway_by_a_trace(alice: Person, bob: Person, bobs: Endpoints) -> None:
    own, now, before = bob.experiment(), int(time.time()), _spent(alice)
    metadata = {
        "mlflow.gateway.endpointId": "any",
        "mlflow.auth.username": "alice",
        "mlflow.trace.cost": json.dumps(dict.fromkeys(("input_cost", "output_cost", "total_cost"), 1000.0)),
        "mine": "kept",
    }
    pairs = [{"key": key, "value": value} for key, value in metadata.items()]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    trace = new_trace()
    for _ in range(2):
        assert bob.trace(own, trace, request_time=when, trace_metadata=metadata).status_code == 200
    old = {"experiment_id": own, "timestamp_ms": now * 1000, "request_metadata": pairs, "tags": []}
    begun = bob.must("POST", f"{V2}/traces", old)["trace_info"]["request_id"]
    ended = {"request_id": begun, "timestamp_ms": now * 1000 + 1, "status": "OK", "request_metadata": pairs, "tags": []}
    bob.must("PATCH", f"{V2}/traces/{begun}", ended)
    assert _spent(alice) == before
    shown = bob.must("GET", f"{V3}/traces/{trace}")["trace"]["trace_info"]["trace_metadata"]
    assert shown["mine"] == "kept"
    made = bobs.make(_word("endpoint"), usage_tracking=True)
    bobs.call(made["name"], "a word")
    # The trace is there before the gateway says of it, by itself, which endpoint was called.
    kept = eventually(
        lambda: _traces(alice, made["experiment_id"]), lambda text: made["endpoint_id"] in text, "the call is kept"
    )
    assert "a word" in kept
    assert json.loads(kept)["traces"][0]["trace_metadata"]["mlflow.auth.username"] == "bob"


def test_bindings_are_listed_of_an_endpoint_of_ones_own(
    alice: Person, bob: Person, alices: Endpoints, bobs: Endpoints
) -> None:
    theirs, own, scorer = alices.make(_word("endpoint")), bobs.make(_word("endpoint")), _word("scorer")
    for person, each in ((alice, theirs), (bob, own)):
        body = {"endpoint_id": each["endpoint_id"], "resource_type": "scorer", "resource_id": scorer}
        person.must("POST", f"{V3}/gateway/endpoints/bindings/create", body)
    listed = f"{V3}/gateway/endpoints/bindings/list"
    for query in ("", f"?name={own['name']}", f"?name={own['name']}&resource_id={scorer}", "?resource_type=scorer"):
        answer = bob.ask("GET", listed + query)
        assert (answer.status_code, theirs["endpoint_id"] in answer.text) == (403, False), (query, answer.text)
    mine = bob.must("GET", f"{listed}?endpoint_id={own['endpoint_id']}")["bindings"]
    assert [each["endpoint_id"] for each in mine] == [own["endpoint_id"]]
    everybodys = alice.must("GET", f"{listed}?resource_id={scorer}")["bindings"]
    assert {each["endpoint_id"] for each in everybodys} == {theirs["endpoint_id"], own["endpoint_id"]}


def _judge(name: str, endpoint: str) -> str:
    return json.dumps({
        "name": name, "description": None, "aggregations": [], "is_session_level_scorer": False,
        "mlflow_version": "3.17.2", "serialization_version": 1, "builtin_scorer_class": "Safety",
        "builtin_scorer_pydantic_data": {
            "name": name, "required_columns": ["inputs", "outputs"], "model": f"gateway:/{endpoint}",
        },
    })  # fmt: skip


def test_a_scorer_names_only_endpoints_that_its_maker_may_use(
    alice: Person, bob: Person, alices: Endpoints, bobs: Endpoints
) -> None:
    theirs, mine, experiment = (
        alices.make(_word("endpoint"))["name"],
        bobs.make(_word("endpoint"))["name"],
        bob.experiment(),
    )

    def register(person: Person, where: str, scorer: str, endpoint: str) -> int:
        body = {"experiment_id": where, "name": scorer, "serialized_scorer": _judge(scorer, endpoint)}
        return person.ask("POST", f"{V3}/scorers/register", body).status_code

    assert [register(bob, experiment, _word("s"), each) for each in (theirs, _word("nowhere"))] == [403, 403]
    assert register(bob, experiment, _word("s"), mine) == 200
    shared, lent = _word("s"), alice.experiment()
    assert register(alice, lent, shared, theirs) == 200
    _lend(alice, "experiments", lent, "EDIT")
    assert register(bob, lent, shared, theirs) == 200, "a further version of a scorer names what it named before"
    for broken in ({"builtin_scorer_pydantic_data": {"model": 5}}, {"builtin_scorer_pydantic_data": "x"}, 7):
        body = {"experiment_id": lent, "name": _word("broken"), "serialized_scorer": json.dumps(broken)}
        answers = [person.ask("POST", f"{V3}/scorers/register", body).status_code for person in (alice, bob)]
        assert answers[0] == answers[1] < 500, (broken, answers)
    assert register(bob, lent, _word("s"), theirs) == 403


PATTERNS = ("experiment-patterns", "registered-models-patterns", "prompts-patterns", "gateways/endpoints-patterns")


def test_nobody_gets_more_rights_by_a_new_name(alice: Person, bob: Person, alices: Endpoints) -> None:
    """Patterns go by names, and whoever may edit something may name it."""
    bob.experiment()
    shared, bobs = _word("shared"), _word("bobs")
    for kind in PATTERNS:
        for regex, right in ((f"^{shared}-", "EDIT"), (f"^{bobs}-", "MANAGE")):
            body = {"regex": regex, "priority": 1, "permission": right}
            alice.must("POST", f"{V2}/permissions/users/bob/{kind}", body)
    experiment = alice.must("POST", f"{V2}/experiments/create", {"name": f"{shared}-e"})["experiment_id"]
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    for name, tags in (("m", []), ("p", prompt)):
        alice.must("POST", f"{V2}/registered-models/create", {"name": f"{shared}-{name}", "tags": tags})
    endpoint = alices.make(f"{shared}-g")["endpoint_id"]

    def renamed(prefix: str) -> list[int]:
        asked = [(f"{V2}/experiments/update", {"experiment_id": experiment, "new_name": f"{prefix}-e"})]
        models = [{"name": f"{shared}-{each}", "new_name": f"{prefix}-{each}"} for each in ("m", "p")]
        asked += [(f"{V2}/registered-models/rename", body) for body in models]
        asked += [(f"{V3}/gateway/endpoints/update", {"endpoint_id": endpoint, "name": f"{prefix}-g"})]
        return [bob.ask("POST", path, body).status_code for path, body in asked]

    assert set(renamed(bobs)) == {403}
    assert set(renamed(f"{shared}-again")) == {200}, "a name by which they have the same rights"
    own, lent = bob.experiment(), alice.experiment()
    _lend(alice, "experiments", lent, "EDIT")
    # A grant of its own goes with it, until somebody takes it back.
    for each, status in ((own, 200), (lent, 403)):
        body = {"experiment_id": each, "new_name": f"{bobs}-{each}"}
        assert bob.ask("POST", f"{V2}/experiments/update", body).status_code == status
