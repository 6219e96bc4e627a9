"""Short requests come between the pieces of long bodies, however many of these could move."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

# Pieces in each round of the event loop: it does all that is ready before it looks for more, and a short request needs
# some ten rounds.
_PIECES = 2
# Seconds between two pieces while somebody's short request is under way. Pieces have up to 256 KiB on their way in and
# 1 MiB on their way out, so that a network of a gigabit is full with that.
_APART = 0.002
# Seconds after which a request is no short one: pieces do not wait for what is slow in itself.
_SHORT = 0.1


class Calls:
    """The requests with short bodies that are under way, whoever sent them."""

    def __init__(self) -> None:
        # In the order in which they began.
        self._begun: dict[object, float] = {}

    @contextmanager
    def one(self) -> Iterator[None]:
        """One of them, from its first byte to the last of its answer."""
        call = object()
        self._begun[call] = time.monotonic()
        try:
            yield
        finally:
            del self._begun[call]

    def wait(self) -> bool:
        """Whether one waits for its answer that may be there soon."""
        return bool(self._begun) and time.monotonic() - next(reversed(self._begun.values())) < _SHORT


class Pace:
    """Lets a few pieces move in each round of the event loop, in the order in which they came; fewer beside `calls`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._runs = False
        self._bodies = 0

    @contextmanager
    def body(self) -> Iterator[None]:
        """A body on its way. So few that all of them could move in each round do not wait, but for calls."""
        self._bodies += 1
        try:
            yield
        finally:
            self._bodies -= 1

    async def step(self) -> None:
        """Returns when a piece may move."""
        if self._bodies <= _PIECES and not self._calls.wait():
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._runs:
            self._runs = True
            loop.call_soon(self._round, loop)
        await turn

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        calls = self._calls.wait()
        for _ in range(min(1 if calls else _PIECES, len(self._waiting))):
            turn = self._waiting.popleft()
            # Its client may have gone.
            if not turn.done():
                turn.set_result(None)
        # Also behind the last one: the next piece of the same body is there at once.
        self._runs = calls or bool(self._waiting)
        if calls:
            loop.call_later(_APART, self._round, loop)
        elif self._runs:
            loop.call_soon(self._round, loop)
