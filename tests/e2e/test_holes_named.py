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


def _word(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(6)}"


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
    kept = eventually(lambda: _traces(alice, made["experiment_id"]), lambda text: "a word" in text, "the call is kept")
    assert made["endpoint_id"] in kept, "the gateway says by itself which endpoint was called"
    assert json.loads(kept)["traces"][0]["trace_metadata"]["mlflow.auth.username"] == "bob"
