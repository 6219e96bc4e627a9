"""Errors tell the caller what to do, and the log what happened, and neither of them SQL with its values.

MLflow answers with whatever text the database gave, statement and parameters in it, and logs the same.
"""

import json
import logging
import re
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import longjson, upstream
from mlflow_sso.guard.bodies import within
from mlflow_sso.guard.routes import is_file
from mlflow_sso.mends import blame, sqltext

_logger = logging.getLogger("mlflow_sso.errors")


# Characters of a text of an error, and of a value in it: both repeat what was sent, which may be a whole body.
_TEXT, _VALUE = 8000, 1000
_STATEMENT = 1 << 20


def _init(original: Callable[..., None]) -> Callable[..., None]:
    """All errors that MLflow and the plugin answer with are made here."""

    @wraps(original)
    def init(self: Any, message: Any, *args: Any, **named: Any) -> None:
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

        text = str(message)
        # What is longer than any statement repeats a body: nothing of the database's is looked for behind it.
        head = text[:_STATEMENT]
        if blame.is_value(message):
            args, named = (INVALID_PARAMETER_VALUE,), {}
        if sqltext.is_nul(head):
            text = "Invalid value: it holds a NUL character."
            args, named = (INVALID_PARAMETER_VALUE,), {}
        elif (said := sqltext.before(head)) is not None:
            number = uuid.uuid4().hex[:12]
            _logger.warning("error %s: %s", number, sqltext.one_line(sqltext.without_detail(head))[:2000])
            text = f"{said or 'The database refused the request.'} (error {number} in the server's log)"
        original(self, _cut(text), *args, **named)

    return init


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}... ({len(text)} characters)"


def _shown(value: Any) -> str:
    """The beginning of a value as JSON, of which no more is written than is shown."""
    text = ""
    try:
        for piece in json.JSONEncoder(sort_keys=True, separators=(",", ":")).iterencode(value):
            text += piece
            if len(text) > _VALUE:
                return f"{text[:_VALUE]}..."
    except RecursionError:
        return f"{text}..."
    return text


def _invalid(_: Callable[..., str]) -> Callable[..., str]:
    def invalid_value(path: str, value: Any, message: str | None = None) -> str:
        return f"Invalid value {_shown(value)} for parameter '{path}' supplied" + (f": {message}" if message else ".")

    return invalid_value


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


# The first byte of JSON tells what it is.
_LEAD = re.compile(rb"\s*(\S)")


def is_object(path: str, body: bytes) -> bool:
    """Whether JSON is the object that MLflow and the plugin take for granted, or nothing at all."""
    lead = _LEAD.match(body)
    if lead is None or lead[1] == b"{":
        return True
    if lead[1] != b'"' or not path.startswith("/api/"):
        return False
    # MLflow's older clients send the text of an object.
    try:
        return isinstance(within(json.loads(body)), dict)
    except (ValueError, RecursionError):
        return False


# Half of a character: no encoding has it, no answer can repeat it and no database takes it.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_TEXT = "Invalid request: it holds a half of a character."


def is_text(body: bytes) -> bool:
    """Whether all texts of a JSON are characters and nothing else."""
    if not _HALF.search(body):
        return True
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except (ValueError, RecursionError):
        return True  # It is no JSON, which is told elsewhere.
    return True


def _refuse_others() -> Any:
    from flask import request

    if not request.is_json or is_file(request.path):
        return None
    body = request.get_data()
    # GraphQL says by itself what it takes.
    if not request.path.endswith("/graphql") and not is_object(request.path, body):
        return _bad("Invalid request: its JSON has to be an object.")
    if not is_text(body):
        return _bad(_NO_TEXT)
    return None


def _read(body: bytes) -> Any:
    from fastapi import HTTPException

    if not is_text(body):
        raise HTTPException(400, _NO_TEXT)
    return json.loads(body)


def _json(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @wraps(original)
    async def read(self: Any) -> Any:
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = _read(body) if len(body) < longjson.LONG else await longjson.aside(_read, body)
        return self._json

    return read


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
    from mlflow.server import handlers
    from mlflow.utils import validation
    from mlflow_oidc_auth.app import app
    from sqlalchemy.engine import Engine
    from starlette.requests import Request

    upstream.replace(exceptions.MlflowException, "__init__", "494e23cf9d5f2deb", _init)
    for home in (validation, handlers):
        upstream.replace(home, "invalid_value", "0f74093a068031ac", _invalid)
    sqlalchemy.event.listen(Engine, "handle_error", _hide)
    blame.install(_bad)
    upstream.replace(Request, "json", "ba99bb759095ae8c", _json)
    flask.before_request_funcs.setdefault(None, [])[:0] = [_refuse_nul, _refuse_others]
    graphql = {rule.endpoint for rule in flask.url_map.iter_rules() if str(rule).endswith("/graphql")}
    if not graphql:
        raise LookupError("MLflow serves GraphQL in another way")
    for endpoint in graphql:
        flask.view_functions[endpoint] = _graphql(flask.view_functions[endpoint])
    app.add_exception_handler(RequestValidationError, _invalid_body)
