"""Turns for users, one after the other: who asks for much waits for himself, and others do not wait for him."""

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cachetools import LRUCache, TTLCache

from mlflow_sso.guard.answers import Refusal, later

# Seconds for which a user counts as here after a request, users that are remembered, and how much of what is known of
# the requests of one is the last of them.
_HERE, _USERS, _LAST = 60.0, 10_000, 0.3


class Line:
    """Gives out turns; where none is left, users get the next ones in rotation.

    turns: how many there are. of_one: how many one user may have at once. places: how many requests of one user may
    be there; as many more wait outside, unread. wait: seconds that a request waits for its place, and then for its
    turn, at most. waited: is told how long each waited. long:
    seconds; while others are here, a user whose requests compute longer has one turn at a time: Python computes one
    thing at once, and each of several long ones takes its share before a short one goes on. What the process computed
    in a turn is divided by the turns beside it.
    """

    def __init__(
        self,
        turns: int,
        of_one: int,
        places: int,
        wait: float,
        waited: Callable[[float], None] = lambda _: None,
        long: float = math.inf,
        computed: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._waited, self._long, self._computed = waited, long, computed
        self._turns, self._free, self._of_one, self._places, self._wait = turns, turns, of_one, places, wait
        self._here: TTLCache[str, None] = TTLCache(_USERS, _HERE)
        self._cost: LRUCache[str, float] = LRUCache(_USERS)
        self._present: Counter[str] = Counter()
        self._outside: dict[str, deque[asyncio.Future[None]]] = {}
        self._taken: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, user: str) -> AsyncIterator[None]:
        """A place of a user's, from the first byte of a request to the last of its answer. Raises Refusal: 429."""
        await self._come(user)
        try:
            yield
        finally:
            self._go(user)

    async def _come(self, user: str) -> None:
        if self._present[user] < self._places:
            self._present[user] += 1
            return
        outside = self._outside.setdefault(user, deque())
        if len(outside) >= self._places:
            raise self._many()
        asked = asyncio.get_running_loop().create_future()
        outside.append(asked)
        try:
            async with asyncio.timeout(self._wait):
                await asked
        except TimeoutError:
            # The place may have come at the same moment, as a turn may.
            if not asked.done() or asked.cancelled():
                raise self._many() from None
        except BaseException:
            if asked.done() and not asked.cancelled():
                self._go(user)
            raise
        finally:
            if asked in outside:
                outside.remove(asked)
            if not outside and self._outside.get(user) is outside:
                del self._outside[user]

    def _many(self) -> Refusal:
        return later(429, f"{self._places} requests of one user are here already.")

    def _go(self, user: str) -> None:
        """Takes a place back, and gives it to who waited longest for one of the user's."""
        outside = self._outside.get(user, ())
        while outside:
            asked = outside.popleft()
            if not asked.done():
                asked.set_result(None)
                return
        self._present[user] -= 1
        if not self._present[user]:
            del self._present[user]

    @asynccontextmanager
    async def turn(self, user: str, ahead: bool = False) -> AsyncIterator["Turn"]:
        """A turn of a user's. ahead: before the others that the user waits for. Raises Refusal after the wait: 503."""
        await self._take(user, ahead)
        turn = Turn(lambda seconds: self._used(user, seconds))
        try:
            yield turn
        finally:
            turn.end()

    async def _take(self, user: str, ahead: bool) -> None:
        if self._free and self._taken[user] < self._most(user) and user not in self._waiting:
            self._give(user)
            self._waited(0.0)
            return
        start = time.monotonic()
        asked = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(user, deque())
        queue.insert(0 if ahead else len(queue), asked)
        try:
            async with asyncio.timeout(self._wait):
                await asked
        except TimeoutError:
            # The turn may have come at the same moment.
            if not asked.done() or asked.cancelled():
                raise later(503, f"The server was busy for {self._wait:g} seconds.") from None
        except BaseException:
            # The turn may have come at the moment in which the client went.
            if asked.done() and not asked.cancelled():
                self._end(user)
            raise
        finally:
            self._waited(time.monotonic() - start)
            self._forget(user, asked)

    def _most(self, user: str) -> int:
        """How many turns a user may have now."""
        if self._cost.get(user, 0.0) <= self._long:
            return self._of_one
        return 1 if any(other != user for other in self._here) else self._of_one

    def _used(self, user: str, seconds: float) -> None:
        """Takes a turn back in which the process computed for so long."""
        alone, known = seconds / (self._turns - self._free), self._cost.get(user, 0.0)
        # A short request says less than a long one: else a few of them would hide it.
        self._cost[user] = known + _LAST * min(1.0, 0.1 + alone / self._long) * (alone - known)
        self._end(user)
        self._computed(alone)

    def came(self, user: str) -> None:
        """Tells that a user is here, whom others then have to leave turns for."""
        self._here[user] = None

    def _give(self, user: str) -> None:
        self._free -= 1
        self._taken[user] += 1

    def _forget(self, user: str, asked: asyncio.Future[None]) -> None:
        queue = self._waiting.get(user)
        if queue is not None and asked in queue:
            queue.remove(asked)
            if not queue:
                del self._waiting[user]

    def _end(self, user: str) -> None:
        """Takes a turn back, and gives it to the next."""
        self._free += 1
        self._taken[user] -= 1
        if not self._taken[user]:
            del self._taken[user]
        given = True
        # More than one, where a user may have more turns than before.
        while given:
            given = False
            for waiting in list(self._waiting):
                if not self._free:
                    return
                if self._taken[waiting] < self._most(waiting):
                    self._next(waiting)
                    given = True

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
    """What one request has until it ends it, at the latest when it is over.

    over: is told the seconds for which the process computed meanwhile.
    """

    def __init__(self, over: Callable[[float], None]) -> None:
        self._over, self._began, self._ended = over, time.process_time(), False

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._over(time.process_time() - self._began)
