"""Whether a request may move an artifact: what Flask and its hooks say to it, before anything of its body is there."""

from collections.abc import Callable
from typing import Any

from mlflow_sso.asgi import Scope, Send
from mlflow_sso.bridge import Bridge, Environ, raw
from mlflow_sso.guard import Errand


class Rights:
    """Answers an Errand by the hooks that Flask would run before the route itself.

    flask: the Flask application; user_of: the name of who asks.
    """

    def __init__(self, flask: Any, bridge: Bridge, user_of: Callable[[Scope], str | None]) -> None:
        self._flask, self._bridge, self._user_of = flask, bridge, user_of

    async def ask(self, scope: Scope, send: Send, errand: Errand) -> None:
        """Fills the errand in, or sends what Flask answers to such a request."""
        answer = await self._bridge.call(self._before, scope)
        if isinstance(answer, dict):
            errand.user, errand.told = self._user_of(scope), answer
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        status, headers, body = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _before(self, environ: Environ) -> dict[str, str] | tuple[int, list[tuple[bytes, bytes]], bytes]:
        """The arguments of the route where its hooks let the request through, or else the answer of one of them."""
        flask = self._flask
        with flask.request_context(environ) as context:
            try:
                if context.request.routing_exception is not None:
                    raise context.request.routing_exception
                answer = flask.preprocess_request()
            except Exception as error:
                answer = flask.handle_user_exception(error)
            if answer is None and "artifact_path" not in (context.request.view_args or {}):
                # The path leads elsewhere by a prefix that a proxy told.
                answer = ("Not found", 404)
            if answer is None:
                return dict(context.request.view_args)
            response = flask.process_response(flask.make_response(answer))
            return response.status_code, raw(response.headers.items()), response.get_data()
