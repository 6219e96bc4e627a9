"""The server reads and writes where its operator says, not where a plain user says.

Whoever may make an experiment could choose any address for it, of the server's own disk too. Administrators still may;
others only what MLFLOW_SSO_ARTIFACT_LOCATIONS allows. What was made before is looked at as it is used.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends import places
from mlflow_sso.mends.callers import may, plain
from mlflow_sso.mends.refusals import denied


def _refusal(text: str) -> Exception:
    return denied(f"{text} Its operator allows more by {places.ALLOWED}.")


def _choice(named: str, at: int, free: frozenset[str] = frozenset()) -> Callable[..., Any]:
    """For a function that takes an address which a plain user may not choose. at: its position behind `self`."""

    def by(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def choose(*args: Any, **more: Any) -> Any:
            given = more[named] if named in more else args[at] if len(args) > at else None
            if given and given not in free and plain() and not places.is_below(str(given), places.allowed()):
                raise _refusal(f"Only administrators choose {named}: the server chooses it for others.")
            return original(*args, **more)

        return choose

    return by


def _own() -> list[str]:
    """Where plain users' artifacts may lie."""
    from mlflow.server import handlers

    root = getattr(handlers._get_tracking_store(), "artifact_root_uri", "")
    return [*([root] if root else []), *places.allowed()]


def _use(address: str) -> None:
    if plain() and not places.is_below(address, _own()):
        raise _refusal("These artifacts lie outside of the server's artifact store, which is for administrators.")


def use_experiment(experiment: Any) -> None:
    """For what lies below an experiment's own place, which is not another experiment's. Raises MlflowException."""
    from mlflow.server import handlers

    own = handlers._get_tracking_store()._get_artifact_location(experiment.experiment_id)
    place = experiment.artifact_location
    if plain() and place != own and not places.is_below(place, places.allowed()):
        raise _refusal("This experiment lies where the server would not put it, which is for administrators.")


def _at_use(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def use(artifact_uri: str) -> Any:
        _use(artifact_uri)
        return original(artifact_uri)

    return use


def _at_proxied_use(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def use(proxied_artifact_root: str, relative_path: str | None = None) -> Any:
        if plain() and not places.is_clear(proxied_artifact_root):
            raise _refusal("These artifacts have an address that can be read in more than one way.")
        return original(proxied_artifact_root, relative_path)

    return use


def _promptlab(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def create(store: Any, experiment_id: str, **more: Any) -> Any:
        use_experiment(store.get_experiment(experiment_id))
        return original(store, experiment_id=experiment_id, **more)

    return create


def _source(original: Callable[..., Any]) -> Callable[..., Any]:
    """MLflow and the plugin hold the source of a version against runs and models; other stores they let through."""

    @wraps(original)
    def create(self: Any, name: str, source: str, *args: Any, **more: Any) -> Any:
        from mlflow.server import handlers

        placeholder = source in handlers._PROMPT_SOURCE_PLACEHOLDERS
        if plain() and not placeholder and not source.startswith(("models:/", "runs:/")):
            _use(source)
        return original(self, name, source, *args, **more)

    return create


def _run_of_model(original: Callable[..., Any]) -> Callable[..., Any]:
    """A logged model names the run that it is of: one that its maker may change."""

    @wraps(original)
    def create(self: Any, *args: Any, **named: Any) -> Any:
        from mlflow_oidc_auth.utils import get_run_experiment_id

        run = named.get("source_run_id")
        if run and plain() and not may("can_update", get_run_experiment_id(self, run)):
            raise denied("source_run_id names a run that you may not change.")
        return original(self, *args, **named)

    return create


def install() -> None:
    from mlflow.server import handlers
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    upstream.replace(SqlAlchemyStore, "create_experiment", "df943c402a00a679", _choice("artifact_location", 2))
    for name, named, digest in (
        ("_validate_workspace_default_artifact_root", "default_artifact_root", "f20cd8e0a0e00e1d"),
        ("_validate_workspace_trace_archival_location", "trace_archival_config.location", "73516e885626cf17"),
    ):
        upstream.replace(handlers, name, digest, _choice(named, 0))
    upstream.replace(Registry, "create_model_version", "7f6d1cc49b017ba2", _source)
    upstream.replace(handlers, "_get_artifact_repository_for_uri", "bc606dff41dbf5e8", _at_use)
    upstream.replace(handlers, "_get_proxied_run_artifact_destination_path", "dfb0ae0423f33842", _at_proxied_use)
    upstream.replace(handlers, "_create_promptlab_run_impl", "9af1480d0913b791", _promptlab)
    upstream.replace(SqlAlchemyStore, "create_logged_model", "2ef05c604b1b3896", _run_of_model)
    upstream.reads(handlers, "upload_artifact_handler", "f6e652462579a5fe")
    upstream.reads(handlers, "_list_artifacts_for_proxied_run_artifact_root", "9f732a4eae9c6784")
