"""A trace is read from the place that the server gives it, whatever its tags say, and no writer sets those tags.

MLflow keeps the place in a tag that whoever may write the trace can change, and reads from there with its own rights.
What was spent on the AI gateway it adds up from all traces that say that they are the gateway's.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends import locations, places, signatures
from mlflow_sso.mends.callers import plain
from mlflow_sso.mends.refusals import denied, invalid

# Where its data lies, and what else the server alone says of a trace.
PLACE, ARCHIVE, SPANS = "mlflow.artifactLocation", "mlflow.trace.archiveLocation", "mlflow.trace.spansLocation"
FAILURE = "mlflow.trace.archivalFailure"
OWN_TAGS = frozenset({PLACE, ARCHIVE, SPANS, FAILURE})
# What the gateway says of its own traces: budgets count a trace with the first, of whom the second names.
_COUNTED = frozenset({"mlflow.gateway.endpointId", "mlflow.auth.username", "mlflow.auth.userId"})


def _in_its_place(original: Callable[..., str]) -> Callable[..., str]:
    @wraps(original)
    def place(info: Any) -> str:
        from mlflow.server import handlers

        told = original(info)
        trace = getattr(info, "trace_id", None) or getattr(info, "request_id", None)
        experiment = handlers._get_tracking_store().get_experiment(info.experiment_id)
        locations.use_experiment(experiment)
        if not places.is_trace_id(trace) or told != places.trace_place(experiment.artifact_location, str(trace)):
            raise denied("The data of this trace is not where the server keeps traces of its experiment.")
        return told

    return place


def _archives() -> list[str]:
    """Below which addresses the server archives traces, and archived them by the operator's word."""
    from mlflow.tracing.trace_archival_config import get_trace_archival_server_config

    config = get_trace_archival_server_config()
    return [*([config.location] if config and config.location else []), *places.allowed()]


def is_archive(address: str | None, trace: str) -> bool:
    return any(places.is_archive_of(address or "", archive, trace) for archive in _archives())


def _in_its_archive(original: Callable[..., str]) -> Callable[..., str]:
    @wraps(original)
    def place(info: Any) -> str:
        told = original(info)
        if not is_archive(told, info.trace_id):
            raise denied("This trace is not where the server archives traces.")
        return told

    return place


def _own_archives_only(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def select(self: Any, **named: Any) -> Any:
        """What lies elsewhere is not deleted with its trace."""
        return [
            each
            if is_archive(each.archived_artifact_uri, each.trace_id)
            else type(each)(trace_id=each.trace_id, archived_artifact_uri=None)
            for each in original(self, **named)
        ]

    return select


def without_own(tags: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The tags that a writer may set. Clients of MLflow 2 send back what they were told, which changes nothing.

    known: what the server says by itself. Raises MlflowException, which is answered with 400.
    """
    for key in sorted(OWN_TAGS & set(tags)):
        if tags[key] != known.get(key):
            raise invalid(f"Tag '{key}' is the server's and cannot be set on a trace.")
    return {key: value for key, value in tags.items() if key not in OWN_TAGS}


def _uncounted(metadata: dict[str, str]) -> dict[str, str]:
    """What a writer may say of a trace. Copies of the gateway's traces say what those said, and were not called."""
    from flask import has_request_context

    # Outside of Flask the gateway itself writes, for whoever called it.
    if not _COUNTED & set(metadata) or not has_request_context() or not plain():
        return metadata
    return {key: value for key, value in metadata.items() if key not in _COUNTED}


def _known(store: Any, trace: str) -> dict[str, str]:
    """The tags of a trace that is there; of one that is not, none."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(store.get_trace_info(trace).tags)
    except MlflowException:
        return {}


def _start(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def start_trace(self: Any, trace_info: Any) -> Any:
        if not places.is_trace_id(trace_info.trace_id):
            raise invalid("Invalid trace_id: up to 50 letters, digits, '-' and '_' make one.")
        if OWN_TAGS & set(trace_info.tags):
            trace_info.tags = without_own(trace_info.tags, _known(self, trace_info.trace_id))
        trace_info.trace_metadata = _uncounted(trace_info.trace_metadata)
        signatures.hold_assessments(self, trace_info.trace_id, trace_info.assessments)
        return original(self, trace_info)

    return start_trace


def _start_v2(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def start(
        self: Any, experiment_id: str, timestamp_ms: int, request_metadata: dict[str, str], tags: dict[str, str]
    ) -> Any:
        return original(self, experiment_id, timestamp_ms, _uncounted(request_metadata), without_own(tags, {}))

    return start


def _end_v2(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def end(
        self: Any,
        request_id: str,
        timestamp_ms: int,
        status: Any,
        request_metadata: dict[str, str],
        tags: dict[str, str],
    ) -> Any:
        if OWN_TAGS & set(tags):
            tags = without_own(tags, _known(self, request_id))
        return original(self, request_id, timestamp_ms, status, _uncounted(request_metadata), tags)

    return end


def refuse_own_tags(spans: Iterable[Any]) -> None:
    """Spans carry tags of their trace as attributes. Raises MlflowException, which is answered with 400."""
    for span in spans:
        if span.parent_id is None:
            for key in OWN_TAGS:
                if f"mlflow.traceTag.{key}" in (span._span.attributes or ()):
                    raise invalid(f"Tag '{key}' is the server's and cannot be set on a trace.")


def install() -> None:
    from mlflow.genai.scorers.online import trace_loader
    from mlflow.server import handlers
    from mlflow.store.tracking import sqlalchemy_store
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for reader in (handlers, trace_loader):
        upstream.replace(reader, "get_artifact_uri_for_trace", "b4958bf794e16ee4", _in_its_place)
    for reader in (handlers, sqlalchemy_store):
        upstream.replace(reader, "get_archive_uri_for_trace", "c748519dea6ce508", _in_its_archive)
    upstream.replace(SqlAlchemyStore, "_select_archived_traces_for_delete", "e7b6bcc7cc6279a7", _own_archives_only)
    upstream.replace(SqlAlchemyStore, "start_trace", "473390950ede4b7b", _start)
    upstream.replace(SqlAlchemyStore, "deprecated_start_trace_v2", "bb565a6eac47bb5d", _start_v2)
    upstream.replace(SqlAlchemyStore, "deprecated_end_trace_v2", "50f6665f9f2eebd7", _end_v2)
    upstream.reads(SqlAlchemyStore, "_get_trace_artifact_location_tag", "507305f468b642d4")
    upstream.reads(SqlAlchemyStore, "sum_gateway_trace_cost", "5e45c41d98190169")
    upstream.reads(SqlAlchemyStore, "_archive_trace_candidate", "dfee639f62cd9476")
    upstream.reads(handlers, "_validate_trace_tag_handler_mutation", "ba685e3235d39f3b")
    blocked = sorted(handlers._HANDLER_BLOCKED_TRACE_TAGS)
    upstream.holds("handlers._HANDLER_BLOCKED_TRACE_TAGS", blocked, sorted(OWN_TAGS - {PLACE}))
    handlers._HANDLER_BLOCKED_TRACE_TAGS |= {PLACE}
