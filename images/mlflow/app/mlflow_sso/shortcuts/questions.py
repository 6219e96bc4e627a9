"""Questions to the plugin's database that each request asks: one statement each, on connections that stay open.

The plugin asks them by objects that are built and thrown away, in a transaction on a connection that is tried first:
four journeys to the database and some 2 ms of computing. Source: SQLAlchemy 2.1, "Working with Engines and
Connections", "Setting Transaction Isolation Levels including DBAPI Autocommit".
"""

import threading
from typing import Any

from mlflow_oidc_auth.store import store
from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError

from mlflow_sso.databases import keeps

_of_thread = threading.local()
_KEEPS = keeps()


def ask(statement: Executable, **words: Any) -> Any:
    """The first row of an answer; None where there is none. Where there are enough, each thread keeps a connection.

    Raises SQLAlchemyError where the database cannot be asked.
    """
    opened: Connection | None = getattr(_of_thread, "connection", None)
    if opened is not None:
        try:
            return opened.execute(statement, words).first()
        except DBAPIError:
            # The database was started anew, or is away: a new connection tells.
            del _of_thread.connection
            opened.invalidate()
            opened.close()
    opened = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        row = opened.execute(statement, words).first()
    except BaseException:
        opened.close()
        raise
    if _KEEPS:
        _of_thread.connection = opened
    else:
        opened.close()
    return row
