"""Chunks of a few bytes wait for each other, whoever sends them: each costs the server's thread as much as a large one.

The server handles all that it has read at once, up to 256 KiB, before anything else happens: 44,000 chunks of one byte
kept everybody waiting for two seconds (RFC 9112, section 7.1, sets no least size).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream

# Bytes below which a chunk is tiny, and how many of these all connections may have handled in so many seconds.
_TINY, _CHUNKS, _SECONDS = 1024, 64, 0.01


class Budget:
    """What all connections of this process may have handled of tiny chunks; those that had too much come in turn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._until = _CHUNKS, 0.0
        self._waiting: deque[Callable[[], None]] = deque()

    def spend(self) -> bool:
        """Takes one chunk out of it; whether there is more."""
        now = self._clock()
        if now >= self._until:
            self._left, self._until = _CHUNKS, now + _SECONDS
        self._left -= 1
        return self._left > 0

    def wait(self, again: Callable[[], None]) -> None:
        """Calls back once it is somebody's turn."""
        self._waiting.append(again)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_SECONDS, self._next)

    def _next(self) -> None:
        # A turn has a budget of its own: who just sends another chunk does not come before those who wait.
        self._left, self._until = _CHUNKS, self._clock() + _SECONDS
        again = self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_later(_SECONDS, self._next)
        again()


class Slow:
    """A connection's parser, which says that it needs more data while it has to wait.

    parser: h11's `Connection`. need: what it says then. chunk: its class of a piece of a body. hold: stops reading from
    the network, or goes on with it. go_on: handles what was read.
    """

    def __init__(
        self,
        parser: Any,
        need: Any,
        chunk: type,
        budget: Budget,
        hold: Callable[[bool], None],
        go_on: Callable[[], None],
    ) -> None:
        self._parser, self._need, self._chunk, self._budget = parser, need, chunk, budget
        self._hold, self._go_on = hold, go_on
        self._waits = self._over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def next_event(self) -> Any:
        if self._waits:
            return self._need
        if self._over:
            self._over, self._waits = False, True
            self._hold(True)
            self._budget.wait(self._again)
            return self._need
        event = self._parser.next_event()
        if isinstance(event, self._chunk) and len(getattr(event, "data", b"")) < _TINY:
            self._over = not self._budget.spend()
        return event

    def _again(self) -> None:
        self._waits = False
        self._hold(False)
        self._go_on()


def install() -> None:
    """Puts it in place for every connection."""
    import h11
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.h11_impl import H11Protocol

    budget = Budget()

    class Flow(FlowControl):
        """Reads no more while what was read waits, whatever the application asks for."""

        held = False

        def resume_reading(self) -> None:
            if not self.held:
                super().resume_reading()

    def made(original: Callable[..., None]) -> Callable[..., None]:
        @wraps(original)
        def connection_made(protocol: Any, transport: Any) -> None:
            original(protocol, transport)
            flow = protocol.flow = Flow(transport)

            def hold(waits: bool) -> None:
                flow.held = waits
                (flow.pause_reading if waits else flow.resume_reading)()

            def go_on() -> None:
                if not transport.is_closing():
                    protocol.handle_events()

            protocol.conn = Slow(protocol.conn, h11.NEED_DATA, h11.Data, budget, hold, go_on)

        return connection_made

    upstream.replace(H11Protocol, "connection_made", "ba1915817ccf6c1b", made)
    upstream.reads(H11Protocol, "handle_events", "1fba7774f4201d2e")
    upstream.reads(H11Protocol, "data_received", "b8454726ed40dc5f")
    upstream.reads(H11Protocol, "on_response_complete", "f3922ff1678fe187")
