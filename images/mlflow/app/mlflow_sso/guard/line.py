"""Turns for users, one after the other: who asks for much waits for himself, and others do not wait for him."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from mlflow_sso.guard.answers import later


class Line:
    """Gives out turns; where none is left, users get the next ones in rotation.

    turns: how many there are. of_one: how many one user may have at once. places: how many requests of one user may
    be there. wait: seconds that a request waits for its turn at most. waited: is told how long each waited.
    """

    def __init__(
        self, turns: int, of_one: int, places: int, wait: float, waited: Callable[[float], None] = lambda _: None
    ) -> None:
        self._waited = waited
        self._free, self._of_one, self._places, self._wait = turns, of_one, places, wait
        self._present: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @contextmanager
    def place(self, user: str) -> Iterator[None]:
        """A place of a user's, from the first byte of a request to the last of its answer. Raises Refusal: 429."""
        if self._present[user] >= self._places:
            raise later(429, f"{self._places} requests of one user are here already.")
        self._present[user] += 1
        try:
            yield
        finally:
            self._present[user] -= 1
            if not self._present[user]:
                del self._present[user]

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator["Turn"]:
        """A turn of a user's. Raises Refusal after the wait: 503."""
        await self._take(user)
        turn = Turn(self, user)
        try:
            yield turn
        finally:
            turn.end()

    async def _take(self, user: str) -> None:
        if self._free and self._taken[user] < self._of_one and user not in self._waiting:
            self._give(user)
            self._waited(0.0)
            return
        start = time.monotonic()
        asked = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(asked)
        try:
            async with asyncio.timeout(self._wait):
                await asked
        except TimeoutError:
            # The turn may have come at the same moment.
            if not asked.done() or asked.cancelled():
                raise later(503, f"The server was busy for {self._wait:g} seconds.", 5) from None
        except BaseException:
            # The turn may have come at the moment in which the client went.
            if asked.done() and not asked.cancelled():
                self.end(user)
            raise
        finally:
            self._waited(time.monotonic() - start)
            self._forget(user, asked)

    def _give(self, user: str) -> None:
        self._free -= 1
        self._taken[user] += 1

    def _forget(self, user: str, asked: asyncio.Future[None]) -> None:
        queue = self._waiting.get(user)
        if queue is not None and asked in queue:
            queue.remove(asked)
            if not queue:
                del self._waiting[user]

    def end(self, user: str) -> None:
        """Takes a turn back, and gives it to the next."""
        self._free += 1
        self._taken[user] -= 1
        if not self._taken[user]:
            del self._taken[user]
        for waiting in list(self._waiting):
            if not self._free:
                return
            if self._taken[waiting] < self._of_one:
                self._next(waiting)

    def _next(self, user: str) -> None:
        queue = self._waiting.pop(user)
        while queue:
            asked = queue.popleft()
            if not asked.done():
                self._give(user)
                asked.set_result(None)
                break
        if queue:
            # Behind everybody else who waits.
            self._waiting[user] = queue


class Turn:
    """What one request has until it ends it, at the latest when it is over."""

    def __init__(self, line: Line, user: str) -> None:
        self._line, self._user, self._over = line, user, False

    def end(self) -> None:
        if not self._over:
            self._over = True
            self._line.end(self._user)
