"""Makes each kind of thing of the world. A maker gives the values by which requests name what it made.

caller: for whom it is made, who gets the permission that they hold on everything; nobody in particular for ''.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from tests.matrix.rows import EDITOR
from tests.matrix.world import V2, V3, World

Values = dict[str, str]
Body = dict[str, Any]


def experiment(world: World, caller: str) -> Values:
    name = world.new()["new"]
    tags = [{"key": world.tag, "value": world.hidden}]
    made = world.must("POST", f"{V2}/experiments/create", {"name": name, "tags": tags})
    number = str(made["experiment_id"])
    world.share("experiments", number, caller)
    return {"experiment_id": number, "experiment_name": name}


def deleted_experiment(world: World, caller: str) -> Values:
    made = experiment(world, caller)
    world.must("POST", f"{V2}/experiments/delete", {"experiment_id": made["experiment_id"]})
    return made


def run(world: World, caller: str) -> Values:
    tags = [{"key": "t", "value": world.hidden}]
    body = {"experiment_id": world.values["experiment_id"], "start_time": int(time.time() * 1000), "tags": tags}
    number = str(world.must("POST", f"{V2}/runs/create", body)["run"]["info"]["run_id"])
    world.must("POST", f"{V2}/runs/log-metric", {"run_id": number, "key": "m", "value": 1.5, "timestamp": 1})
    dataset = {"name": world.hidden, "digest": "d", "source_type": "s", "source": "s"}
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    world.must("POST", f"{V2}/runs/log-inputs", {"run_id": number, "datasets": [{"tags": tags, "dataset": dataset}]})
    return {"run_id": number}


def deleted_run(world: World, caller: str) -> Values:
    made = run(world, caller)
    world.must("POST", f"{V2}/runs/delete", made)
    return made


def _put(world: World, path: str) -> str:
    """A file below the artifact destination, in JSON, which a trace's has to be."""
    world.must("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", data=f'{{"spans": [], "of": "{world.hidden}"}}')
    return path


def file(world: World, caller: str) -> Values:
    values = world.values
    below = f"{values['experiment_id']}/{values['run_id']}/artifacts"
    return {"file": _put(world, f"{below}/{world.new()['new']}.txt"), "file_put": f"{below}/{world.new()['new']}.txt"}


def run_files(world: World, caller: str) -> Values:
    """What the run of the world has, which does not go with it."""
    source = f"{world.values['experiment_id']}/{world.values['run_id']}/artifacts"
    _put(world, f"{source}/a.txt")
    return {"source": f"mlflow-artifacts:/{source}"}


def logged_model(world: World, caller: str) -> Values:
    body = {
        "experiment_id": world.values["experiment_id"],
        "name": "m",
        "tags": [{"key": world.tag, "value": world.hidden}],
    }
    made = world.must("POST", f"{V2}/logged-models", body)["model"]["info"]
    if not caller:
        _put(world, made["artifact_uri"].removeprefix("mlflow-artifacts:/") + "/a.txt")
    return {"model_id": made["model_id"]}


def dataset(world: World, caller: str) -> Values:
    body = {
        "name": world.new()["new"],
        "experiment_ids": [world.values["experiment_id"]],
        "tags": json.dumps({"k": world.hidden}),
    }
    number = world.must("POST", f"{V3}/datasets/create", body)["dataset"]["dataset_id"]
    records = json.dumps([{"inputs": {"q": world.hidden}}])
    world.must("POST", f"{V3}/datasets/{number}/records", {"records": records})
    listed = world.must("GET", f"{V3}/datasets/{number}/records")["records"]
    return {"dataset_id": number, "record_id": json.loads(listed)[0]["dataset_record_id"]}


def trace(world: World, caller: str) -> Values:
    number = world.new()["new_trace"]
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": world.values["experiment_id"]}}
    info = {"trace_id": number, "trace_location": place, "state": "OK", "request_time": "2026-11-28T00:00:00Z"}
    info |= {"tags": {world.tag: world.hidden}}
    world.must("POST", f"{V3}/traces", {"trace": {"trace_info": info}})
    if not caller:
        _put(world, f"{world.values['experiment_id']}/traces/{number}/artifacts/traces.json")
    return {"trace_id": number}


def span_trace(world: World, caller: str) -> Values:
    """A trace whose spans are in the database, as OpenTelemetry's are."""
    number, now = secrets.token_hex(16), time.time_ns()
    span = {"traceId": number, "spanId": secrets.token_hex(8), "name": world.hidden, "kind": 1}
    span |= {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1)}
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}
    world.must("POST", "/v1/traces", body, headers={"X-Mlflow-Experiment-Id": world.values["experiment_id"]})
    return {"span_trace": f"tr-{number}"}


def assessment(world: World, caller: str) -> Values:
    trace_id = world.values["trace_id"]
    noted = {"assessment_name": "n", "trace_id": trace_id, "source": {"source_type": "HUMAN", "source_id": "x"}}
    noted |= {"feedback": {"value": True}, "rationale": world.hidden}
    noted |= {f"{when}_time": "2026-11-28T00:00:00Z" for when in ("create", "last_update")}
    made = world.must("POST", f"{V3}/traces/{trace_id}/assessments", {"assessment": noted})
    return {"assessment_id": made["assessment"]["assessment_id"]}


def issue(world: World, caller: str) -> Values:
    body = {"experiment_id": world.values["experiment_id"], "name": world.new()["new"], "description": world.hidden}
    return {"issue_id": world.must("POST", f"{V3}/issues", body)["issue"]["issue_id"]}


def label(world: World, caller: str) -> Values:
    body: Body = {"experiment_id": world.values["experiment_id"], "name": world.new()["new"], "type": "FEEDBACK"}
    body |= {"input": {"text": {}}, "instruction": world.hidden}
    made = world.must("POST", f"{V3}/label-schemas/create", body)["label_schema"]
    return {"schema_id": made["schema_id"], "schema_name": made["name"]}


def queue(world: World, caller: str) -> Values:
    body: Body = {"experiment_id": world.values["experiment_id"], "name": world.new()["new"], "queue_type": "CUSTOM"}
    body |= {"users": [world.names[EDITOR], world.names["admin"]]}
    made = world.must("POST", f"{V3}/review-queues/create", body)["review_queue"]
    items = {"queue_id": made["queue_id"], "item_type": "TRACE", "item_ids": [world.values["trace_id"]]}
    world.must("POST", f"{V3}/review-queues/items/add", items)
    return {"queue_id": made["queue_id"], "queue_name": made["name"]}


def scorer(world: World, caller: str) -> Values:
    name = world.new()["new"]
    serial = {"name": name, "description": world.hidden, "aggregations": [], "is_session_level_scorer": False}
    serial |= {"mlflow_version": "3.17.2", "serialization_version": 1, "builtin_scorer_class": "Safety"}
    serial |= {
        "builtin_scorer_pydantic_data": {
            "name": name,
            "required_columns": ["outputs"],
            "model": f"gateway:/{world.values['endpoint_name']}",
        }
    }
    body = {"experiment_id": world.values["experiment_id"], "name": name, "serialized_scorer": json.dumps(serial)}
    made = world.must("POST", f"{V3}/scorers/register", body)
    config = {"experiment_id": world.values["experiment_id"], "name": name, "sample_rate": 0.1}
    world.must("PUT", f"{V3}/scorers/online-config", config)
    world.share("scorers", f"{world.values['experiment_id']}/{name}", caller)
    return {"scorer_name": name, "scorer_id": made["scorer_id"], "serial": json.dumps(serial)}


def model(world: World, caller: str) -> Values:
    name, tags = world.new()["new"], [{"key": world.tag, "value": world.hidden}]
    world.must("POST", f"{V2}/registered-models/create", {"name": name, "tags": tags})
    body = {"name": name, "source": world.values["source"], "run_id": world.values["run_id"], "tags": tags}
    world.must("POST", f"{V2}/model-versions/create", body)
    world.must("POST", f"{V2}/registered-models/alias", {"name": name, "alias": "a", "version": "1"})
    world.share("registered-models", name, caller)
    return {"model_name": name}


def prompt(world: World, caller: str) -> Values:
    name, tags = world.new()["new"], [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    world.must("POST", f"{V2}/registered-models/create", {"name": name, "tags": tags})
    text = [*tags, {"key": "mlflow.prompt.text", "value": world.hidden}]
    world.must("POST", f"{V2}/model-versions/create", {"name": name, "source": "dummy-source", "tags": text})
    world.share("prompts", name, caller)
    return {"prompt_name": name}


def webhook(world: World, caller: str) -> Values:
    body: Body = {"name": world.new()["new"], "url": "https://1.1.1.1/x", "status": "DISABLED"}
    body |= {"events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]}
    return {"webhook_id": world.must("POST", f"{V2}/webhooks", body)["webhook"]["webhook_id"]}


def server(world: World, caller: str) -> Values:
    name, servers = f"matrix/{world.new()['new']}", f"{V3}/mcp-servers"
    world.must("POST", servers, {"name": name, "description": world.hidden})
    about = {"name": name, "version": "1.0.0", "description": world.hidden}
    world.must("POST", f"{servers}/{name}/versions", {"server_json": about})
    for path in (f"{servers}/{name}/tags", f"{servers}/{name}/versions/1.0.0/tags"):
        world.must("POST", path, {"key": world.tag, "value": world.hidden})
    world.must("POST", f"{servers}/{name}/aliases", {"alias": "a", "version": "1.0.0"})
    place = {"server_version": "1.0.0", "url": f"https://example.com/{world.hidden}"}
    made = world.must("POST", f"{servers}/{name}/endpoints", place)
    world.share("mcp-servers", name, caller)
    values = {"server": name, "server_version": "1.0.0", "server_tag": world.tag, "server_alias": "a"}
    return {**values, "server_endpoint": str(made.get("endpoint_id") or made["id"])}


Maker = Callable[[World, str], Values]
MAKERS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        *(experiment, deleted_experiment, run, deleted_run, run_files, file, logged_model, dataset, trace, span_trace),
        *(assessment, issue, label, queue, scorer, model, prompt, webhook, server),
    )
}
