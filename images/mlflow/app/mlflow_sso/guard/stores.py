"""Whether a store failed while a request was answered: then what was found out about rights and objects means nothing.

A permission that could not be looked up is neither granted nor refused. The plugin says 403 then, MLflow 400 or 500,
and no client asks again. The guard says 503 in their place.
"""

from contextvars import ContextVar

_failure: ContextVar[list[str] | None] = ContextVar("mlflow_sso_store_failure", default=None)


def watch() -> list[str]:
    """Begins to look at the stores for the request of this context; the list gets the name of each failure.

    The list itself is shared with threads and tasks that the request starts, which have a copy of its context.
    """
    failures: list[str] = []
    _failure.set(failures)
    return failures


def failed(what: str) -> None:
    """Says that a store could not be asked, for the request of this context."""
    failures = _failure.get()
    if failures is not None:
        failures.append(what)
