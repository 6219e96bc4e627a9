"""Questions to the plugin's database that each request asks: one statement each, on a connection that stays open.

The plugin asks them by objects that are built and thrown away, in a transaction on a connection that is tried first:
four journeys to the database and some 2 ms of computing. Source: SQLAlchemy 2.1, "Working with Engines and
Connections", "Setting Transaction Isolation Levels including DBAPI Autocommit".
"""

import threading
from typing import Any

from mlflow_oidc_auth.store import store
from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError


class Questions:
    """One connection, for one thread at a time. Raises SQLAlchemyError where the database cannot be asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Connection | None = None

    def ask(self, statement: Executable, **words: Any) -> Any:
        """The first row of an answer; None where there is none."""
        with self._lock:
            if self._open is not None:
                try:
                    return self._open.execute(statement, words).first()
                except DBAPIError:
                    # The database was started anew, or is away: a new connection tells.
                    self._open.invalidate()
                    self._open.close()
                    self._open = None
            opened = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                row = opened.execute(statement, words).first()
            except BaseException:
                opened.close()
                raise
            self._open = opened
            return row


# Of the event loop: the plugin asks there who somebody is.
of_the_loop = Questions()
