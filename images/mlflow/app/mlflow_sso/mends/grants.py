"""What was granted, to whom and until when, is what the plugin goes by.

The registry of MCP servers is read by whom it is granted to, or by all where DEFAULT_MLFLOW_PERMISSION says so: while
workspaces are off the plugin shows each server without a grant of its own to everybody, whatever the default is.

A group's grants on the gateway by pattern are shown and taken away: the plugin hands the number of such a grant to its
store as the group's name, and the name as the number, so that neither is found. A grant that is not there is 404, of
every kind.

A run names as used only logged models that its writer may read, and as made only those that they may change. The plugin
asks for the run alone. A scorer that a request names is run and shown for whom it is granted to, where the plugin asks
for its experiment.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends.callers import caller
from mlflow_sso.mends.refusals import denied


def _may_read(original: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    @wraps(original)
    def may_read(name: str, username: str) -> bool:
        from mlflow_oidc_auth.utils.permissions import effective_mcp_server_permission

        return bool(effective_mcp_server_permission(name, username).permission.can_read)

    return may_read


def in_order(group_name: Any, id: Any) -> tuple[Any, Any]:
    """A name and a number, whichever came first: a name is a text, and a number is none."""
    return (id, group_name) if isinstance(group_name, int) and isinstance(id, str) else (group_name, id)


def _ordered(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(self: Any, group_name: Any, id: Any) -> Any:
        return original(self, *in_order(group_name, id))

    return call


def _status(original: Callable[[Exception], int | None]) -> Callable[[Exception], int | None]:
    @wraps(original)
    def status(error: Exception) -> int | None:
        from sqlalchemy.exc import NoResultFound

        return 404 if isinstance(error, NoResultFound) else original(error)

    return status


def _require(right: str, models: Iterable[Any] | None) -> None:
    """What is not there is refused in the same words. Raises MlflowException, which is answered with 403."""
    from mlflow_oidc_auth.validators._referenced import referenced_logged_model_permission

    asking = caller()
    if asking is None or asking.administrator:
        return
    for each in dict.fromkeys(str(model.model_id) for model in models or ()):
        if not getattr(referenced_logged_model_permission(each, asking.name), right):
            raise denied("Permission denied for a logged model that the request names.")


def _inputs(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def log_inputs(self: Any, run_id: str, datasets: Any = None, models: Any = None) -> None:
        _require("can_read", models)
        original(self, run_id, datasets, models)

    return log_inputs


def _outputs(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def log_outputs(self: Any, run_id: str, models: Any) -> None:
        _require("can_update", models)
        original(self, run_id, models)

    return log_outputs


def _scorer(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def get_scorer(self: Any, experiment_id: Any, name: Any, version: Any = None) -> Any:
        from mlflow_oidc_auth.utils.permissions import effective_scorer_permission

        asking = caller()
        if asking is not None and not asking.administrator:
            found = effective_scorer_permission(str(experiment_id), str(name), asking.name)
            if not found.permission.can_read:
                raise denied("Permission denied for a scorer that the request names.")
        return original(self, experiment_id, name, version)

    return get_scorer


def install() -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow_oidc_auth.middleware import mcp_server_registry
    from mlflow_oidc_auth.repository._base import BaseGroupRegexPermissionRepository as Patterns
    from mlflow_oidc_auth.routers import _permission_routes

    upstream.replace(mcp_server_registry, "_may_read", "1074859c1b118fd7", _may_read)
    upstream.replace(Patterns, "get", "afe5325b398205ee", _ordered)
    upstream.replace(Patterns, "revoke", "96ce4e55d9540448", _ordered)
    upstream.replace(SqlAlchemyStore, "log_inputs", "33726efe206fc7b8", _inputs)
    upstream.replace(SqlAlchemyStore, "log_outputs", "a77d94f0427240eb", _outputs)
    upstream.replace(SqlAlchemyStore, "get_scorer", "4e7a9e7e4b99ed65", _scorer)
    upstream.replace(_permission_routes, "mlflow_error_status", "0a6cb6c744457eba", _status)
