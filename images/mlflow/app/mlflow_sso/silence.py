"""A database that says nothing more while its machine still takes what it is sent: storage hangs, a program is stopped.

Nobody else ends the wait for its answer. PostgreSQL's own limit of a statement is held by the server that hangs, and
the line between looks well. So each question has an end here, after which its connection is shut down: what waits for
it fails then as it does where the server has gone.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Protocol

# Seconds for the question whether a connection still works, which a pool asks before it gives one out.
ALIVE = 5.0
# As SQLAlchemy asks it (`DefaultDialect.do_ping`, 2.1).
_PING = "SELECT 1"
# What a statement may take beyond the server's own limit, and how often somebody looks.
_MORE, _LOOKS = 15.0, 1.0


class Connection(Protocol):
    def fileno(self) -> int: ...


class Watch:
    """Looks after questions to databases. seconds: what a statement may take by the server's own limit."""

    def __init__(self, seconds: float, looks: float = _LOOKS) -> None:
        self._seconds, self._looks = seconds + _MORE, looks
        self._asked: dict[object, tuple[float, Connection]] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Looks from now on, in a thread that ends with the process."""
        threading.Thread(target=self._look, name="databases", daemon=True).start()

    @contextmanager
    def asking(self, connection: Connection, statement: object = "") -> Iterator[None]:
        """A question, from the first byte of it to the last of its answer."""
        end = time.monotonic() + (ALIVE if statement == _PING else self._seconds)
        question = object()
        self._asked[question] = (end, connection)
        try:
            yield
        finally:
            # After a look that is under way: it may be at this very connection.
            with self._lock:
                del self._asked[question]

    def _look(self) -> None:
        while True:
            time.sleep(self._looks)
            self.end_late()

    def end_late(self) -> None:
        """Shuts the connections of questions down whose time is over."""
        now = time.monotonic()
        for question, (end, connection) in list(self._asked.items()):
            if end < now:
                with self._lock:
                    if question in self._asked:
                        _shut(connection)


def _shut(connection: Connection) -> None:
    """Ends a line, and not its descriptor, which belongs to the library that waits there."""
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


@cache
def watched(watch: Watch) -> Callable[..., Any]:
    """A class of psycopg2's connections whose questions are looked after."""
    from psycopg2 import extensions

    class Cursor(extensions.cursor):  # type: ignore[misc]
        def execute(self, statement: Any, *words: Any, **more: Any) -> Any:
            with watch.asking(self.connection, statement):
                return super().execute(statement, *words, **more)

        def executemany(self, *words: Any, **more: Any) -> Any:
            with watch.asking(self.connection):
                return super().executemany(*words, **more)

    class Watched(extensions.connection):  # type: ignore[misc]
        def cursor(self, *words: Any, **more: Any) -> Any:
            return super().cursor(*words, **{"cursor_factory": Cursor, **more})

        def commit(self) -> None:
            with watch.asking(self):
                super().commit()

        def rollback(self) -> None:
            with watch.asking(self):
                super().rollback()

    return Watched
