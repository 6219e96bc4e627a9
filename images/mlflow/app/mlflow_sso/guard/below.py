"""MLflow below a path of its host, `https://ml.example.com/mlflow`, with other programs beside it.

Every request has that path as its `root_path`, by which the plugin and Flask write links, redirects and forms. It is
taken off where it is there: a proxy that leaves it serves as well as one that takes it off, and probes and callers
inside a cluster need not know it. No route of the application begins with it, so that no path has two meanings.

Source: the ASGI specification, "HTTP Connection Scope", of which `path` holds `root_path`; RFC 6265, section 5.1.4.
"""

import os
from collections.abc import Iterable, Mapping

from mlflow_sso.asgi import Application, Receive, Scope, Send

VARIABLE = "MLFLOW_SSO_PATH"
Headers = list[tuple[bytes, bytes]]


def path_of(scope: Scope) -> str:
    """The path by which a request is routed: without its `root_path`, as Starlette takes that off."""
    root, path = str(scope.get("root_path", "")), str(scope["path"])
    return path[len(root) :] or "/" if root and f"{path}/".startswith(f"{root}/") else path


def told(env: Mapping[str, str] = os.environ) -> str:
    """The path that the server is below, without a slash at its end; empty where it has a host for itself."""
    return env.get(VARIABLE, "").rstrip("/")


def cookies_below(root: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The same headers, with cookies for what is below `root` alone: the rest of the host is not this server's."""
    return [(name, _below(root, value) if name.lower() == b"set-cookie" else value) for name, value in headers]


def _below(root: str, cookie: bytes) -> bytes:
    parts = cookie.split(b";")
    return b";".join(b" Path=" + root.encode() if p.strip().lower() == b"path=/" else p for p in parts)


async def to_page(scope: Scope, send: Send) -> None:
    """Sends a browser from the path itself to the page below it: what the page asks for is relative to it."""
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    place = [(b"location", scope["root_path"].encode() + b"/" + query), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 308, "headers": place})
    await send({"type": "http.response.body", "body": b""})


class Below:
    """An application below a path. The path itself is for the guard to answer, by `to_page`."""

    def __init__(self, app: Application, path: str) -> None:
        self._app, self._path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": self._path} if scope["type"] == "http" else scope, receive, send)
