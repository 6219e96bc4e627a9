"""The newest token's word on each account: a table of our own in the plugin's database, read with the account.

All processes and replicas share it. One of them at a time brings an account to a token, so that an older token is
never written after a newer one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow_oidc_auth.db.models import SqlUser
from mlflow_oidc_auth.store import store
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, SmallInteger, String, Table, func, select
from sqlalchemy.dialects.postgresql import insert

from mlflow_sso.groups.words import Kept, Words

TABLE = Table(
    "mlflow_sso_groups",
    MetaData(),
    Column(
        "user_id",
        Integer,
        ForeignKey(SqlUser.__table__.c.id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    # `iat` of the token.
    Column("issued_at", BigInteger, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("refusal", String(40), nullable=False),
)
# Joined to the plugin's account, these say what is kept of it.
COLUMNS = (TABLE.c.issued_at, TABLE.c.rank, TABLE.c.digest, TABLE.c.refusal)
OF_ACCOUNT = SqlUser.id == TABLE.c.user_id
# "mlflow_sso" as a number: processes that start together make the table one after the other.
_LOCK = 0x6D6C666C6F77


def kept(row: Any) -> Kept:
    """What is kept of an account, of a row with COLUMNS."""
    return Kept() if row.issued_at is None else Kept(row.issued_at, row.rank, row.digest, row.refusal)


class Held:
    """The record of one account while nobody else may change it."""

    def __init__(self, connection: Any, user: int) -> None:
        self._connection, self._own = connection, TABLE.c.user_id == user
        self.kept = kept(connection.execute(select(*COLUMNS).where(self._own).with_for_update()).one())

    def write(self, words: Words, refusal: str) -> None:
        values = {"issued_at": words.issued, "rank": words.rank, "digest": words.digest, "refusal": refusal}
        self._connection.execute(TABLE.update().where(self._own).values(**values))


@contextmanager
def held(user: int) -> Iterator[Held]:
    """Waits for whoever has the record. Nothing is kept where what is done with it fails."""
    first = {"user_id": user, "issued_at": 0, "rank": 0, "digest": "", "refusal": ""}
    with store.engine.begin() as connection:
        # Ends before the record is held: a row that is being made holds the account too, which is to be changed.
        connection.execute(insert(TABLE).values(**first).on_conflict_do_nothing())
    with store.engine.begin() as connection:
        yield Held(connection, user)


def alone(connection: Any) -> None:
    """Waits until no other process makes a table of ours, for as long as the transaction lasts."""
    if store.engine.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def install() -> None:
    """Makes the table. The plugin has its database's schema current as its application is imported, before this."""
    with store.engine.begin() as connection:
        alone(connection)
        TABLE.create(connection, checkfirst=True)
