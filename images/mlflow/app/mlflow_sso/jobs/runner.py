"""Runs the jobs that the server wrote into the database, each in a process of its own.

One runner works at a time, whatever the target starts: it holds a lock in the database for as long as it lives.
MLflow's engine takes no care of that, and starts anew what another runner still runs.

Source: `mlflow.server.jobs._executor_runner` and `local_executor` of MLflow 3.17.2; PostgreSQL, "Advisory Locks".
"""

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mlflow_sso import upstream
from mlflow_sso.jobs import KEY, share
from mlflow_sso.jobs.tickets import ticket

# The second of the last sign of life, agreed with the probe of the container (components/jobs.py).
ALIVE = Path("/tmp/alive")
# Any number that no other program uses for an advisory lock of this database; images/mlflow/migrate.py has another.
LOCK = 7166_5502
# How many jobs run at once.
WORKERS = "MLFLOW_SSO_JOBS_WORKERS"
# In milliseconds, what clocks of several machines may differ by.
_CLOCKS_APART = 3_600_000
ENTRY = "mlflow_sso.jobs.entry"
_LOST = "The runner of jobs ended while this job ran, so that nobody knows how far it came. Start it again."


class Started(Protocol):
    """A job, as far as its turn goes: creator is whoever started it."""

    creator: str | None


Job = TypeVar("Job", bound=Started)


def reads() -> None:
    """Says which functions of MLflow this is written after."""
    from mlflow.server.jobs import _executor_runner, _job_subproc_entry, utils
    from mlflow.server.jobs.local_executor import LocalJobExecutor

    upstream.reads(_executor_runner, "run_executor_loop", "339f1373b43f8c8c")
    upstream.reads(_executor_runner, "_recover_orphaned_executor_jobs", "b3501a0fb34a4423")
    upstream.reads(_executor_runner, "_build_execution_context", "aa25808f029cdfdd")
    upstream.reads(_executor_runner._JobScheduler, "_slot_for", "3dfec5392e6547e1")
    upstream.reads(_executor_runner._JobScheduler, "_schedule_pending", "3f488df08b546646")
    upstream.reads(_job_subproc_entry, "_main", "4121973b2e0a2adc")
    upstream.reads(utils, "_prepare_job_subprocess", "09c10b8abb911346")
    for name, digest in (
        ("submit_job", "d81ae9d3c44b8526"),
        ("recover_jobs", "63ce796e0ee20eb7"),
        ("_effective_timeout", "ba7f1c93dbfa2ad0"),
    ):
        upstream.reads(LocalJobExecutor, name, digest)


class Beat(threading.Event):
    """The end that the runner waits for. Each wait is a sign of life, and looks after the lock."""

    def __init__(self, holds: Callable[[], bool]) -> None:
        super().__init__()
        self._holds = holds

    def wait(self, timeout: float | None = None) -> bool:
        """Waits so many seconds, or until the end. Without the lock this process ends, and its jobs with it."""
        if not self._holds():
            sys.stderr.write("jobs: the database was away, or another runner works; starting anew\n")
            os._exit(1)
        alive()
        return super().wait(timeout)


def alive() -> None:
    """A sign of life."""
    ALIVE.write_text(f"{time.time():.0f}\n")


def lock(url: str) -> Callable[[], bool]:
    """Waits until no other runner works. What it gives says whether that is still so."""
    if not url.startswith("postgresql"):
        return lambda: True
    import psycopg2

    connection = psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://", 1))
    connection.autocommit = True

    def asked(statement: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return bool(cursor.fetchone()[0])

    while not asked(f"SELECT pg_try_advisory_lock({LOCK})"):
        alive()
        time.sleep(1)

    def holds() -> bool:
        try:
            return asked("SELECT true")
        except psycopg2.Error:
            return False

    return holds


def _executor(key: str) -> Any:
    """What runs jobs: MLflow's local executor, with bounds and with tickets."""
    from mlflow.entities._job_status import JobStatus
    from mlflow.server.handlers import _get_job_store
    from mlflow.server.jobs import local_executor
    from mlflow.server.jobs.executor import JobRecoveryResult
    from mlflow.server.jobs.executor_registry import get_executor_registry

    prepare = local_executor._prepare_job_subprocess

    def prepared(*, job_id: str, extra_envs: dict[str, str], **more: Any) -> Any:
        own = {"MLFLOW_TRACKING_USERNAME": "job", "MLFLOW_TRACKING_PASSWORD": ticket(key, job_id)}
        return prepare(job_id=job_id, extra_envs={**extra_envs, **own}, **more)

    local_executor._prepare_job_subprocess = prepared

    class Executor(local_executor.LocalJobExecutor):  # type: ignore[misc]
        """Holds each job to the time that the settings give, and starts none twice that might have ended its runner."""

        def _effective_timeout(self, timeout: float | None) -> float:
            return bounded(timeout, self.config.default_timeout)

        def recover_jobs(self, unfinished_job_ids: list[str]) -> list[Any]:
            """Of those of an earlier runner: what it set aside as it was asked to end starts again."""
            store = _get_job_store()
            aside = {job for job in unfinished_job_ids if store.get_job(job).status == JobStatus.NEEDS_RECOVERY}
            return [
                JobRecoveryResult(job, "requeue") if job in aside else JobRecoveryResult(job, "fail", _LOST)
                for job in unfinished_job_ids
            ]

    return Executor(get_executor_registry().config)


def bounded(timeout: float | None, most: float) -> float:
    """The time that a job may take, in seconds. JSON of a user's may say NaN, which no time ever reaches."""
    return timeout if timeout is not None and 0 < timeout <= most else most


def in_turn(waiting: Sequence[Job], running: Iterable[Job]) -> list[Job]:
    """Waiting jobs in the order in which they are to start: nobody's second one before somebody's first.

    waiting: the oldest first. running: those that count for whoever started them.
    """
    had = Counter(job.creator for job in running)
    turns: dict[int, list[Job]] = {}
    for job in waiting:
        turns.setdefault(had[job.creator], []).append(job)
        had[job.creator] += 1
    return [job for turn in sorted(turns) for job in turns[turn]]


def _take_turns() -> None:
    """Gives MLflow's loop, which starts the first of them that there is room for, waiting jobs in turn."""
    from mlflow.entities._job_status import JobStatus
    from mlflow.server.handlers import _get_job_store

    store = _get_job_store()
    listed = store.list_jobs

    def list_jobs(*words: Any, **more: Any) -> Iterable[Any]:
        found: Iterable[Any] = listed(*words, **more)
        if more != {"statuses": [JobStatus.PENDING]}:
            return found
        waiting = list(found)
        return in_turn(waiting, listed(statuses=[JobStatus.RUNNING])) if waiting else waiting

    store.list_jobs = list_jobs


def run() -> None:
    """Runs jobs until SIGTERM. What still runs then is set aside, and starts again with the next runner."""
    # No job is given the key: its environment is this one.
    key, store = os.environ[KEY], os.environ["MLFLOW_BACKEND_STORE_URI"]
    share()
    del os.environ[KEY]
    os.environ.update(
        {
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_REGISTRY_STORE": store,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "MLFLOW_TRACKING_URI": store,
            "MLFLOW_REGISTRY_URI": store,
            "MLFLOW_ENABLE_WORKSPACES": "false",
        }
    )
    # Who waits for the lock has nothing to set aside.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    beat = Beat(lock(store))
    signal.signal(signal.SIGTERM, lambda *_: beat.set())

    from mlflow.server.constants import MLFLOW_SERVER_UP_TIME
    from mlflow.server.jobs import _executor_runner, utils
    from mlflow.server.jobs.logging_utils import configure_logging_for_jobs

    # Whatever is begun now is another runner's, and MLflow asks the executor what is to become of it. Of the clocks of
    # those who started it nothing is known, so that this is later than each.
    os.environ[MLFLOW_SERVER_UP_TIME] = str(int(time.time() * 1000) + _CLOCKS_APART)
    configure_logging_for_jobs()
    utils._JOB_ENTRY_MODULE = ENTRY
    slots = threading.Semaphore(int(os.environ.get(WORKERS, "2")))
    # One bound for jobs of every kind, in place of one for each kind.
    _executor_runner._JobScheduler._slot_for = lambda _self, _name: slots
    _take_turns()
    _executor_runner.run_executor_loop(_executor(key), beat)
    # The end of this process is that of its jobs: each looks for its parent.
    os._exit(0)
