"""People who come no more: accounts are brought to what Keycloak says of their owners, whether they come or not.

Somebody who was disabled, deleted or taken out of every group in Keycloak shows no new token that says so. Every few
seconds one of the server's processes asks Keycloak who is there, and their personal tokens and sessions end.
"""

import threading
import time
from dataclasses import replace
from typing import Any

from mlflow_oidc_auth.config import config
from mlflow_oidc_auth.db.models import SqlUser, SqlUserIdentity
from mlflow_oidc_auth.logger import get_logger
from mlflow_oidc_auth.provider_registry import DEFAULT_PROVIDER_ID
from mlflow_oidc_auth.store import store
from sqlalchemy import BigInteger, Column, MetaData, SmallInteger, Table, or_, select
from sqlalchemy.dialects.postgresql import insert

from mlflow_sso.groups import accounts, record
from mlflow_sso.groups.directory import Account, Directory, DirectoryError, Person
from mlflow_sso.groups.words import GONE, LEEWAY, Rank, Words

_log = get_logger()
# Seconds between two looks of one process, and the least between two of all.
_PAUSE, _APART = 20.0, 15
# Seconds for which what was seen is news.
_HOLDS = 120
# When one of the processes looked last, in a single row.
_LOOKS = Table(
    "mlflow_sso_looks",
    MetaData(),
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("began_at", BigInteger, nullable=False),
)
_OTHERS = select(SqlUserIdentity.id).where(
    SqlUserIdentity.user_id == SqlUser.id, SqlUserIdentity.provider_id != DEFAULT_PROVIDER_ID
)
# People of the stack's own provider. An account of before the plugin kept subjects has its own name for one, until
# its owner comes again.
_ACCOUNTS = (
    select(SqlUser.id, SqlUser.username, SqlUser.is_service_account, SqlUserIdentity.subject, *record.COLUMNS)
    .join(SqlUserIdentity, SqlUserIdentity.user_id == SqlUser.id)
    .outerjoin(record.TABLE, record.OF_ACCOUNT)
    .where(
        SqlUser.active,
        SqlUserIdentity.provider_id == DEFAULT_PROVIDER_ID,
        SqlUserIdentity.subject != SqlUser.username,
        ~_OTHERS.exists(),
    )
    .order_by(SqlUser.id)
)


def look(directory: Directory, began: int) -> int:
    """Brings every account to what the directory says; how many were changed.

    began: seconds since the epoch; what a token of later says wins. Raises DirectoryError and what databases raise.
    """
    provider = config.AUTH_PROVIDERS.by_id(DEFAULT_PROVIDER_ID)
    names = tuple(dict.fromkeys([*config.OIDC_ADMIN_GROUP_NAME, *config.OIDC_GROUP_NAME]))
    if provider is None or provider.type != "oidc" or not names:
        return 0
    present, changed = directory.members(names), 0
    with store.engine.connect() as connection:
        rows = connection.execute(_ACCOUNTS).all()
    for row in rows:
        kept = record.kept(row)
        if row.is_service_account and not kept.issued:
            # Made by hand, for programs whose tokens never told of a group.
            continue
        groups = present.get(row.subject)
        person = Person(True, frozenset(groups)) if groups else directory.person(row.subject, names)
        said = _words(provider, person, began)
        if said.digest == kept.digest and kept.refusal == said.refusal:
            continue
        current = {group.group_name for group in store.get_user_profile(row.username).groups}
        if (said.rank, said.refusal) == (kept.rank, kept.refusal) and current.intersection(names) == set(said.groups):
            # A token told of other groups besides.
            continue
        others = sorted(current.difference(names))
        accounts.bring(row.username, row, provider, replace(said, groups=(*said.groups, *others)))
        if said.refusal:
            accounts.end_sessions(row.username, said.refusal)
            _log.info("%s may come in no more: %s", row.username, said.refusal)
        changed += 1
    return changed


def _words(provider: Any, person: Person | None, began: int) -> Words:
    groups = sorted(person.groups) if person else []
    if person is None or not person.enabled:
        return Words(tuple(groups), Rank.STRANGER, began, began + _HOLDS, GONE)
    return Words(tuple(groups), accounts.rank(provider, groups), began, began + _HOLDS)


def _is_turn(now: int) -> bool:
    """Whether this process is to look now. A time from the future is of a clock that went wrong."""
    last = _LOOKS.c.began_at
    due = _LOOKS.update().where(or_(last <= now - _APART, last > now + LEEWAY)).values(began_at=now)
    with store.engine.begin() as connection:
        return bool(connection.execute(due).rowcount)


def _go_on(directory: Directory) -> None:
    told = ""
    while True:
        time.sleep(_PAUSE)
        began, trouble = int(time.time()), ""
        try:
            if not _is_turn(began):
                continue
            look(directory, began)
        except DirectoryError as error:
            trouble = str(error)
        except Exception as error:
            # The next look is of everything again.
            trouble = type(error).__name__
        if trouble != told:
            told = trouble
            text = f"is not known: {trouble}" if trouble else "is known again"
            _log.warning("Whether people are still there %s", text)


def install() -> None:
    """Looks from now on, where the stack gave an account for it."""
    account = Account.told()
    if account is None:
        return
    with store.engine.begin() as connection:
        record.alone(connection)
        _LOOKS.create(connection, checkfirst=True)
        connection.execute(insert(_LOOKS).values(id=1, began_at=0).on_conflict_do_nothing())
    threading.Thread(target=_go_on, args=(Directory(account),), name="leavers", daemon=True).start()
