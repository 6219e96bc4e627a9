"""Connections to the databases: as many as the turns of requests need, and what a failure of theirs means.

Source: SQLAlchemy 2.1, "Connection Pooling" and "Core Events"; PostgreSQL, "Client Connection Defaults".
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import wraps
from typing import Any

from mlflow_sso import silence, upstream
from mlflow_sso.guard.limits import Limits
from mlflow_sso.guard.stores import failed

# Of MLflow and of the plugin: connections that stay, and as many that come on top of them.
_POOLS = (
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW",
    "OIDC_DB_POOL_SIZE", "OIDC_DB_POOL_MAX_OVERFLOW",
)  # fmt: skip


class _InContext(ThreadPoolExecutor):
    """Threads that know whose request they work for, so that a failure is told to it (mlflow_sso.guard.stores)."""

    def submit(self, fn: Callable[..., Any], /, *words: Any, **more: Any) -> Future[Any]:
        return super().submit(copy_context().run, fn, *words, **more)


# Compiled statements that each engine keeps; SQLAlchemy's own number is 500.
STATEMENTS = 150
# A server whose machine or line has gone answers nothing, and nothing says so: a question to it fails after thirty
# seconds, not after the two hours of Linux. Source: PostgreSQL, "Parameter Key Words" of libpq; seconds, and the last
# one milliseconds.
LINE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
# Threads that find out who asks (mlflow_sso.shortcuts.accounts).
KEPT = 5


def keeps() -> bool:
    """Whether there are connections that may stay open: as many turns as there can be leave room for them."""
    return Limits.told().turns >= Limits.turns


def size() -> None:
    """Sizes the pools, before MLflow and the plugin read of it: two connections to each database for every turn.

    And to the plugin's one for each thread that finds out who asks, where these keep theirs.
    """
    turns = Limits.told().turns
    for name in _POOLS:
        more = KEPT if name == "OIDC_DB_POOL_MAX_OVERFLOW" and keeps() else 0
        os.environ.setdefault(name, str(turns + more))
    # Of libpq, in seconds: a server that drops what it is sent is not waited for.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "5")


def _told(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Takes a connection out of a pool, and tells the guard where there is none."""

    @wraps(original)
    def take(pool: Any) -> Any:
        try:
            return original(pool)
        except Exception as error:
            failed(type(error).__name__)
            raise

    return take


def _few_statements(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps fewer compiled statements: those of searches with many conditions take megabytes each."""

    @wraps(original)
    def create(*words: Any, **more: Any) -> Any:
        return original(*words, **{"query_cache_size": STATEMENTS, **more})

    return create


def bind() -> None:
    """Bounds the time of statements and what engines keep, and tells the guard of each failure of a database.

    Before there is an engine: the plugin makes its own, with a first connection, as it is imported. What is meant for
    engines and connections that are made reaches none that are there.
    """
    import sqlalchemy
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

    watch = silence.Watch(Limits.told().statement_seconds)
    watch.begin()

    def watched(dialect: Any, _record: Any, _words: Any, more: dict[str, Any]) -> None:
        if dialect.driver == "psycopg2":
            for name, value in {**LINE, "connection_factory": silence.watched(watch)}.items():
                more.setdefault(name, value)

    def tell(context: Any) -> None:
        name = type(context.original_exception).__name__
        # QueryCanceled: the statement was too long, and would be again.
        if context.is_disconnect or name in ("OperationalError", "InterfaceError", "TooManyConnections"):
            failed(name)

    event.listen(Engine, "do_connect", watched)
    event.listen(Engine, "connect", bound)
    event.listen(Engine, "handle_error", tell)
    upstream.replace(sqlalchemy, "create_engine", "59c38760df75a488", _few_statements)
    upstream.replace(QueuePool, "_do_get", "b14c6dd7c3771475", _told)


def install() -> None:
    """Lets a failure be told to the request whose personal token the plugin compares in a thread of its own."""
    from mlflow_oidc_auth.middleware import auth_middleware

    upstream.reads(auth_middleware.AuthMiddleware, "_authenticate_basic_auth", "b0a46896c3bd42a1")
    auth_middleware._BASIC_AUTH_EXECUTOR = _InContext(1, "mlflow-oidc-basic-auth")
