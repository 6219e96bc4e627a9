"""Whose fault an error is: a request that cannot be read is the caller's, whatever MLflow and the plugin call it.

An answer of 500 says that the server is broken, and MLflow's client repeats it for minutes (`request_utils`:
408, 429, 500, 502, 503 and 504).
"""

import logging
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any

from mlflow_sso import costs, upstream

_logger = logging.getLogger("mlflow_sso.blame")
TYPES = (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError)
_TEXT = "Invalid request: a field has a value of another type than it takes."
# These read what was sent; whatever they call in MLflow has a file of its own.
_READERS = ("/mlflow/server/handlers.py", "/mlflow/server/__init__.py")
_PACKAGES = ("/site-packages/mlflow/", "/mlflow_oidc_auth/", "/mlflow_sso/")
# It stands around a function of Python's library, and fails at what that fails at.
_AROUND = "/mlflow_sso/longjson.py"


def typed(hook: Callable[[], Any], refusal: Callable[[str], Any]) -> Callable[[], Any]:
    """A hook that reads fields of a request for granted: one of another type is the caller's fault, and nothing ran."""

    @wraps(hook)
    def before() -> Any:
        try:
            return hook()
        except TYPES as error:
            _logger.info("a request with a field of another type: %s", type(error).__name__, exc_info=error)
            return refusal(_TEXT)

    return before


def _files(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename.replace("\\", "/")
        traceback = traceback.tb_next


def is_reading(error: BaseException) -> bool:
    """Whether MLflow's part that reads requests failed, and not a store below it."""
    files = [name for name in _files(error.__traceback__) if not name.endswith(_AROUND)]
    known = [name for name in files if any(package in name for package in _PACKAGES)]
    return bool(known) and known[-1].endswith(_READERS)


def is_value(message: Any) -> bool:
    """Whether a store passes on that a value is none it can work with: MLflow's session makes an INTERNAL_ERROR of it.

    The log has it as a warning, for the case that it was the store's fault after all.
    """
    if not isinstance(message, TYPES):
        return False
    _logger.warning("a value that a store failed at: %s", type(message).__name__, exc_info=message)
    return True


def honest(error: Any) -> Any:
    """The refusal of the caller's that a 500 of the plugin's was made of, or else the error as it is."""
    from fastapi import HTTPException
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import NoResultFound

    if error.status_code != 500:
        return error
    cause = error.__cause__ or error.__context__
    if isinstance(cause, NoResultFound):
        return HTTPException(404, "What the request names does not exist.")
    if isinstance(cause, MlflowException) and cause.get_http_status_code() < 500:
        return HTTPException(cause.get_http_status_code(), cause.message)
    return error


async def _http(request: Any, error: Any) -> Any:
    from fastapi.exception_handlers import http_exception_handler

    return await http_exception_handler(request, honest(error))


def install(refusal: Callable[[str], Any]) -> None:
    """refusal: makes the answer of 400 with a text."""
    from flask import Response
    from mlflow import exceptions
    from mlflow.server import app as flask
    from mlflow_oidc_auth.app import app
    from mlflow_oidc_auth.hooks import before_request_hook
    from starlette.exceptions import HTTPException as Refusal
    from werkzeug.exceptions import HTTPException

    # A header that asks for what is switched off is the caller's fault, and so is what something's state forbids.
    statuses = exceptions.ERROR_CODE_TO_HTTP_STATUS
    for code, known, status in (("FEATURE_DISABLED", None, 400), ("INVALID_STATE", 500, 409)):
        upstream.holds(f"ERROR_CODE_TO_HTTP_STATUS of {code}", statuses.get(code), known)
        statuses[code] = status
    hooks = flask.before_request_funcs.setdefault(None, [])
    if before_request_hook not in hooks:
        raise LookupError("the plugin asks for rights in another way")
    own = costs.few(typed(before_request_hook, refusal), refusal)
    hooks[:] = [own if hook is before_request_hook else hook for hook in hooks]

    def told(error: Exception) -> Any:
        # Flask's own refusal of a field that a form lacks is a KeyError too.
        if isinstance(error, HTTPException):
            return error
        if not is_reading(error):
            raise error
        _logger.info("a request that cannot be read: %s", type(error).__name__, exc_info=error)
        return refusal(_TEXT)

    def refused(error: Any) -> Any:
        """Some of MLflow's routes let its own refusals through."""
        return Response(error.serialize_as_json(), error.get_http_status_code(), mimetype="application/json")

    flask.register_error_handler(exceptions.MlflowException, refused)
    for each in TYPES:
        flask.register_error_handler(each, told)
    handler: Any = app.exception_handlers.get(Refusal)
    if handler is not None and "fastapi" not in handler.__module__:
        raise LookupError("the plugin answers errors in another way")
    app.add_exception_handler(Refusal, _http)
