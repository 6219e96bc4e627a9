"""Requests for MLflow's Flask application go there straight, past tasks and routes that are not theirs.

The plugin's middleware begins a task and two streams for each layer of itself, and the router compares each path with
some 400 routes before it comes to Flask's. A layer that hands on what it gets needs no task (ASGI specification,
"Applications"), and whether a path can be one of the routes its first letters tell.
"""

from collections.abc import Iterable
from typing import Any

from fastapi.routing import iter_route_contexts
from mlflow_oidc_auth.middleware import (
    AuthMiddleware,
    ProxyHeadersMiddleware,
    WorkspaceContextMiddleware,
    fastapi_permission_middleware,
)
from mlflow_oidc_auth.middleware.route_path import routed_path
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response

from mlflow_sso import upstream
from mlflow_sso.asgi import Application, Receive, Scope, Send

# Of the plugin, each read and found to return what comes from below as it is.
_HANDED_ON = {
    ProxyHeadersMiddleware: "5f185f58cf5ff96b",
    WorkspaceContextMiddleware: "9399948352b77c88",
    AuthMiddleware: "fc6911df735b27b9",
}
_SENT = Response()


class Ways:
    """Which requests are Flask's for certain. routes: those that the router asks before it."""

    def __init__(self, routes: Iterable[Any]) -> None:
        formats = [route.path_format for route in iter_route_contexts(list(routes))]
        # A route without one is of a kind that is not known here: then every path may be one of its.
        self._others = tuple({"" if each is None else each.partition("{")[0] for each in formats})

    def to_flask(self, scope: Scope) -> bool:
        """Whether no other route can be meant."""
        return scope["type"] == "http" and not routed_path(scope).startswith(self._others)


def _straight(cls: Any, ways: Ways | None) -> Any:
    """A middleware of Starlette's that calls what is below it, and sends what it answers itself.

    ways: where it looks at answers of other routes than Flask's.
    """

    class Straight(cls):  # type: ignore[misc]
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or (ways is not None and not ways.to_flask(scope)):
                await super().__call__(scope, receive, send)
                return

            async def below(request: Request) -> Response:
                await self.app(request.scope, receive, send)
                return _SENT

            answer = await self.dispatch_func(Request(scope, receive, send), below)
            if answer is not _SENT:
                await answer(scope, receive, send)

    return Straight


class _Shortcut:
    """The innermost middleware: Flask, or else the router."""

    def __init__(self, app: Application, ways: Ways, flask: Application) -> None:
        self._app, self._ways, self._flask = app, ways, flask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._flask if self._ways.to_flask(scope) else self._app)(scope, receive, send)


def install(plugin: Any, flask: Application) -> None:
    """Puts the shortcuts in place. plugin: its application, of which Flask's is the last route."""
    ways = Ways(plugin.routes[:-1])
    # The one that is a function: it looks at answers of FastAPI's routes, and hands on those of Flask's.
    upstream.reads(fastapi_permission_middleware, "add_fastapi_permission_middleware", "f72245d19e9468ac")
    for place, each in enumerate(plugin.user_middleware):
        if each.cls in _HANDED_ON:
            upstream.reads(each.cls, "dispatch", _HANDED_ON[each.cls])
            cls = _straight(each.cls, None)
        elif each.cls is BaseHTTPMiddleware:
            cls = _straight(each.cls, ways)
        else:
            continue
        plugin.user_middleware[place] = Middleware(cls, *each.args, **each.kwargs)
    plugin.user_middleware.append(Middleware(_Shortcut, ways=ways, flask=flask))
