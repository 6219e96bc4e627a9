"""`mlflow server` without a second copy of the server.

MLflow's own command imports the whole server only to compute the command line and the environment of another process,
which imports it again: seconds of a processor at each start, and memory for as long as the server runs. For the options
that the stack uses, this computes the same and becomes that process; anything else goes to MLflow's own command.
`serve_check.py` holds the two against each other as the image is built.

Source: `mlflow.cli.server`, `mlflow.server._run_server` and `mlflow.server.constants` of the MLflow in the image.
"""

import argparse
import os
import shlex
import sys
import uuid
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn

# Variables by which MLflow's command knows more options; of these this knows nothing.
OTHERS = (
    "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT",
    "MLFLOW_ARTIFACTS_ONLY",
    "MLFLOW_SERVE_ARTIFACTS",
    "MLFLOW_STATIC_PREFIX",
    "MLFLOW_GUNICORN_OPTS",
    "MLFLOW_UVICORN_OPTS",
    "MLFLOW_EXPOSE_PROMETHEUS",
    "MLFLOW_TRACE_ARCHIVAL_CONFIG",
    "MLFLOW_WORKSPACE_STORE_URI",
    "MLFLOW_ENABLE_WORKSPACES",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
    "MLFLOW_SQL_TRACE_ROLLUPS_ENABLED",
)


class Unknown(Exception):
    """Asked for something that only MLflow's own command knows."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Unknown(message)


def server(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command of the server and the variables it needs beside those that are there. Raises Unknown."""
    env = os.environ
    if env.get("MLFLOW_SERVER_ENABLE_JOB_EXECUTION") != "false" or any(name in env for name in OTHERS):
        raise Unknown("a variable")
    parser = _Parser(add_help=False, allow_abbrev=False)
    for option in ("app-name", "host", "port", "workers", "artifacts-destination"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--expose-prometheus")
    parser.add_argument("--uvicorn-opts", default="")
    given = parser.parse_args(words)
    (app,) = entry_points(group="mlflow.app", name=given.app_name)
    packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    command = [
        sys.executable, "-m", "uvicorn", *shlex.split(given.uvicorn_opts),
        "--log-config", str(Path(sys.prefix, packages, "mlflow/server/uvicorn_log_config.yaml")),
        "--host", given.host, "--port", given.port, "--workers", given.workers, app.value,
    ]  # fmt: skip
    store = env["MLFLOW_BACKEND_STORE_URI"]
    more = {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        # Without these, what asks for a store before the first call of the tracking API waits for a file of SQLite's.
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_REGISTRY_URI": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": given.artifacts_destination,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_ENABLE_WORKSPACES": "false",
        "MLFLOW_SERVER_SECRETS_CACHE_TTL": "60",
        "MLFLOW_SERVER_SECRETS_CACHE_MAX_SIZE": "1000",
        "MLFLOW_SERVER_X_FRAME_OPTIONS": env.get("MLFLOW_SERVER_X_FRAME_OPTIONS", "SAMEORIGIN"),
    }
    if given.expose_prometheus:
        more["prometheus_multiproc_dir"] = given.expose_prometheus
    return command, more


if __name__ == "__main__":
    try:
        command, more = server(sys.argv[1:])
    except Unknown:
        os.execvp("mlflow", ["mlflow", "server", *sys.argv[1:]])  # noqa: S606
    os.execve(command[0], command, {**os.environ, **more})  # noqa: S606
