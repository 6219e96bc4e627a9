"""Full collections of garbage as a long request ends, and not in the middle of it: everybody waits for each of them.

Python collects fully whenever what lived through two collections has grown by a quarter. That is in the middle of long
requests, whose objects are millions: 0.1 to 0.4 s each time. At the end what is left is what one tied into circles, and
what belongs to another long one on its way. That takes 50 ms: so one collection serves all that ended in some seconds,
unless they left much. Source: docs of Python's `gc`, `set_threshold` and `freeze`.
"""

import gc
import os
import threading
import time

# Python's own for the two younger generations, and never for all.
_YOUNG, _MIDDLE, _ALL = 2000, 10, 1 << 30
# Seconds that one request computed, or all together since the last collection, after which there is something to find.
_LONG, _TOGETHER = 0.1, 2.0
# Seconds between two collections, unless memory has grown by so many bytes.
_PAUSE, _GROWTH = 5.0, 128 << 20
# However little was computed, a collection comes after so many seconds.
_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Garbage:
    """What was computed since the last full collection, and what there was then. now: seconds; memory: bytes."""

    def __init__(self, now: float, memory: int) -> None:
        self._found = False
        self.collected(now, memory)

    def computed(self, seconds: float, now: float) -> bool:
        """Tells of a request that is over, and returns whether a collection is due at this moment."""
        self._computed += seconds
        self._found = self._found or seconds >= _LONG or self._computed >= _TOGETHER
        return self._found and now >= self._time + _PAUSE

    def is_old(self, now: float, memory: int) -> bool:
        """Whether a collection is due, whatever is on its way."""
        longest = 2 * _PAUSE if self._found else _SECONDS
        return now >= self._time + longest or memory >= self._memory + _GROWTH

    def collected(self, now: float, memory: int) -> None:
        self._time, self._memory, self._computed, self._found = now, memory, 0.0, False


class Collections:
    """A thread that collects where it is due, in place of Python."""

    def __init__(self) -> None:
        # Open for good: strangers may use up what else can be opened.
        self._pages = os.open("/proc/self/statm", os.O_RDONLY)
        self._garbage = Garbage(time.monotonic(), self._memory())
        self._due = threading.Event()

    def computed(self, seconds: float) -> None:
        """Tells of a request that is over."""
        if self._garbage.computed(seconds, time.monotonic()):
            self._due.set()

    def install(self) -> None:
        """Call it once all is loaded, which stays: no collection walks it."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, _MIDDLE, _ALL)
        threading.Thread(target=self._collect, name="garbage", daemon=True).start()

    def _memory(self) -> int:
        """Source: proc(5), /proc/pid/statm, whose second number is the resident pages."""
        return int(os.pread(self._pages, 128, 0).split()[1]) * _PAGE

    def _collect(self) -> None:
        while True:
            if self._due.wait(_LOOK_SECONDS) or self._garbage.is_old(time.monotonic(), self._memory()):
                self._due.clear()
                gc.collect()
                self._garbage.collected(time.monotonic(), self._memory())
