"""Experiments, runs, metrics, artifacts, logged models and datasets of evaluations."""

from __future__ import annotations

from tests.matrix.rows import AJAX, DELETE, LOGIN, READ, ROOT, UPDATE, Row, under

experiments = under("2.0/mlflow/experiments/")
ajax = under("2.0/mlflow/", AJAX)

EXPERIMENTS: tuple[Row, ...] = (
    experiments("POST", "create", LOGIN, {"name": "{new}"}),
    experiments("GET", "search?max_results=1000", LOGIN, shows=READ),
    experiments("POST", "search", LOGIN, {"max_results": 1000}, shows=READ),
    experiments("GET", "get?experiment_id={experiment_id}", READ, shows=READ),
    experiments("GET", "get-by-name?experiment_name={experiment_name}", READ, shows=READ),
    experiments(
        "POST", "update", UPDATE, {"experiment_id": "{experiment_id}", "new_name": "{new}"}, fresh="experiment"
    ),
    experiments("POST", "set-experiment-tag", UPDATE, {"experiment_id": "{experiment_id}", "key": "a", "value": "b"}),
    experiments(
        "POST", "delete-experiment-tag", UPDATE, {"experiment_id": "{experiment_id}", "key": "k"}, fresh="experiment"
    ),
    experiments("POST", "delete", DELETE, {"experiment_id": "{experiment_id}"}, fresh="experiment"),
    experiments("POST", "restore", DELETE, {"experiment_id": "{experiment_id}"}, fresh="deleted_experiment"),
    ajax("POST", "experiments/search-datasets", READ, {"experiment_ids": ["{experiment_id}"]}, shows=READ),
    under("2.0mlflow/experiments/")(
        "POST",
        "search-datasets",
        READ,
        {"experiment_ids": ["{experiment_id}"]},
        good=404,
        never="MLflow has the route without a handler, by a slip in its path",
    ),
)

runs = under("2.0/mlflow/runs/")
RUN = {"run_id": "{run_id}"}
METRIC = {"key": "m", "value": 2.5, "timestamp": 2, "step": 1}
MODEL = '{"artifact_path": "model", "flavors": {}, "utc_time_created": "2026-11-28 00:00:00", "run_id": "{run_id}"}'
DATASET = {"name": "d", "digest": "e", "source_type": "s", "source": "t"}

RUNS: tuple[Row, ...] = (
    runs("POST", "create", UPDATE, {"experiment_id": "{experiment_id}", "start_time": 1}),
    runs("GET", "get?run_id={run_id}", READ, shows=READ),
    runs("POST", "search", READ, {"experiment_ids": ["{experiment_id}"], "max_results": 1000}, shows=READ),
    runs("POST", "update", UPDATE, {**RUN, "status": "FINISHED"}),
    runs("POST", "log-metric", UPDATE, {**RUN, **METRIC}),
    runs("POST", "log-parameter", UPDATE, {**RUN, "key": "{new}", "value": "v"}),
    runs("POST", "log-batch", UPDATE, {**RUN, "metrics": [METRIC], "tags": [{"key": "a", "value": "b"}]}),
    runs("POST", "log-inputs", UPDATE, {**RUN, "datasets": [{"tags": [], "dataset": DATASET}]}),
    runs("POST", "outputs", UPDATE, {**RUN, "models": [{"model_id": "{model_id}", "step": 1}]}, fresh="logged_model"),
    runs("POST", "log-model", UPDATE, {**RUN, "model_json": MODEL}),
    runs("POST", "set-tag", UPDATE, {**RUN, "key": "a", "value": "b"}),
    runs("POST", "delete-tag", UPDATE, {**RUN, "key": "t"}, fresh="run"),
    runs("POST", "delete", DELETE, RUN, fresh="run"),
    runs("POST", "restore", DELETE, RUN, fresh="deleted_run"),
    under("2.0/mlflow/metrics/")("GET", "get-history?run_id={run_id}&metric_key=m", READ),
    under("2.0/mlflow/metrics/")("GET", "get-history-bulk-interval?run_ids={run_id}&metric_key=m", READ),
    ajax("GET", "metrics/get-history-bulk?run_id={run_id}&metric_key=m", READ),
    ajax(
        "POST",
        "runs/create-promptlab-run",
        UPDATE,
        {
            "experiment_id": "{experiment_id}",
            "run_name": "p",
            "prompt_template": "t",
            "prompt_parameters": [{"key": "a", "value": "b"}],
            "model_route": "r",
            "model_parameters": [{"key": "a", "value": "1"}],
            "model_input": "i",
            "model_output": "o",
            "model_output_parameters": [{"key": "a", "value": "1"}],
            "mlflow_version": "3",
            "start_time": "1",
        },
    ),
)

artifacts = under("2.0/mlflow-artifacts/", at={"artifact_path": "file"})
files = under("2.0/mlflow/artifacts/")
NO_PRESIGNED = "a volume has no addresses that are signed for a time"
NO_PARTS = "a volume takes no multipart uploads"

ARTIFACTS: tuple[Row, ...] = (
    artifacts("GET", "artifacts?path={experiment_id}", READ),
    artifacts("GET", "artifacts/{artifact_path}", READ, shows=READ),
    artifacts("PUT", "artifacts/{artifact_path}", UPDATE, at={"artifact_path": "file_put"}, data="{hidden}"),
    artifacts("DELETE", "artifacts/{artifact_path}", DELETE, fresh="file", good=(200, 204)),
    artifacts("POST", "mpu/create/{artifact_path}", UPDATE, {"path": "f", "num_parts": 1}, good=501, never=NO_PARTS),
    artifacts(
        "POST",
        "mpu/complete/{artifact_path}",
        UPDATE,
        {"path": "f", "upload_id": "u", "parts": []},
        good=501,
        never=NO_PARTS,
    ),
    artifacts("POST", "mpu/abort/{artifact_path}", UPDATE, {"path": "f", "upload_id": "u"}, good=501, never=NO_PARTS),
    artifacts("GET", "presigned/{artifact_path}", READ, good=501, never=NO_PRESIGNED),
    files("GET", "list?run_id={run_id}", READ),
    files("POST", "presigned-upload-url", UPDATE, {**RUN, "path": "f"}, good=400, never=NO_PRESIGNED),
    files("POST", "presigned-download-url", READ, {**RUN, "path": "a.txt"}, good=400, never=NO_PRESIGNED),
    under("", ROOT)("GET", "get-artifact?run_uuid={run_id}&path=a.txt", READ, shows=READ),
    ajax("POST", "upload-artifact?run_uuid={run_id}&path=b.txt", UPDATE, data="{hidden}"),
    ajax("GET", "logged-models/{model_id}/artifacts/files?artifact_file_path=a.txt", READ, shows=READ),
)

models = under("2.0/mlflow/logged-models")
LOGGED_MODELS: tuple[Row, ...] = (
    models("POST", "", UPDATE, {"experiment_id": "{experiment_id}", "name": "m"}),
    models("POST", "/search", LOGIN, {"experiment_ids": ["{experiment_id}"]}, shows=READ),
    models("GET", "/{model_id}", READ, shows=READ),
    models("PATCH", "/{model_id}", UPDATE, {"model_id": "{model_id}", "status": "LOGGED_MODEL_READY"}),
    models("DELETE", "/{model_id}", DELETE, fresh="logged_model"),
    models(
        "POST", "/{model_id}/params", UPDATE, {"model_id": "{model_id}", "params": [{"key": "{new}", "value": "v"}]}
    ),
    models("PATCH", "/{model_id}/tags", UPDATE, {"tags": [{"key": "a", "value": "b"}]}),
    models("DELETE", "/{model_id}/tags/{tag_key}", DELETE, fresh="logged_model", at={"tag_key": "tag"}),
    models("GET", "/{model_id}/artifacts/directories", READ),
)

datasets = under("3.0/mlflow/datasets/")
LINKED = {"experiment_ids": ["{experiment_id}"]}
DATASETS: tuple[Row, ...] = (
    datasets("POST", "create", UPDATE, {"name": "{new}", **LINKED}),
    datasets("GET", "search?experiment_ids={experiment_id}", READ, shows=READ),
    datasets("POST", "search", READ, LINKED, shows=READ),
    datasets("GET", "{dataset_id}", READ, shows=READ),
    datasets("DELETE", "{dataset_id}", DELETE, fresh="dataset"),
    datasets("PATCH", "{dataset_id}/tags", UPDATE, {"tags": '{"a": "b"}'}),
    datasets("DELETE", "{dataset_id}/tags/{key}", UPDATE, fresh="dataset", at={"key": "tag"}),
    datasets("GET", "{dataset_id}/experiment-ids", READ),
    datasets("GET", "{dataset_id}/records", READ, shows=READ),
    datasets("POST", "{dataset_id}/records", UPDATE, {"records": '[{"inputs": {"q": "{new}"}}]'}),
    datasets("DELETE", "{dataset_id}/records", UPDATE, {"dataset_record_ids": ["{record_id}"]}, fresh="dataset"),
    datasets("POST", "{dataset_id}/add-experiments", UPDATE, LINKED),
    datasets("POST", "{dataset_id}/remove-experiments", UPDATE, LINKED, fresh="dataset"),
)

TABLES = {
    "experiments": EXPERIMENTS,
    "runs": RUNS,
    "artifacts": ARTIFACTS,
    "logged models": LOGGED_MODELS,
    "datasets": DATASETS,
}
