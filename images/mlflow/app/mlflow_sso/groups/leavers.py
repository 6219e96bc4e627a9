"""People who come no more: accounts are brought to what Keycloak says of their owners, whether they come or not.

Somebody who was disabled, deleted or taken out of every group in Keycloak shows no new token that says so. Every few
seconds one of the server's processes asks Keycloak who is there, and their personal tokens and sessions end.
"""

import threading
import time
from typing import Any

from mlflow_oidc_auth.config import config
from mlflow_oidc_auth.db.models import SqlUser, SqlUserIdentity
from mlflow_oidc_auth.logger import get_logger
from mlflow_oidc_auth.provider_registry import DEFAULT_PROVIDER_ID
from mlflow_oidc_auth.store import store
from sqlalchemy import BigInteger, Column, MetaData, SmallInteger, Table, exists, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from mlflow_sso.groups import accounts, record
from mlflow_sso.groups.directory import Account, Directory, DirectoryError
from mlflow_sso.groups.looks import Known, Looks
from mlflow_sso.groups.words import LEEWAY, OUT

_log = get_logger()
# Seconds between two looks of one process, and the least between two of all.
_PAUSE, _APART = 20.0, 15
# When one of the processes looked last, in a single row.
_LOOKS = Table(
    "mlflow_sso_looks",
    MetaData(),
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("began_at", BigInteger, nullable=False),
)
_Other = aliased(SqlUserIdentity)
_OTHERS = exists().where(_Other.user_id == SqlUser.id, _Other.provider_id != DEFAULT_PROVIDER_ID)
# People of the stack's own provider. An account of before the plugin kept subjects has its own name for one, until
# its owner comes again.
_ACCOUNTS = (
    select(SqlUser.id, SqlUser.username, SqlUser.is_service_account, SqlUserIdentity.subject, *record.COLUMNS)
    .select_from(SqlUser)
    .join(SqlUserIdentity, SqlUserIdentity.user_id == SqlUser.id)
    .outerjoin(record.TABLE, record.OF_ACCOUNT)
    .where(
        SqlUser.active,
        SqlUserIdentity.provider_id == DEFAULT_PROVIDER_ID,
        SqlUserIdentity.subject != SqlUser.username,
        ~_OTHERS,
    )
    .order_by(SqlUser.id)
)


def _known() -> list[Known]:
    """The accounts that are looked at; one whose owner was made anew in Keycloak has several subjects."""
    found: dict[int, Known] = {}
    with store.engine.connect() as connection:
        for row in connection.execute(_ACCOUNTS):
            before = found[row.id].subjects if row.id in found else ()
            known = (row.id, row.username, bool(row.is_service_account), (*before, row.subject))
            found[row.id] = Known(*known, record.kept(row))
    return list(found.values())


def _bring(looks: Looks, provider: Any, began: int) -> str:
    """Brings every account to what the directory says. Returns what could not be done, if anything.

    began: seconds since the epoch; what a token of later says wins. Raises DirectoryError and what databases raise.
    """
    found, trouble = looks.due(_known(), began)
    for account, said in found:
        try:
            refusal = accounts.bring(account.username, account, provider, said, names=looks.names)
            if refusal in OUT:
                accounts.end_sessions(account.username, refusal)
                _log.info("%s may come in no more: %s", account.username, refusal)
        except Exception as error:
            trouble = f"{type(error).__name__} for {account.username}"
    return trouble


def _is_turn(now: int) -> bool:
    """Whether this process is to look now. A time from the future is of a clock that went wrong."""
    last = _LOOKS.c.began_at
    due = _LOOKS.update().where(or_(last <= now - _APART, last > now + LEEWAY)).values(began_at=now)
    with store.engine.begin() as connection:
        return bool(connection.execute(due).rowcount)


def _go_on(looks: Looks, provider: Any) -> None:
    told = ""
    while True:
        time.sleep(_PAUSE)
        began = int(time.time())
        try:
            if not _is_turn(began):
                continue
            trouble = _bring(looks, provider, began)
            # One that took long is not begun anew beside it.
            _is_turn(int(time.time()))
        except DirectoryError as error:
            trouble = str(error)
        except Exception as error:
            # The next look is of everything again.
            trouble = type(error).__name__
        if trouble != told:
            told = trouble
            text = f"is not known of everybody: {trouble}" if trouble else "is known again"
            _log.warning("Whether people are still there %s", text)


def install() -> None:
    """Looks from now on, where the stack gave an account for it and the groups are Keycloak's own."""
    account, provider = Account.told(), config.AUTH_PROVIDERS.by_id(DEFAULT_PROVIDER_ID)
    names = tuple(dict.fromkeys([*config.OIDC_ADMIN_GROUP_NAME, *config.OIDC_GROUP_NAME]))
    if account is None or provider is None or provider.type != "oidc" or not names:
        return
    if config.OIDC_GROUP_DETECTION_PLUGIN or config.OIDC_GROUP_NAME_PATTERN:
        _log.warning("Groups come from a plugin or by a pattern: personal tokens of people who left stay")
        return
    with store.engine.begin() as connection:
        record.alone(connection)
        _LOOKS.create(connection, checkfirst=True)
        connection.execute(insert(_LOOKS).values(id=1, began_at=0).on_conflict_do_nothing())
    looks = Looks(Directory(account), names, lambda groups: accounts.rank(provider, groups))
    threading.Thread(target=_go_on, args=(looks, provider), name="leavers", daemon=True).start()
