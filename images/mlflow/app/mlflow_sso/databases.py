"""Connections to the databases: as many as the turns of requests need, and what a failure of theirs means.

Source: SQLAlchemy 2.1, "Connection Pooling" and "Core Events"; PostgreSQL, "Client Connection Defaults".
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from mlflow_sso.guard.limits import Limits
from mlflow_sso.guard.stores import failed

_POOLS = ("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "OIDC_DB_POOL_SIZE")
_OVERFLOWS = ("MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW", "OIDC_DB_POOL_MAX_OVERFLOW")


class _InContext(ThreadPoolExecutor):
    """Threads that know whose request they work for, so that a failure is told to it (mlflow_sso.guard.stores)."""

    def submit(self, fn: Callable[..., Any], /, *words: Any, **more: Any) -> Future[Any]:
        return super().submit(copy_context().run, fn, *words, **more)


def size() -> None:
    """Sizes the pools, before MLflow and the plugin read of it: two connections to each database for every turn."""
    for name in (*_POOLS, *_OVERFLOWS):
        os.environ.setdefault(name, str(Limits.told().turns))
    # Of libpq, in seconds: a server that drops what it is sent is not waited for.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "5")


def install() -> None:
    """Bounds the time of statements, and tells the guard of each failure of a database."""
    from mlflow_oidc_auth.middleware import auth_middleware
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import QueuePool

    milliseconds = Limits.told().statement_seconds * 1000

    def bound(connection: Any, _record: Any) -> None:
        if not type(connection).__module__.startswith("psycopg2"):
            return
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {milliseconds:d}")
            cursor.execute(f"SET idle_in_transaction_session_timeout = {milliseconds:d}")
        connection.commit()

    def tell(context: Any) -> None:
        name = type(context.original_exception).__name__
        # QueryCanceled: the statement was too long, and would be again.
        if context.is_disconnect or name in ("OperationalError", "InterfaceError", "TooManyConnections"):
            failed(name)

    taken = QueuePool._do_get

    def take(pool: Any) -> Any:
        try:
            return taken(pool)
        except Exception as error:
            failed(type(error).__name__)
            raise

    auth_middleware._BASIC_AUTH_EXECUTOR = _InContext(1, "mlflow-oidc-basic-auth")
    event.listen(Engine, "connect", bound)
    event.listen(Engine, "handle_error", tell)
    QueuePool._do_get = take
