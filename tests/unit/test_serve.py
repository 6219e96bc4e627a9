"""The image's own start of MLflow: which calls it knows itself, and which it leaves to MLflow's command.

That it starts what MLflow's command would start is checked as the image is built (images/mlflow/serve_check.py).
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from components.stack import stack_spec
from platforms.workload import Workload
from settings import ROOT
from tests.samples import everything, settings

S3 = {"bucket": "artifacts", "prefix": "runs"}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve", ROOT / "images/mlflow/serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (installed,) = (ROOT / "images/mlflow/app").glob("*.dist-info")
    monkeypatch.setattr(module, "entry_points", Distribution.at(installed).entry_points.select)
    for name in module.OTHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "postgresql+psycopg2://mlflow@postgres/mlflow")
    return module


def mlflow(config: dict[str, Any] | None = None) -> Workload:
    return next(w for w in stack_spec(settings(config)).workloads if w.name == "mlflow")


@pytest.mark.parametrize("kind", ["default", "s3", "everything"])
def test_it_knows_every_call_that_the_stack_makes(
    kind: str, serve: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"default": None, "s3": {"mlflow": {"s3": S3}}, "everything": everything(tmp_path)}[kind]
    workload = mlflow(config)
    assert workload.args[:2] == ("mlflow", "server")
    for name, value in workload.env.items():
        monkeypatch.setenv(name, value)
    command, more = serve.server(list(workload.args[2:]))
    assert command[1:3] == ["-m", "uvicorn"]
    assert command[-1] == "mlflow_sso:app"
    assert more["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] in workload.args


def test_every_store_of_the_server_is_the_backend_store(serve: ModuleType) -> None:
    """What asks for a store without a name gets what these two say, or else a file of SQLite's."""
    _, more = serve.server(list(mlflow().args[2:]))
    store = "postgresql+psycopg2://mlflow@postgres/mlflow"
    assert (more["MLFLOW_TRACKING_URI"], more["MLFLOW_REGISTRY_URI"]) == (store, store)


def test_two_starts_are_told_apart(serve: ModuleType) -> None:
    words = list(mlflow().args[2:])
    assert serve.server(words)[1]["_MLFLOW_SERVER_BOOT_ID"] != serve.server(words)[1]["_MLFLOW_SERVER_BOOT_ID"]


@pytest.mark.parametrize("more", [["--dev"], ["--static-prefix", "/ml"], ["--gunicorn-opts", "-t 5"], ["run"]])
def test_an_option_it_does_not_know_is_left_to_mlflow(more: list[str], serve: ModuleType) -> None:
    with pytest.raises(serve.Unknown):
        serve.server([*mlflow().args[2:], *more])


def test_an_option_that_is_missing_is_left_to_mlflow(serve: ModuleType) -> None:
    with pytest.raises(serve.Unknown):
        serve.server(["--port", "5000"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true"),
        ("MLFLOW_STATIC_PREFIX", "/ml"),
        ("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true"),
    ],
)
def test_a_variable_that_changes_the_start_is_left_to_mlflow(
    name: str, value: str, serve: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(serve.Unknown):
        serve.server(list(mlflow().args[2:]))
