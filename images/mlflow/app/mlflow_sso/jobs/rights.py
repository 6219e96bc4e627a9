"""A job asks the AI gateway as whoever started it, and asks no model past the gateway.

MLflow has a token for jobs with its own login alone; under any other, a judge's call is a stranger's. And it takes
models that a job is to call by itself, with keys of the server's: those are refused as the job is started.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.jobs import key
from mlflow_sso.jobs.tickets import is_ticket, job_of
from mlflow_sso.mends.refusals import invalid

Known = tuple[bool, str | None, str]

_GATEWAY = "/gateway/"
_PAST = "Jobs here call models through the AI gateway alone: name an endpoint of it, as 'gateway:/NAME'."
_GIVEN = "Jobs here are given no secret: name an endpoint of the AI gateway in the place of one."
_PROMPTS = "Prompts are not optimized here: MLflow calls the models for it past the AI gateway."
_NEW_TRACES = (
    "Scorers do not run by themselves on new traces here: MLflow keeps nobody in whose name they would call their "
    "model. Start them on traces that are there."
)
# How many jobs of one user wait at once; one is of up to a hundred traces.
MOST_WAITING = 100
# Whether a ticket said who asks.
_by_ticket: ContextVar[bool] = ContextVar("mlflow_sso_ticket", default=False)


def shown(header: str) -> str | None:
    """The ticket in a header `Authorization` (RFC 7617); None for everything else."""
    scheme, _, word = header.partition(" ")
    if scheme != "Basic":
        return None
    try:
        _, _, password = base64.b64decode(word, validate=True).decode().partition(":")
    except ValueError:
        return None
    return password if is_ticket(password) else None


def starter(job: Any) -> str | None:
    """As whom a job is served: nobody while it does not run, and where nobody started it."""
    from mlflow.entities._job_status import JobStatus

    return job.creator or None if job.status == JobStatus.RUNNING else None


def _starter_of(text: str) -> str | None:
    from mlflow.exceptions import MlflowException
    from mlflow.server.handlers import _get_job_store

    job = job_of(key(), text)
    try:
        return starter(_get_job_store().get_job(job)) if job else None
    except MlflowException:
        return None


def _known(original: Callable[..., Awaitable[Known]]) -> Callable[..., Awaitable[Known]]:
    @wraps(original)
    async def known(middleware: Any, request: Any) -> Known:
        from mlflow_oidc_auth.middleware.route_path import routed_path

        _by_ticket.set(False)
        text = shown(request.headers.get("authorization") or "")
        if text is None or not routed_path(request.scope).startswith(_GATEWAY):
            return await original(middleware, request)
        name = await asyncio.to_thread(_starter_of, text)
        if name is None:
            return False, None, "No ticket of a running job"
        _by_ticket.set(True)
        return True, name, ""

    return known


def _denial(original: Callable[..., str]) -> Callable[..., str]:
    """How a service account has to log in says nothing of the jobs that it started."""

    @wraps(original)
    def denial(*words: Any, **more: Any) -> str:
        return "" if _by_ticket.get() else original(*words, **more)

    return denial


def refused(name: str, params: Mapping[str, Any], direct: Callable[[str, Mapping[str, Any]], bool]) -> str:
    """Why a job is not taken; empty where it is. direct: whether scorers of a job have models past the gateway."""
    if name == "optimize_prompts":
        return _PROMPTS
    model = params.get("model")
    past = name == "invoke_issue_detection" and not (isinstance(model, str) and model.startswith("gateway:/"))
    return _PAST if past or direct(name, params) else ""


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def submit(function: Any, params: Any, *words: Any, **more: Any) -> Any:
        from mlflow.genai.scorers.scorer_utils import scorer_params_use_direct_provider_model

        try:
            if key():
                name = function._job_fn_metadata.name
                reason = refused(name, params, scorer_params_use_direct_provider_model)
                reason = reason or (_GIVEN if more.get("extra_envs") else "")
                if reason:
                    raise invalid(reason)
                _hold(more.get("creator"))
            return original(function, params, *words, **more)
        except Exception:
            _end_run(params.get("run_id"))
            raise

    return submit


def _hold(creator: str | None) -> None:
    """Refuses a job of somebody who has many waiting: the runner reads all of them every second."""
    from mlflow.entities._job_status import JobStatus
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import REQUEST_LIMIT_EXCEEDED
    from mlflow.server import jobs
    from mlflow.server.handlers import _get_job_store
    from mlflow.store.tracking.dbmodels.models import SqlJob

    name = creator or jobs._current_authenticated_user()
    with _get_job_store().ManagedSessionMaker() as session:
        own = session.query(SqlJob).filter(SqlJob.status == JobStatus.PENDING.to_int(), SqlJob.creator == name)
        if own.count() >= MOST_WAITING:
            raise MlflowException(f"{MOST_WAITING} jobs of yours wait already.", error_code=REQUEST_LIMIT_EXCEEDED)


def _end_run(run: Any) -> None:
    """Ends the run that a handler began for a job that is not taken. Left open, the thread can begin no other."""
    import mlflow

    active = mlflow.active_run()
    if active is not None and active.info.run_id == run:
        mlflow.end_run("FAILED")


def _online(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def upsert(self: Any, experiment_id: str, scorer_name: str, sample_rate: float, *words: Any, **more: Any) -> Any:
        if key() and sample_rate != 0:
            raise invalid(_NEW_TRACES)
        return original(self, experiment_id, scorer_name, sample_rate, *words, **more)

    return upsert


def install() -> None:
    from mlflow.genai.utils import gateway_utils
    from mlflow.server import jobs
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow_oidc_auth.middleware import auth_middleware

    upstream.replace(auth_middleware.AuthMiddleware, "_authenticate_user", "0defcb092a2791f3", _known)
    upstream.replace(auth_middleware, "_service_account_denial", "221ce9e059da98b4", _denial)
    upstream.replace(jobs, "submit_job", "f957fd67d49e1e92", _submit)
    upstream.replace(SqlAlchemyStore, "upsert_online_scoring_config", "cad61e82a6537406", _online)
    upstream.reads(gateway_utils, "_build_auth_headers", "de42d4362b465f5b")
