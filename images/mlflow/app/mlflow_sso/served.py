"""The application of the image, put together once in each server process."""

import asyncio
import sys

from mlflow_oidc_auth.app import app as plugin
from mlflow_oidc_auth.entities.auth_context import AUTH_CONTEXT_KEY, AuthContext
from mlflow_oidc_auth.middleware import AuthAwareWSGIMiddleware
from mlflow_oidc_auth.store import store
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount

from mlflow_sso import chunks, databases, mends, metrics, stores
from mlflow_sso.artifacts import Transfers
from mlflow_sso.asgi import Application, Scope
from mlflow_sso.bridge import Bridge, Environ
from mlflow_sso.errands import Rights
from mlflow_sso.garbage import Collections
from mlflow_sso.guard import Below, Guard, Limits, Lines, Origins, Turns
from mlflow_sso.guard.below import told
from mlflow_sso.guard.guard import KIND
from mlflow_sso.guard.pace import Pace
from mlflow_sso.guard.routes import Kind
from mlflow_sso.guard.stores import failed
from mlflow_sso.shortcuts import accounts, runs, signatures, ways

# Seconds that a thread which computes goes on while others wait: a short request waits as long, beside every long one,
# each time that it was at a socket. Python's own is 0.005 (`sys.setswitchinterval`); half of this brings no more.
_SWITCH = 0.0002


def _context(scope: Scope) -> Environ:
    """Who asks, as the plugin's hooks in Flask look for it."""
    context = scope.get(AUTH_CONTEXT_KEY)
    return {AUTH_CONTEXT_KEY: context} if isinstance(context, AuthContext) else {}


def _user(scope: Scope) -> str | None:
    context = scope.get(AUTH_CONTEXT_KEY)
    return context.username if isinstance(context, AuthContext) else None


async def _is_directory(header: bytes) -> bool:
    """Whether the plugin gave this token to a directory (SCIM); it looks it up by its hash."""
    scheme, _, token = header.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return False
    try:
        found = await asyncio.get_running_loop().run_in_executor(None, store.authenticate_scim_token, token.strip())
    except Exception as error:
        failed(type(error).__name__)
        return False
    return found is not None


def _is_open(scope: Scope) -> bool:
    return scope.get(KIND) is Kind.OPEN


def _served(collections: Collections) -> Application:
    sys.setswitchinterval(_SWITCH)
    limits = Limits.told()
    meters = metrics.Meters() if metrics.told() else None
    chunks.install()
    databases.install()
    mends.install()
    mounts = [route for route in plugin.routes if isinstance(route, Mount)]
    (mount,) = [mount for mount in mounts if isinstance(mount.app, AuthAwareWSGIMiddleware)]
    flask = mount.app.flask_app
    mount.app = bridge = Bridge(flask.wsgi_app, limits.turns, _context, _is_open)
    # Last in the list is innermost: what stands before it knows who asks.
    rights = Rights(flask, bridge, _user)
    listeners = {"computed": collections.computed} | ({"waited": meters.waits.observe} if meters else {})
    lines = Lines(limits, **listeners)
    (rules,) = [place for place, each in enumerate(plugin.user_middleware) if each.cls is BaseHTTPMiddleware]
    # Before the plugin's rules, which read some bodies whole, for these; for all others after them.
    plugin.user_middleware.insert(rules, Middleware(Turns, lines=lines, user_of=_user, ask=rights.ask, first=True))
    further = Middleware(Turns, lines=lines, user_of=_user, ask=rights.ask, directory=_is_directory)
    plugin.user_middleware.append(further)
    for shortcut in (accounts, runs, signatures):
        shortcut.install()
    ways.install(plugin, bridge)
    transfer = None
    if stores.streams():
        stores.forget_lost()
        transfer = Transfers(stores.artifact_store, stores.artifact_path, limits.transfers, Pace(lines.calls))
    served: Application = Guard(plugin, limits, Origins.told(), transfer, lines.calls)
    if meters:
        served = metrics.Measured(served, meters)
        metrics.serve(meters, metrics.told())
    return Below(served, told()) if told() else served


_collections = Collections()
app = _served(_collections)
_collections.install()
