"""Logins that fail: each costs as much as one that does not, and whoever makes many waits for the answers."""

import asyncio
import time

# Answers in one second that nobody waits for: more than people and their jobs get together when tokens end.
_FREE = 20
# Seconds that each answer beyond waits.
_PAUSE = 1.0


class Failures:
    """Counts refusals to credentials of all kinds and names: a stranger has as many as it likes."""

    def __init__(self) -> None:
        self._second, self._count = 0, 0

    async def pause(self) -> None:
        """Returns when a refusal may be sent."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > _FREE:
            await asyncio.sleep(_PAUSE)
