"""OpenTelemetry's intake writes into traces and runs that its caller may write into, and holds no more than it should.

The plugin asks for the experiment that a header names. The spans themselves name traces, which may be another
experiment's, and another header names a run. Bodies were decompressed without a bound, on the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.guard import inflation, spans
from mlflow_sso.mends import traces
from mlflow_sso.mends.refusals import denied


def _log_spans(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def log_spans(self: Any, location: str, spans: list[Any], tracking_uri: str | None = None) -> Any:
        traces.refuse_own_tags(spans)
        ids = sorted({span.trace_id for span in spans})
        for info in self.batch_get_trace_infos(ids) if ids else ():
            if str(info.experiment_id) != str(location):
                raise denied(f"Trace '{info.trace_id}' is of another experiment, which takes no spans from this one.")
        return original(self, location, spans, tracking_uri)

    return log_spans


def _may(right: str, experiment: str, username: str) -> bool:
    from mlflow_oidc_auth.utils import effective_experiment_permission

    return bool(getattr(effective_experiment_permission(experiment, username).permission, right))


def _validator(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def get_validator(path: str) -> Callable[[str, Any], Awaitable[bool]]:
        asked = original(path)

        async def validate(username: str, request: Any) -> bool:
            if not await asked(username, request):
                return False
            for run in request.headers.getlist("x-mlflow-run-id"):
                from mlflow.server.handlers import _get_tracking_store
                from mlflow_oidc_auth.utils import get_run_experiment_id

                # A run that is not there raises, which the plugin answers with 403.
                if run and not _may("can_update", get_run_experiment_id(_get_tracking_store(), run), username):
                    return False
            return True

        return validate

    return get_validator


def _link(original: Callable[[str], bool]) -> Callable[[str], bool]:
    @wraps(original)
    def validate(username: str) -> bool:
        """Beside UPDATE on the run: READ on the experiment of each trace that is linked to it."""
        from mlflow.exceptions import MlflowException
        from mlflow_oidc_auth.validators import trace

        if not original(username):
            return False
        try:
            experiments = {trace._experiment_for_trace(each) for each in trace._all_trace_ids_from_batch()}
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise  # What could not be looked up is no refusal.
            return False
        return all(_may("can_read", experiment, username) for experiment in experiments)

    return validate


def _body(data: bytes, encoding: str) -> bytes:
    """Raises HTTPException as MLflow does, and 413 for what is too much."""
    from fastapi import HTTPException

    most = inflation.bound()
    try:
        return inflation.inflate(data, encoding, most)
    except inflation.TooMuch:
        raise HTTPException(413, f"The body has more than {most} bytes when it is decompressed") from None
    except inflation.Unreadable:
        raise HTTPException(400, f"Failed to decompress {encoding} payload") from None
    except KeyError:
        raise HTTPException(400, f"Unsupported Content-Encoding: {encoding}") from None


def _too_much(what: str) -> Exception:
    from fastapi import HTTPException

    refusal: Exception = HTTPException(413, f"The body has more than {what}")
    return refusal


def _converted(original: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    @wraps(original)
    def convert(body: bytes) -> bytes:
        if spans.has_many_values(body):
            raise _too_much(f"{spans.VALUES} objects and arrays")
        try:
            return original(body)
        except (AttributeError, KeyError, TypeError) as error:
            # MLflow answers a ValueError with 400.
            raise ValueError("the body is no JSON of OTLP's") from error

    return convert


def _counted(original: Callable[[], Any]) -> type:
    class Request:
        """OTLP's message as MLflow reads it: what it holds is counted before, its spans before they become objects."""

        def __init__(self) -> None:
            self.message = original()

        def ParseFromString(self, body: bytes) -> None:
            if spans.has_many_fields(body):
                raise _too_much(f"{spans.FIELDS} fields")
            self.message.ParseFromString(body)

        @property
        def resource_spans(self) -> Any:
            found = self.message.resource_spans
            if sum(len(scope.spans) for each in found for scope in each.scope_spans) > spans.SPANS:
                raise _too_much(f"{spans.SPANS} spans")
            return found

    return Request


def _parsed(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def parse(body: bytes, request: Any, **more: Any) -> None:
        original(body, request.message, **more)

    return parse


def _in_a_thread(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """MLflow's endpoint, which decompresses and parses in between its awaits, away from everybody else's loop."""

    @wraps(endpoint)
    async def export(request: Any, **named: Any) -> Any:
        await request.body()  # Kept by the request, so that the endpoint does not wait for this loop's socket.
        return await asyncio.to_thread(lambda: asyncio.run(endpoint(request=request, **named)))

    return export


def install() -> None:
    from mlflow.server import otel_api
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow_oidc_auth.hooks import before_request
    from mlflow_oidc_auth.middleware import fastapi_permission_middleware as middleware

    inflation.bound()
    upstream.replace(SqlAlchemyStore, "log_spans", "b23fdea8f52b80c1", _log_spans)
    upstream.replace(middleware, "_get_otel_validator", "7da642a8dab735db", _validator)
    upstream.replace(otel_api, "decompress_otlp_body", "b2e9b7dcccd57116", lambda _: _body)
    upstream.reads(otel_api, "export_traces", "74519731a555e486")
    upstream.replace(otel_api, "_convert_otlp_json_ids_to_base64", "1f3a96fb5739bd04", _converted)
    # Two names of the module's that `export_traces` reads, and nothing of MLflow's own.
    otel_api.ExportTraceServiceRequest = _counted(otel_api.ExportTraceServiceRequest)
    otel_api.ParseJsonProto = _parsed(otel_api.ParseJsonProto)
    (route,) = otel_api.otel_router.routes
    # FastAPI puts the plugin's copy of this route together at the first request.
    route.endpoint = route.dependant.call = _in_a_thread(otel_api.export_traces)
    name = "validate_can_update_trace_from_run_id"
    upstream.replace_listed(before_request, "BEFORE_REQUEST_VALIDATORS", name, "5358b884fff26583", _link)
