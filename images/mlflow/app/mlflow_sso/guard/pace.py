"""Short requests come between the pieces of long bodies, however many of these could move."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

# Pieces in each round of the event loop: it does all that is ready before it looks for more, and a short request needs
# some ten rounds.
_PIECES = 2


class Pace:
    """Lets a few pieces move in each round of the event loop, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._runs = False
        self._bodies = 0

    @contextmanager
    def body(self) -> Iterator[None]:
        """A body on its way. So few that all of them could move in each round do not wait."""
        self._bodies += 1
        try:
            yield
        finally:
            self._bodies -= 1

    async def step(self) -> None:
        """Returns when a piece may move."""
        if self._bodies <= _PIECES:
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._runs:
            self._runs = True
            loop.call_soon(self._round, loop)
        await turn

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(_PIECES, len(self._waiting))):
            turn = self._waiting.popleft()
            # Its client may have gone.
            if not turn.done():
                turn.set_result(None)
        self._runs = bool(self._waiting)
        if self._runs:
            loop.call_soon(self._round, loop)
