"""The innermost part: requests of users whom the application knows by now take turns, and only theirs are read."""

import asyncio
import contextvars
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from mlflow_sso.asgi import Application, Message, Receive, Scope, Send
from mlflow_sso.guard.answers import Refusal, later
from mlflow_sso.guard.below import path_of
from mlflow_sso.guard.bodies import DRAIN_PAUSE, header, no_body, refuse, whole
from mlflow_sso.guard.guard import ERRAND, KIND, Errand
from mlflow_sso.guard.line import Line, Turn
from mlflow_sso.guard.lines import LARGE, Lines
from mlflow_sso.guard.routes import Kind, judged_by_body, kind

# Spans beyond so many bytes are decoded in a thread: the server's own goes on with everybody's requests meanwhile.
_DECODED_ASIDE = 1 << 18
_LET_IN = "mlflow_sso.let_in"
# Shorter answers, and pieces of files, are not worth to be counted.
_PIECE = 1 << 16


class Turns:
    """Lets each user's requests in, in turns, with bodies that are there as a whole.

    user_of: who asks, by what the application found out; None: nobody, whose body is not read.
    ask: answers an Errand, or sends the refusal of it. first: only those whose right the application knows by the body;
    another one, with the same lines, stands further in for all others. directory: whether the header of a request has a
    token that a directory was given; no other's body is read.
    """

    def __init__(
        self,
        app: Application,
        lines: Lines,
        user_of: Callable[[Scope], str | None],
        ask: Callable[[Scope, Send, Errand], Awaitable[None]],
        first: bool = False,
        directory: Callable[[bytes], Awaitable[bool]] | None = None,
    ) -> None:
        self._app, self._lines, self._user_of, self._ask, self._first = app, lines, user_of, ask, first
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        what = scope.get(KIND)
        if what is None or scope.get(_LET_IN) or (self._first and not judged_by_body(what, path_of(scope))):
            await self._app(scope, receive, send)
            return
        if scope.get("root_path", "") and kind(scope["method"], path_of(scope)) is not what:
            # Nothing further in may be routed by another path than the one that the limits are by.
            text = "The path and the prefix that a proxy told lead to different places."
            await Refusal(400, text).send(send)
            return
        if what is Kind.OPEN:
            await self._app(scope, receive, send)
            return
        user = self._user_of(scope)
        if user is not None:
            self._lines.usual.came(user)
        elif what is Kind.DIRECTORY and (token := header(scope, b"authorization")) and await self._knows(token):
            # The application asks again, once the body is there.
            user = "directory " + hashlib.sha256(token).hexdigest()
        else:
            await self._app(scope, no_body, send)
            return
        scope[_LET_IN] = True
        try:
            await self._let_in(scope, receive, send, user)
        except Refusal as refusal:
            await refusal.send(send)

    async def _knows(self, token: bytes) -> bool:
        return self._directory is not None and await self._directory(token)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, user: str) -> None:
        is_model = scope[KIND] is Kind.MODEL
        lines = self._lines
        line, large = (lines.models, lines.large_models) if is_model else (lines.usual, lines.large)
        errand = scope.get(ERRAND)
        async with line.place(user):
            if isinstance(errand, Errand):
                async with line.turn(user):
                    await self._ask(scope, send, errand)
                return
            async with AsyncExitStack() as stack:
                held, taken = _Held(lines.held, user, lines.limits.held_bytes), _Taken(stack, user)
                stack.callback(held.free)
                body = await self._body(receive, send, held, taken)
                if body is None:
                    return
                if is_model:
                    taken.end()
                is_large = len(body) > LARGE
                if is_large:
                    await taken.take(large)
                # Before the user's own short ones, since it keeps one of few places.
                await taken.take(line, ahead=is_large)
                await self._answer(scope, _Replay(body, receive), _Begin(send, held, taken))

    async def _body(self, receive: Receive, send: Send, held: "_Held", taken: "_Taken") -> bytes | None:
        """A body as a whole; None where nobody waits for its answer: the client has gone, or was refused."""

        async def step() -> None:
            if held.own > LARGE and not taken:
                await taken.take(self._lines.read)
            await self._lines.pace.step()

        try:
            with self._lines.pace.body():
                return await whole(receive, held.count, step)
        except Refusal as error:
            # Without what came so far, which the place in the code would keep.
            refusal = error.with_traceback(None)
        held.free()
        taken.end()
        await refuse(refusal, receive, send, DRAIN_PAUSE)
        return None

    async def _answer(self, scope: Scope, receive: "_Replay", send: Send) -> None:
        if scope[KIND] is not Kind.TRACE or len(receive.body) < _DECODED_ASIDE:
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        context = contextvars.copy_context()
        aside = _Replay(receive.body, _never)
        await asyncio.to_thread(context.run, asyncio.run, self._aside(scope, aside, keep))
        for message in messages:
            await send(message)

    async def _aside(self, scope: Scope, receive: "_Replay", send: Send) -> None:
        await self._app(scope, receive, send)


class _Taken:
    """Turns in several lines that one request has: it ends them together, at the latest when it is over."""

    def __init__(self, stack: AsyncExitStack, user: str) -> None:
        self._stack, self._user, self._turns = stack, user, list[Turn]()

    def __bool__(self) -> bool:
        return bool(self._turns)

    async def take(self, line: Line, ahead: bool = False) -> None:
        """Raises Refusal, as the line does."""
        self._turns.append(await self._stack.enter_async_context(line.turn(self._user, ahead)))

    def end(self) -> None:
        for turn in self._turns:
            turn.end()


class _Begin:
    """The send of an answer, whose first message waits for the second: then all that is computed at once is there."""

    def __init__(self, send: Send, held: "_Held", taken: _Taken) -> None:
        self._send, self._held, self._taken = send, held, taken
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # A slow reader keeps nobody else waiting.
            self._taken.end()
            self._start = message
            return
        if self._start is not None:
            self._held.answer(message)
            start, self._start = self._start, None
            await self._send(start)
        await self._send(message)


class _Held:
    """The bytes of one request among those of its user that are in memory. own: how many they are."""

    def __init__(self, all_held: Counter[str], user: str, maximum: int) -> None:
        self._all, self._user, self._maximum, self.own = all_held, user, maximum, 0

    def count(self, size: int) -> None:
        """Counts a piece of the body. Raises Refusal where the user has too much here."""
        self._add(size)
        if self._all[self._user] > self._maximum:
            raise later(429, f"Requests of one user with {self._maximum >> 20} MiB are here already.")

    def answer(self, message: Message) -> None:
        """Counts what is there of an answer as it begins, until the answer is over: of a file, that is a piece.

        Raises Refusal where the user reads none of many.
        """
        size = len(message.get("body", b""))
        if size > _PIECE and self._all[self._user] + size > self._maximum:
            raise later(429, f"Answers with {self._maximum >> 20} MiB that were not read are here already.")
        self._add(size)

    def _add(self, size: int) -> None:
        self.own += size
        self._all[self._user] += size

    def free(self) -> None:
        self._all[self._user] -= self.own
        self.own = 0
        if self._all[self._user] <= 0:
            del self._all[self._user]


class _Replay:
    """The receive of a body that is there. after: what comes then."""

    def __init__(self, body: bytes, after: Receive) -> None:
        self.body, self._after, self._given = body, after, False

    async def __call__(self) -> Message:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        return await self._after()


async def _never() -> Message:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("a future that nobody fulfils")
