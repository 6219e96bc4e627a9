"""Downloads that go through Flask: the page's, and those of models and runs by name.

MLflow copies an object of a bucket whole onto a disk in memory that all requests share, before it sends the first byte
(`mlflow.server.handlers._send_artifact`, 3.17.2). What is sent here comes from the bucket as it is read.
"""

from collections.abc import Callable
from typing import Any

from mlflow.server import handlers
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from mlflow_sso import stores, upstream
from mlflow_sso.bridge import PIECE
from mlflow_sso.guard.answers import Refusal


def install() -> None:
    """Puts the mend in place."""
    upstream.replace(handlers, "_send_artifact", "33313e2a5d4049b3", _streaming)


def _streaming(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def send(repository: Any, path: str) -> Any:
        if isinstance(repository, S3ArtifactRepository):
            return _answer(repository, path)
        return original(repository, path)

    return send


def _answer(repository: Any, path: str) -> Any:
    from flask import Response, request

    try:
        found = stores.bucket(repository).find(path, request.headers.get("Range"), request.headers.get("If-Range"))
    except Refusal as refusal:
        headers = {name.decode(): value.decode() for name, value in refusal.headers}
        return Response(refusal.body, refusal.status, headers, content_type="application/json")
    headers = {name.decode(): value.decode("latin-1") for name, value in found.headers(path)}
    response = Response(found.pieces(PIECE), found.status, headers, direct_passthrough=True)
    response.call_on_close(found.close)
    return response
