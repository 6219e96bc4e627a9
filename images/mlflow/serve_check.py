"""Holds serve.py against MLflow's own command; run once, as the image is built, which fails where they differ."""

import contextlib
import itertools
import os
import sys

import mlflow
import mlflow.server
import mlflow.server.handlers
from mlflow.cli import cli

sys.path.insert(0, "/opt/mlflow")
import mlflow_sso.databases
import mlflow_sso.gc.rows
import mlflow_sso.jobs.runner
import mlflow_sso.upstream
import serve
from mlflow_sso import app  # noqa: F401  It fails where the plugin mounts Flask in another way.

# isort: split
# After `app`, as in the server: the plugin makes an engine as it is imported.
from fastapi.routing import iter_route_contexts
from mlflow_oidc_auth.app import app as plugin
from mlflow_oidc_auth.middleware.route_path import UNPROTECTED_EXACT, UNPROTECTED_PREFIXES
from mlflow_oidc_auth.store import store
from mlflow_sso.guard.routes import Kind, kind
from mlflow_sso.shortcuts.ways import Ways

mlflow_sso.gc.rows.reads()
mlflow_sso.jobs.runner.reads()
differences = list(mlflow_sso.upstream.changed())
assert not differences, "\n".join(differences)

# The plugin's engine is bounded as MLflow's is: nothing that made it came before.
assert store.engine._compiled_cache.capacity == mlflow_sso.databases.STATEMENTS, "the plugin's engine is not bounded"

# What the plugin lets anybody ask has no body, but for SCIM, which has a token of its own.
for path in (*UNPROTECTED_PREFIXES, *UNPROTECTED_EXACT):
    assert kind("POST", path) in (Kind.OPEN, Kind.DIRECTORY), f"the guard takes {path} for a page that needs a login"

# Of the routes that the router asks before Flask's, none goes past them; what clients call most goes straight.
ways = Ways(plugin.routes[:-1])
for route in iter_route_contexts(plugin.routes[:-1]):
    assert not ways.to_flask({"type": "http", "path": route.path_format}), f"{route.path_format} is not Flask's"
for path in ("experiments/get", "runs/log-batch", "runs/search", "runs/create", "logged-models/search"):
    assert ways.to_flask({"type": "http", "path": f"/api/2.0/mlflow/{path}"}), f"{path} takes the long way to Flask"

# Always overruled by an option, or read again by the server itself.
HANDLED = {
    *("MLFLOW_HOST", "MLFLOW_PORT", "MLFLOW_WORKERS", "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_BACKEND_STORE_URI"),
    *("MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "MLFLOW_SERVER_X_FRAME_OPTIONS"),
}


def own(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """What MLflow's command would start, and with which changes to the environment."""
    before, started = dict(os.environ), []
    # It opens its stores once in a process, and leaves their addresses in the environment.
    mlflow.server.handlers._tracking_store = mlflow.server.handlers._model_registry_store = None
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    mlflow.server._exec_cmd = lambda command, extra_env, **_: started.append((command, extra_env)) or sys.exit()
    with contextlib.suppress(SystemExit):
        cli.main(["server", *words])
    (command, extra), changed = started[0], {k: v for k, v in os.environ.items() if before.get(k) != v}
    os.environ.clear()
    os.environ.update(before)
    return list(map(str, command)), {**changed, **extra}


os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
os.environ["MLFLOW_BACKEND_STORE_URI"] = "sqlite:////tmp/serve-check.db"
options = cli.commands["server"].params
variables = {
    name for option in options for name in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or [])
}
unknown = sorted(variables - set(serve.OTHERS) - HANDLED)
assert not unknown, f"serve.py knows nothing of {unknown}"

common = ["--app-name", "mlflow-sso", "--host", "0.0.0.0", "--port", "5000"]
choices = (
    (["--workers", "1"], ["--workers", "4"]),
    ([], ["--expose-prometheus", "/tmp/metrics"]),
    (["--artifacts-destination", "/mlflow/artifacts"], ["--artifacts-destination", "s3://bucket/prefix"]),
    ([], ["--uvicorn-opts", "--ssl-certfile /a --ssl-keyfile /b"]),
)
for chosen in itertools.product(*choices):
    words = [*common, *itertools.chain(*chosen)]
    (command, env), (expected, expected_env) = serve.server(words), own(words)
    for each in (env, expected_env):
        each["_MLFLOW_SERVER_BOOT_ID"] = "made anew at each start"
    assert command == expected, f"{command}\nis not\n{expected}"
    assert env == expected_env, f"{env}\nis not\n{expected_env}"
