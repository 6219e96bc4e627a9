"""Work that waits for several answers side by side, and can be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def side_by_side(most: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads whose work is waited for at the end; an interrupt is not kept waiting by it.

    Python waits for them once more at the end of the process, so whoever handles the interrupt ends it by `os._exit`.
    most: how many at once; None: what the executor takes by itself.
    """
    pool, waited = ThreadPoolExecutor(most), True
    try:
        yield pool
    except KeyboardInterrupt:
        waited = False
        raise
    finally:
        pool.shutdown(wait=waited, cancel_futures=not waited)
