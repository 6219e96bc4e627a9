"""Downloads that go through Flask: the page's, and those of models and runs by name.

MLflow copies an object of a bucket whole onto a disk in memory that all requests share, before it sends the first byte
(`mlflow.server.handlers._send_artifact`, 3.17.2). What is sent here comes from the bucket as it is read.
"""

import itertools
from collections.abc import Callable
from typing import Any

from mlflow.server import handlers

from mlflow_sso import stores, upstream
from mlflow_sso.artifacts.transfers import Store
from mlflow_sso.bridge import PIECE
from mlflow_sso.guard.answers import Refusal


def install() -> None:
    """Puts the mend in place."""
    from mlflow.server import app as flask

    flask.register_error_handler(Exception, _told)
    upstream.replace(handlers, "_send_artifact", "33313e2a5d4049b3", _streaming)


def _streaming(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def send(repository: Any, path: str) -> Any:
        store = stores.objects(repository)
        return original(repository, path) if store is None else _answer(store, path)

    return send


def _told(error: Exception) -> Any:
    """The answer to an error of the bucket in what MLflow itself asks it: lists of artifacts, links."""
    from flask import request
    from werkzeug.exceptions import HTTPException

    if isinstance(error, HTTPException):
        return error
    return _refused(stores.refused(error, request.args.get("path") or request.path))


def _refused(refusal: Refusal) -> Any:
    from flask import Response

    headers = {name.decode(): value.decode() for name, value in refusal.headers}
    return Response(refusal.body, refusal.status, headers, content_type="application/json")


def _answer(store: Store, path: str) -> Any:
    from flask import Response, request

    try:
        found = store.find(path, request.headers.get("Range"), request.headers.get("If-Range"))
        pieces = found.pieces(PIECE)
        # Before the answer begins: a store that refuses to be read is an answer of its own.
        first = next(pieces, b"")
    except Refusal as refusal:
        return _refused(refusal)
    headers = {name.decode(): value.decode("latin-1") for name, value in found.headers(path)}
    response = Response(itertools.chain((first,), pieces), found.status, headers, direct_passthrough=True)
    response.call_on_close(found.close)
    return response
