"""The outermost part of what is served: what it refuses, nothing below it sees or reads."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from mlflow_sso.asgi import Application, Message, Receive, Scope, Send
from mlflow_sso.guard.answers import Refusal, later
from mlflow_sso.guard.below import cookies_below, path_of, to_page
from mlflow_sso.guard.bodies import DRAIN_PAUSE, Body, declared, header, no_body, refuse
from mlflow_sso.guard.failures import Failures
from mlflow_sso.guard.limits import MIB, Limits
from mlflow_sso.guard.line import Line
from mlflow_sso.guard.origins import Origins
from mlflow_sso.guard.pace import Calls
from mlflow_sso.guard.routes import OPEN_METHODS, Kind, is_file, is_message, kind
from mlflow_sso.guard.stores import watch

_log = logging.getLogger(__name__)
# Answers that are no answers while a store is away (see stores.py); 500 from either may have other causes too.
_DOUBTFUL = frozenset({302, 400, 401, 403, 404, 500})
# What credentials that are none are answered: pages send people to the login.
_REFUSED = frozenset({302, 401})
# Bytes. Requests with longer bodies are paced themselves.
_SHORT = 1 << 16
# A browser behind several proxies sends some forty headers; MLflow's client asks for at most some hundred ids.
_HEADERS, _PARAMETERS = 128, 2000
KIND = "mlflow_sso.kind"
ERRAND = "mlflow_sso.errand"
# What moves an artifact whose path was let in: (scope, receive, send, what the application told of the request).
Transfer = Callable[[Scope, Receive, Send, Any], Awaitable[None]]


class Errand:
    """The question whether a request may move an artifact, which is asked before anything of its body is read.

    The application below answers it (`mlflow_sso.errands`): `user` and `told` where it may, else with an answer.
    """

    user: str | None = None
    told: Any = None


def abort(send: Send) -> None:
    """Drops the connection with what waits in it, where the server is uvicorn: closing would wait for the reader."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


def _too_large(what: str, maximum: int, setting: str) -> str:
    """What is said of more, with the limit in MiB and the setting that raises it."""
    return f"{what} is larger than {maximum / MIB:g} MiB. An operator raises that by mlflow.limits.{setting}."


def _few(scope: Scope) -> None:
    """Raises Refusal for more headers or parameters than a program sends: each part that answers walks them again."""
    if len(scope["headers"]) > _HEADERS:
        raise Refusal(431, f"A request has {_HEADERS} headers at most.")
    if scope.get("query_string", b"").count(b"&") >= _PARAMETERS:
        raise Refusal(400, f"An address has {_PARAMETERS} parameters at most.")


def _largest(limits: Limits) -> dict[Kind, tuple[int | None, str]]:
    """The longest body of each kind of request that has another limit than usual, and what is said of more."""
    none = (0, "A request of this kind has no body.")
    account = (limits.account_bytes, f"The body is larger than {limits.account_bytes} bytes.")
    return {
        Kind.OPEN: none,
        Kind.DOWNLOAD: none,
        Kind.UPLOAD: (limits.artifact_bytes, _too_large("The artifact", limits.artifact_bytes or 0, "artifactMib")),
        Kind.TRACE: (limits.trace_bytes, _too_large("The body", limits.trace_bytes, "traceMib")),
        Kind.ACCOUNT: account,
        Kind.QUERY: (limits.query_bytes, f"The body is larger than {limits.query_bytes} bytes."),
        Kind.DIRECTORY: account,
    }


class Guard:
    """Limits, origins and headers around an application.

    transfer: what moves artifacts; without it they are the application's, within `request_bytes`. calls: is told of
    requests with short bodies, which go before pieces of long ones.
    """

    def __init__(
        self,
        app: Application,
        limits: Limits,
        origins: Origins,
        transfer: Transfer | None = None,
        calls: Calls | None = None,
    ) -> None:
        self._app, self._limits, self._origins, self._transfer = app, limits, origins, transfer
        self._usual = (limits.request_bytes, _too_large("The body", limits.request_bytes, "requestMib"))
        self._largest = _largest(limits)
        if transfer is None:
            del self._largest[Kind.UPLOAD]
        self._failures = Failures()
        self._calls = calls or Calls()
        self._transfers = Line(limits.transfers, limits.transfers_of_one, limits.places, limits.wait_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A proxy that is believed may tell another one, further in.
        root, path = scope.get("root_path", ""), path_of(scope)
        what = kind(scope["method"], path)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] in _REFUSED and header(scope, b"authorization") is not None:
                    await self._failures.pause()
                headers = self._origins.answer(scope, path, message.get("headers", ()))
                message = {**message, "headers": cookies_below(root, headers) if root else headers}
            try:
                async with asyncio.timeout(self._limits.idle_seconds):
                    await send(message)
            except TimeoutError:
                abort(send)
                raise ConnectionAbortedError("nothing of the answer was read for too long") from None

        scope[KIND] = what
        try:
            _few(scope)
            self._origins.check(scope, path)
            body = self._body(scope, receive, what, path)
        except Refusal as refusal:
            await refuse(refusal, receive, answer, 0.0 if what is Kind.UPLOAD else DRAIN_PAUSE)
            return
        if root and scope["path"] == root:
            await to_page(scope, answer)
        elif self._transfer is not None and what in (Kind.UPLOAD, Kind.DOWNLOAD):
            await self._move(scope, body, answer, self._transfer)
        else:
            length = declared(scope)
            with self._calls.one() if length is not None and length <= _SHORT else nullcontext():
                await self._serve(self._origins.known(scope, path), body, answer)

    def _body(self, scope: Scope, receive: Receive, what: Kind, path: str) -> Body:
        """The body as the application may read it. Raises Refusal where what is declared is refused already."""
        limits, length = self._limits, declared(scope)
        if what is Kind.OPEN and scope["method"] not in OPEN_METHODS:
            raise Refusal(405, "This page can be read, and nothing else.", allow=", ".join(OPEN_METHODS))
        maximum, too_large = self._largest.get(what, self._usual)
        if (length is None and maximum == 0) or (length is not None and maximum is not None and length > maximum):
            raise Refusal(413, too_large)
        other = is_file(path) or is_message(what, path, header(scope, b"content-type") or b"")
        values = None if what is Kind.UPLOAD or other else limits.json_values
        return Body(receive, maximum, values, limits.idle_seconds, too_large)

    async def _serve(self, scope: Scope, body: Body, send: Send) -> None:
        """Lets the application answer, unless its body is refused on the way or its stores cannot be asked."""
        failures = watch()
        begun = instead = False

        async def answer(message: Message) -> None:
            nonlocal begun, instead
            if message["type"] == "http.response.start" and not begun:
                if body.refusal is not None:
                    instead = True
                elif failures and message["status"] in _DOUBTFUL and scope[KIND] is not Kind.OPEN:
                    instead = True
                    _log.warning("503 in place of %s: %s", message["status"], ", ".join(dict.fromkeys(failures)))
                begun = True
            if not instead:
                await send(message)

        try:
            await self._app(scope, body, answer)
        except Exception:
            if body.gone and not begun:
                # Nobody waits for an answer any more.
                return
            if begun and not instead:
                raise
            if body.refusal is None and not failures:
                raise
            instead = True
        if instead or (not begun and body.refusal is not None):
            await self._answer_instead(body, send)

    @staticmethod
    async def _answer_instead(body: Body, send: Send) -> None:
        if body.refusal is not None:
            await refuse(body.refusal, body.rest, send, DRAIN_PAUSE)
        else:
            await later(503, "A store of the server cannot be asked at the moment.").send(send)

    async def _move(self, scope: Scope, body: Body, send: Send, transfer: Transfer) -> None:
        """Asks the application whether it may, and moves the artifact itself."""
        errand = Errand()
        held: list[Message] = []
        bare = [
            (name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding")
        ]

        async def hold(message: Message) -> None:
            held.append(message)

        empty = Body(no_body, None, None, self._limits.idle_seconds, "")
        await self._serve({**scope, "headers": bare, ERRAND: errand}, empty, hold)
        if errand.user is None:
            for message in held:
                await send(message)
            return
        cookies = [pair for message in held for pair in message.get("headers", ()) if pair[0].lower() == b"set-cookie"]
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": [*message["headers"], *cookies]}
            await send(message)

        try:
            async with self._transfers.place(errand.user), self._transfers.turn(errand.user):
                await transfer(scope, body, answer, errand.told)
            if body.refusal is not None and not begun:
                # To the transfer that was as if the client had gone.
                raise body.refusal
        except Refusal as refusal:
            if begun:
                # Half an artifact is sent: only the end of the connection tells the client.
                raise
            await refuse(body.refusal or refusal, body.rest, answer)
