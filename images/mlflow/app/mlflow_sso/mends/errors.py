"""Errors tell the caller what to do, and the log what happened, and neither of them SQL with its values.

MLflow answers with whatever text the database gave, statement and parameters in it, and logs the same.
"""

import logging
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends import sqltext

_logger = logging.getLogger("mlflow_sso.errors")


def _init(original: Callable[..., None]) -> Callable[..., None]:
    """All errors that MLflow and the plugin answer with are made here."""

    @wraps(original)
    def init(self: Any, message: Any, *args: Any, **named: Any) -> None:
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

        text = str(message)
        if sqltext.is_nul(text):
            text = "Invalid value: it holds a NUL character."
            args, named = (INVALID_PARAMETER_VALUE,), {}
        elif (said := sqltext.before(text)) is not None:
            number = uuid.uuid4().hex[:12]
            _logger.warning("error %s: %s", number, sqltext.one_line(sqltext.without_detail(text))[:2000])
            text = f"{said or 'The database refused the request.'} (error {number} in the server's log)"
        original(self, text, *args, **named)

    return init


def _hide(context: Any) -> None:
    """Takes the values out of an error of the database, wherever it is shown or logged then."""
    for error in (context.sqlalchemy_exception, context.original_exception):
        if error is not None and error.args and isinstance(error.args[0], str):
            error.args = (sqltext.without_detail(error.args[0]), *error.args[1:])
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.hide_parameters = True


def _bad(text: str) -> Any:
    from flask import jsonify

    answer = jsonify({"error_code": "BAD_REQUEST", "message": text})
    answer.status_code = 400
    return answer


def _refuse_nul() -> Any:
    from flask import request

    values = [value for key in request.args for value in (key, *request.args.getlist(key))]
    if any("\0" in text for text in (request.path, *values)):
        return _bad("Invalid address: it holds a NUL character.")
    return None


def _graphql(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def answer(**parameters: Any) -> Any:
        from flask import request
        from graphql import GraphQLError

        asked = request.get_json(force=True, silent=True)
        if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
            return _bad("Invalid GraphQL request: it has to be a JSON object with a text in 'query'.")
        if not isinstance(asked.get("variables"), dict | None):
            return _bad("Invalid GraphQL request: 'variables' has to be an object.")
        if not isinstance(asked.get("operationName"), str | None):
            return _bad("Invalid GraphQL request: 'operationName' has to be a text.")
        try:
            return view(**parameters)
        except GraphQLError as error:
            return _bad(f"Invalid GraphQL request: {error.message}")

    return answer


async def _invalid_body(_: Any, error: Any) -> Any:
    """FastAPI repeats the body in its answer: secrets in it, and nested as deep as it is, which ends in a 500."""
    from fastapi.responses import JSONResponse

    told = [{key: each[key] for key in ("type", "loc", "msg") if key in each} for each in error.errors()]
    return JSONResponse({"detail": told}, status_code=422)


def install() -> None:
    import sqlalchemy.event
    from fastapi.exceptions import RequestValidationError
    from mlflow import exceptions
    from mlflow.server import app as flask
    from mlflow_oidc_auth.app import app
    from sqlalchemy.engine import Engine

    upstream.replace(exceptions.MlflowException, "__init__", "494e23cf9d5f2deb", _init)
    # A header that asks for what is switched off is the caller's fault.
    exceptions.ERROR_CODE_TO_HTTP_STATUS.setdefault("FEATURE_DISABLED", 400)
    sqlalchemy.event.listen(Engine, "handle_error", _hide)
    flask.before_request_funcs.setdefault(None, []).insert(0, _refuse_nul)
    graphql = {rule.endpoint for rule in flask.url_map.iter_rules() if str(rule).endswith("/graphql")}
    if not graphql:
        raise LookupError("MLflow serves GraphQL in another way")
    for endpoint in graphql:
        flask.view_functions[endpoint] = _graphql(flask.view_functions[endpoint])
    app.add_exception_handler(RequestValidationError, _invalid_body)
