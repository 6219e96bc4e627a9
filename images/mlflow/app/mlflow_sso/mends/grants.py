"""What was granted, to whom and until when, is what the plugin goes by.

The registry of MCP servers is read by whom it is granted to, or by all where DEFAULT_MLFLOW_PERMISSION says so: while
workspaces are off the plugin shows each server without a grant of its own to everybody, whatever the default is.

A group's grants on the gateway by pattern are shown and taken away: the plugin hands the number of such a grant to its
store as the group's name, and the name as the number, so that neither is found. A grant that is not there is 404, of
every kind.

A run names as used only logged models that its writer may read, and as made only those that they may change. The plugin
asks for the run alone. A scorer that a request names is run and shown for whom it is granted to, where the plugin asks
for its experiment, and names an endpoint that its maker may use. The bindings of endpoints are shown of one that its
reader may read, where the plugin takes a name that MLflow does not look at.

A version marks the logged model that it is made of, and a run that is deleted takes with it assessments that name it,
where the maker or the deleter may change those. MLflow asks nobody.

Nobody gets more rights on something by a new name for it: patterns go by names, and EDIT is enough to give one.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial, wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends.callers import caller, may, plain
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


def _has(right: str, model: str) -> bool:
    """Whether who asks has a right on a logged model; on one that is not there nobody but administrators has."""
    from mlflow_oidc_auth.validators._referenced import referenced_logged_model_permission

    asking = caller()
    if asking is None or asking.administrator:
        return True
    return bool(getattr(referenced_logged_model_permission(model, asking.name), right))


def _require(right: str, models: Iterable[Any] | None) -> None:
    """What is not there is refused in the same words. Raises MlflowException, which is answered with 403."""
    for each in dict.fromkeys(str(model.model_id) for model in models or ()):
        if not _has(right, each):
            raise denied("Permission denied for a logged model that the request names.")


def _mark(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def set_model_versions_tags(self: Any, name: str, version: str, model_id: str) -> None:
        """A version of a model that its maker may only read is made, and leaves that model as it is."""
        if not _has("can_update", model_id):
            return
        # The version is there already, and the tag is whatever the model's owner wrote into it.
        with suppress(TypeError, ValueError, RecursionError):
            original(self, name=name, version=version, model_id=model_id)

    return set_model_versions_tags


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


def _endpoint(serialized: str) -> str | None:
    """The endpoint of the AI gateway that a scorer calls, by its name; None also for what is no scorer."""
    from mlflow.genai.scorers import scorer_utils

    # MLflow refuses what cannot be read in its own words.
    with suppress(AttributeError, KeyError, TypeError, ValueError, RecursionError):
        model = scorer_utils.extract_model_from_serialized_scorer(json.loads(serialized))
        return str(scorer_utils.extract_endpoint_ref(model)) if scorer_utils.is_gateway_model(model) else None
    return None


def _register(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def register_scorer(self: Any, experiment_id: str, name: str, serialized_scorer: str) -> Any:
        from mlflow.exceptions import MlflowException
        from mlflow_oidc_auth.utils.permissions import can_use_gateway_endpoint

        asking = caller()
        endpoint = _endpoint(serialized_scorer) if plain() else None
        if asking is not None and endpoint is not None and not can_use_gateway_endpoint(endpoint, asking.name):
            try:
                named = _endpoint(self.get_scorer(experiment_id, name)._serialized_scorer)
            except MlflowException:
                named = None
            # A further version may name what the scorer named before.
            if named != endpoint:
                raise denied("Permission denied for an endpoint of the AI gateway that the scorer names.")
        return original(self, experiment_id, name, serialized_scorer)

    return register_scorer


def _bindings(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def list_endpoint_bindings(self: Any, endpoint_id: str | None = None, **named: Any) -> Any:
        if endpoint_id is None and plain():
            raise denied("The bindings of all endpoints are for administrators: name one by endpoint_id.")
        return original(self, endpoint_id=endpoint_id, **named)

    return list_endpoint_bindings


def _delete_run(original: Callable[..., None]) -> Callable[..., None]:
    """As MLflow does it, but for assessments of traces that the deleter may not change."""

    @wraps(original)
    def mark_run_deleted(self: Any, session: Any, run: Any) -> None:
        if not plain():
            original(self, session, run)
            return
        from mlflow.entities import LifecycleStage
        from mlflow.store.tracking.dbmodels.models import SqlAssessments, SqlTraceInfo
        from mlflow.tracing.constant import AssessmentMetadataKey
        from mlflow.utils.time import get_current_time_millis
        from sqlalchemy import select

        text = f'"{AssessmentMetadataKey.SOURCE_RUN_ID}": "{run.run_uuid}"'
        naming = SqlAssessments.assessment_metadata.contains(text)
        of_trace = SqlAssessments.trace_id == SqlTraceInfo.request_id
        experiments = session.query(SqlTraceInfo.experiment_id).join(SqlAssessments, of_trace).filter(naming).distinct()
        own = [each for (each,) in experiments if may("can_update", str(each))]
        taken = naming & SqlAssessments.trace_id.in_(
            select(SqlTraceInfo.request_id).where(SqlTraceInfo.experiment_id.in_(own))
        )
        if own:
            self._enqueue_assessment_rebuilds_for_filter(session, taken)
            session.query(SqlAssessments).filter(taken).delete(synchronize_session=False)
        run.lifecycle_stage = LifecycleStage.DELETED
        run.deleted_time = get_current_time_millis()
        session.add(run)

    return mark_run_deleted


_RIGHTS = ("can_read", "can_use", "can_update", "can_delete", "can_manage")


def gains(now: Any, then: Any) -> bool:
    """Whether a new name gives somebody rights. now, then: what the plugin says of the old name and of the new one.

    Also where a grant on the thing itself stands before the pattern: it may be taken back later.
    """
    return any(getattr(then.permission, each) and not getattr(now.permission, each) for each in _RIGHTS)


def _hold_name(now: Callable[[str], Any], then: Callable[[str], Any]) -> None:
    """now, then: what the plugin says of the old name and of the new one, for a user."""
    asking = caller()
    if asking is None or asking.administrator:
        return
    if gains(now(asking.name), then(asking.name)):
        raise denied("By this name a pattern would give you more rights than you have.")


def _rename_experiment(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def rename_experiment(self: Any, experiment_id: str, new_name: str) -> None:
        from mlflow_oidc_auth.utils import permissions

        _hold_name(
            lambda user: permissions.effective_experiment_permission(str(experiment_id), user),
            lambda user: permissions.effective_new_experiment_permission(new_name, user),
        )
        original(self, experiment_id, new_name)

    return rename_experiment


def _rename_model(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def rename_registered_model(self: Any, name: str, new_name: str) -> Any:
        from mlflow_oidc_auth.utils import permissions, prompt_kind

        def then(user: str) -> Any:
            prompt = prompt_kind.is_prompt(name)
            new = "effective_new_prompt_permission" if prompt else "effective_new_registered_model_permission"
            return getattr(permissions, new)(new_name, user)

        _hold_name(lambda user: prompt_kind.effective_registry_permission(name, user), then)
        return original(self, name, new_name)

    return rename_registered_model


def _rename_in_gateway(key: str, kind: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """key: by which the handler says what to update. kind: what that is, as functions spell it."""

    def by(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def update(self: Any, **named: Any) -> Any:
            from mlflow_oidc_auth.utils import permissions

            new = named.get("name")
            old = getattr(self, f"get_{kind}")(**{key: named[key]}).name if new and plain() else new
            if old != new:
                ask = getattr(permissions, f"effective_{kind}_permission")
                _hold_name(partial(ask, old), partial(ask, new))
            return original(self, **named)

        return update

    return by


def install() -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.gateway.sqlalchemy_mixin import SqlAlchemyGatewayStoreMixin as Endpoints
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
    upstream.replace(SqlAlchemyStore, "register_scorer", "3dc4d7fcc5bd8e7d", _register)
    upstream.replace(SqlAlchemyStore, "set_model_versions_tags", "e04d635a62d4cf33", _mark)
    upstream.replace(SqlAlchemyStore, "_mark_run_deleted", "85d9833b39cd96bd", _delete_run)
    upstream.replace(Endpoints, "list_endpoint_bindings", "42417058e2bf37f5", _bindings)
    upstream.replace(SqlAlchemyStore, "rename_experiment", "38adad225822d5ae", _rename_experiment)
    upstream.replace(Registry, "rename_registered_model", "a403ed85831c993f", _rename_model)
    for key, kind, known in (
        ("endpoint_id", "gateway_endpoint", "6ed31111cc282f0b"),
        ("model_definition_id", "gateway_model_definition", "e27b9c7e2ce122dc"),
    ):
        upstream.replace(Endpoints, f"update_{kind}", known, _rename_in_gateway(key, kind))
    upstream.replace(_permission_routes, "mlflow_error_status", "0a6cb6c744457eba", _status)
