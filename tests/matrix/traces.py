"""Traces, their assessments, and what reviews them: issues, labels, queues and scorers."""

from __future__ import annotations

from tests.matrix.rows import (
    AJAX,
    DELETE,
    LOGIN,
    MANAGE,
    QUEUE,
    READ,
    REVIEWER,
    ROOT,
    UPDATE,
    Row,
    under,
)

v2 = under("2.0/mlflow/traces", at={"request_id": "trace_id"})
v3 = under("3.0/mlflow/traces")
PLACE = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{experiment_id}"}}
INFO = {"trace_id": "{new_trace}", "trace_location": PLACE, "state": "OK", "request_time": "2026-11-28T00:00:00Z"}
SPAN = {
    "traceId": "{new_hex}",
    "spanId": "{new_half}",
    "name": "s",
    "kind": 1,
    "startTimeUnixNano": "1",
    "endTimeUnixNano": "2",
}
TAG = {"key": "a", "value": "b"}
STARTED = {"experiment_id": "{experiment_id}", "timestamp_ms": 1, "request_metadata": [], "tags": []}
ENDED = {"request_id": "{trace_id}", "timestamp_ms": 2, "status": "OK", "request_metadata": [], "tags": []}
GONE = {"experiment_id": "{experiment_id}", "request_ids": ["{trace_id}"]}
METRIC = {"metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}], "view_type": "TRACES"}
HALVES = {"filter_string1": "tags.k = 'a'", "filter_string2": "tags.k = 'b'"}

TRACES: tuple[Row, ...] = (
    v2("POST", "", UPDATE, STARTED),
    v2("GET", "?experiment_ids={experiment_id}", READ, shows=READ),
    v2("PATCH", "/{request_id}", UPDATE, ENDED, fresh="trace"),
    v2("GET", "/{request_id}/info", READ, shows=READ),
    v2("PATCH", "/{request_id}/tags", UPDATE, TAG),
    v2("DELETE", "/{request_id}/tags", UPDATE, {"key": "k"}, fresh="trace"),
    v2("POST", "/delete-traces", DELETE, GONE, fresh="trace"),
    v2(
        "POST",
        "/link-prompts",
        UPDATE,
        {"trace_id": "{trace_id}", "prompt_versions": [{"name": "{prompt_name}", "version": "1"}]},
    ),
    v2("POST", "/link-to-run", UPDATE, {"trace_ids": ["{trace_id}"], "run_id": "{run_id}"}),
    v3("POST", "", UPDATE, {"trace": {"trace_info": INFO}}),
    v3("GET", "/{trace_id}", READ, shows=READ),
    v3("PATCH", "/{trace_id}/tags", UPDATE, TAG),
    v3("DELETE", "/{trace_id}/tags?key=k", UPDATE, {"key": "k"}, fresh="trace"),
    v3("GET", "/batchGet?trace_ids={span_trace}", READ, shows=READ),
    v3("POST", "/batchGetInfos", READ, {"trace_ids": ["{trace_id}"]}, shows=READ),
    v3("POST", "/calculate-filter-correlation", READ, {"experiment_ids": ["{experiment_id}"], **HALVES}),
    v3("POST", "/delete-traces", DELETE, GONE, fresh="trace"),
    v3("GET", "/get?trace_id={span_trace}", READ, shows=READ),
    v3("POST", "/metrics", READ, {"experiment_ids": ["{experiment_id}"], **METRIC}),
    v3("POST", "/search", READ, {"locations": [PLACE], "max_results": 100}, shows=READ),
    under("2.0/mlflow/", AJAX)("GET", "get-trace-artifact?request_id={trace_id}", READ, shows=READ),
    under("3.0/mlflow/", AJAX)("GET", "get-trace-artifact?request_id={trace_id}", READ, shows=READ),
    under("2.0/mlflow/")(
        "GET",
        "get-online-trace-details?trace_id={trace_id}",
        LOGIN,
        good=404,
        never="MLflow has it for Databricks alone",
    ),
    under("2.0/mlflow/")("GET", "unified-traces", LOGIN, good=404, never="MLflow has it for Databricks alone"),
    under("v1/", ROOT)(
        "POST",
        "traces",
        UPDATE,
        {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [SPAN]}]}]},
        headers={"X-Mlflow-Experiment-Id": "{experiment_id}"},
    ),
)

assessments = under("3.0/mlflow/traces/{trace_id}/assessments")
NOTED = {
    "assessment_name": "good",
    "trace_id": "{trace_id}",
    "source": {"source_type": "HUMAN", "source_id": "x"},
    "feedback": {"value": True},
    "create_time": "2026-11-28T00:00:00Z",
    "last_update_time": "2026-11-28T00:00:00Z",
}
CHANGED = {"assessment": {"assessment_name": "better"}, "update_mask": "assessmentName"}
ASSESSMENTS: tuple[Row, ...] = (
    assessments("POST", "", UPDATE, {"assessment": NOTED}),
    assessments("GET", "/{assessment_id}", READ, shows=READ),
    assessments("PATCH", "/{assessment_id}", UPDATE, CHANGED),
    assessments("DELETE", "/{assessment_id}", UPDATE, fresh="assessment"),
)

issues = under("3.0/mlflow/issues")
NO_JOBS = "jobs are off (mlflow.jobs); tests/e2e/test_jobs.py has them on"
ISSUE = {"experiment_id": "{experiment_id}", "name": "{new}", "description": "d"}
ISSUES: tuple[Row, ...] = (
    issues("POST", "", UPDATE, ISSUE),
    issues("GET", "/{issue_id}", READ, shows=READ),
    issues("PATCH", "/{issue_id}", UPDATE, {"issue_id": "{issue_id}", "severity": "high"}),
    issues("POST", "/search", READ, {"experiment_id": "{experiment_id}"}, shows=READ),
    under("3.0/mlflow/issues/", AJAX)(
        "POST",
        "invoke",
        UPDATE,
        {"experiment_id": "{experiment_id}", "trace_ids": ["{trace_id}"], "categories": [], "provider": "openai"},
        good=(400, 500),
        never=NO_JOBS,
    ),
)

labels = under("3.0/mlflow/label-schemas/")
SCHEMA = {"name": "{new}", "type": "FEEDBACK", "input": {"text": {}}}
LABELS: tuple[Row, ...] = (
    labels("POST", "create", MANAGE, {"experiment_id": "{experiment_id}", **SCHEMA}),
    labels("GET", "get?schema_id={schema_id}", READ, shows=READ),
    labels("GET", "get-by-name?experiment_id={experiment_id}&name={schema_name}", READ, shows=READ),
    labels("GET", "list?experiment_id={experiment_id}", READ, shows=READ),
    labels("PATCH", "update", MANAGE, {"schema_id": "{schema_id}", "enable_comment": True}),
    labels("DELETE", "delete", DELETE, {"schema_id": "{schema_id}"}, fresh="label"),
)

queues = under("3.0/mlflow/review-queues/")
NAMED = {"queue_id": "{queue_id}"}
QUEUES: tuple[Row, ...] = (
    queues("POST", "create", UPDATE, {"experiment_id": "{experiment_id}", "name": "{new}", "queue_type": "CUSTOM"}),
    queues("POST", "get-or-create-user", UPDATE, {"experiment_id": "{experiment_id}", "user": "{editor}"}),
    queues("GET", "get?queue_id={queue_id}", QUEUE),
    queues("GET", "get-by-name?experiment_id={experiment_id}&name={queue_name}", QUEUE),
    queues("GET", "list?experiment_id={experiment_id}", READ),
    queues("POST", "update", MANAGE, {**NAMED, "update_users": True, "users": ["{editor}", "{admin}"]}),
    queues("POST", "delete", MANAGE, NAMED, fresh="queue"),
    queues("POST", "items/add", UPDATE, {**NAMED, "item_type": "TRACE", "item_ids": ["{trace_id}"]}),
    queues("GET", "items/list?queue_id={queue_id}", QUEUE),
    queues("POST", "items/remove", MANAGE, {**NAMED, "item_ids": ["{trace_id}"]}, fresh="queue"),
    queues(
        "POST",
        "items/set-status",
        REVIEWER,
        {**NAMED, "item_id": "{trace_id}", "status": "COMPLETE", "completed_by": "{caller}"},
    ),
)

scorers = under("3.0/mlflow/scorers/")
SCORER = {"experiment_id": "{experiment_id}", "name": "{scorer_name}"}
SERIAL = '{"name": "{new}", "instructions_judge_pydantic_data": {}}'
SCORERS: tuple[Row, ...] = (
    scorers(
        "POST",
        "register",
        UPDATE,
        {"experiment_id": "{experiment_id}", "name": "{new}", "serialized_scorer": "{serial}"},
    ),
    scorers("GET", "list?experiment_id={experiment_id}", READ, shows=READ),
    scorers("GET", "versions?experiment_id={experiment_id}&name={scorer_name}", READ, shows=READ),
    scorers("GET", "get?experiment_id={experiment_id}&name={scorer_name}", READ, shows=READ),
    scorers("DELETE", "delete", DELETE, SCORER, fresh="scorer"),
    scorers("GET", "online-configs?scorer_ids={scorer_id}", READ),
    scorers("PUT", "online-config", UPDATE, {**SCORER, "sample_rate": 0.5}),
    under("3.0/mlflow/", AJAX)(
        "POST",
        "scorer/invoke",
        UPDATE,
        {
            "experiment_id": "{experiment_id}",
            "serialized_scorer": "{serial}",
            "trace_ids": ["{trace_id}"],
            "log_assessments": True,
        },
        good=(400, 500),
        never=NO_JOBS,
    ),
    under("3.0/mlflow/", AJAX)(
        "POST",
        "genai/evaluate/invoke",
        UPDATE,
        {"experiment_id": "{experiment_id}", "serialized_scorers": ["{serial}"], "trace_ids": ["{trace_id}"]},
        good=(400, 500),
        never=NO_JOBS,
    ),
)

TABLES = {
    "traces": TRACES,
    "assessments": ASSESSMENTS,
    "issues": ISSUES,
    "label schemas": LABELS,
    "review queues": QUEUES,
    "scorers": SCORERS,
}
