"""Who somebody is, by one statement for each request, and away from the event loop.

What the plugin reads of an account, a session and a token, and when, stays: what was switched off, revoked or deleted
is refused at the next request. It reads them, and the keys of Keycloak, on the event loop, where everybody waits for
a database or a Keycloak that is slow; here a few threads do.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

from mlflow_oidc_auth.db.models import SqlAuthSession, SqlUser, SqlUserToken
from mlflow_oidc_auth.logger import get_logger
from mlflow_oidc_auth.middleware import auth_middleware
from mlflow_oidc_auth.middleware.auth_middleware import AuthMiddleware
from mlflow_oidc_auth.repository.auth_session import AuthSessionRepository, ResolvedSession
from mlflow_oidc_auth.repository.user import normalize_username
from mlflow_oidc_auth.repository.user_token import LAST_USED_RESOLUTION_SECONDS, UserTokenRepository, parse_prefix
from sqlalchemy import bindparam, select
from werkzeug.security import check_password_hash

from mlflow_sso import upstream
from mlflow_sso.groups import bearers, record
from mlflow_sso.groups.refusals import refused
from mlflow_sso.guard.stores import failed
from mlflow_sso.shortcuts.questions import ask

Facts = tuple[bool, bool, str, tuple[bool, str | None]]
Known = tuple[bool, str | None, str]
_T = TypeVar("_T")

_log = get_logger()
# Bearer tokens may wait for Keycloak's keys; what a login says waits for the account's row, which another process may
# hold, and for what an operator has to find groups by. Sessions wait for neither, so they have a thread of their own.
# The plugin compares personal tokens in one more (`_BASIC_AUTH_EXECUTOR`). So many connections stay open:
# mlflow_sso.databases has one for each.
_POOLS = {"bearers": 2, "cookies": 1, "logins": 1}
_bearers, cookies, logins = (ThreadPoolExecutor(count, name) for name, count in _POOLS.items())
# Seconds that these have for one request, the wait for one of them included.
_PATIENCE = 30
_FACTS = (SqlUser.is_admin, SqlUser.active, SqlUser.is_service_account, SqlUser.service_account_source)
_ACCOUNT = (
    select(SqlUser.id, *_FACTS, *record.COLUMNS)
    .select_from(SqlUser)
    .outerjoin(record.TABLE, record.OF_ACCOUNT)
    .where(SqlUser.username == bindparam("username"))
)
_SESSION = (
    select(
        SqlUser.username, SqlUser.is_admin, SqlUser.active, SqlUser.is_service_account, SqlAuthSession.id,
        SqlAuthSession.session_id, SqlAuthSession.provider_id, SqlAuthSession.encrypted_tokens,
        SqlAuthSession.expires_at, record.TABLE.c.refusal,
    )
    .select_from(SqlUser)
    .join(SqlAuthSession, SqlAuthSession.user_id == SqlUser.id)
    .outerjoin(record.TABLE, record.OF_ACCOUNT)
    .where(
        SqlAuthSession.session_id == bindparam("session"),
        SqlAuthSession.revoked_at.is_(None),
        SqlAuthSession.expires_at > bindparam("now"),
    )
)  # fmt: skip
_TOKEN = (
    select(
        SqlUserToken.token_hash, SqlUserToken.expires_at, SqlUserToken.last_used_at, record.TABLE.c.refusal, *_FACTS
    )
    .select_from(SqlUserToken)
    .join(SqlUser, SqlUser.id == SqlUserToken.user_id)
    .outerjoin(record.TABLE, record.OF_ACCOUNT)
    .where(SqlUser.username == bindparam("username"), SqlUserToken.token_prefix == bindparam("prefix"))
    .order_by(SqlUserToken.id)
    .limit(1)
)  # fmt: skip
# Rows that this request read a moment ago, by what they were asked for. Threads that work for it share them.
_rows: ContextVar[dict[str, Any] | None] = ContextVar("mlflow_sso_rows", default=None)


def _now() -> datetime:
    """The time as the plugin's tables have it: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def account_of(username: str) -> Any:
    """An account, with what is kept of its owner's tokens; None where there is none."""
    return ask(_ACCOUNT, username=normalize_username(username))


def _keep(what: str, row: Any) -> None:
    """Keeps a row for what asks for it next."""
    rows = _rows.get()
    if rows is not None:
        rows[what] = row


def _kept(what: str, read: Callable[[], Any]) -> Any:
    """A row that was kept, once, or else the one that is there now."""
    rows = _rows.get()
    return rows.pop(what) if rows and what in rows else read()


async def aside(threads: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    """What work gives, in a thread that knows the request. Raises TimeoutError, of which the guard is told."""
    context = contextvars.copy_context()
    try:
        async with asyncio.timeout(_PATIENCE):
            result = await asyncio.get_running_loop().run_in_executor(threads, context.run, work)
    except TimeoutError:
        failed("nobody said in time who asks")
        raise
    for variable in (auth_middleware._WORKLOAD_BEARER, auth_middleware._BEARER_IDENTITY):
        # What the plugin found out beside the result.
        variable.set(context.get(variable))
    return result


def _known(original: Callable[..., Awaitable[Known]]) -> Callable[..., Awaitable[Known]]:
    """Who asks, with the account that `_facts` is asked for next, on the event loop.

    Most ways to log in read it; a ticket of a job, a token without a prefix and one of Kubernetes do not.
    """

    async def known(middleware: Any, request: Any) -> Known:
        rows: dict[str, Any] = {}
        _rows.set(rows)
        found, name, why = await original(middleware, request)
        if found and name and name not in rows and getattr(request.state, "resolved_session", None) is None:
            try:
                _keep(name, await aside(cookies, lambda: account_of(name)))
            except Exception as error:
                _log.error("Error reading an account: %s", type(error).__name__)
                return False, None, "Account access failed"
        return found, name, why

    return known


def _bearer(original: Callable[..., Coroutine[Any, Any, Known]]) -> Callable[..., Awaitable[Known]]:
    """Who a bearer token names. The plugin's function is a coroutine that waits for nothing."""

    def at_once(middleware: Any, header: str) -> Known:
        coroutine = original(middleware, header)
        try:
            coroutine.send(None)
        except StopIteration as end:
            known: Known = end.value
            return known
        raise AssertionError("the plugin waits for something as it reads a bearer token")

    async def bearer(middleware: Any, header: str) -> Known:
        try:
            return await aside(_bearers, lambda: at_once(middleware, header))
        except TimeoutError:
            return False, None, "Nobody could say in time"

    return bearer


def _cookie(original: Callable[..., Awaitable[Known]]) -> Callable[..., Awaitable[Known]]:
    """Who a session is of. The plugin's function, which may ask Keycloak, finds the session read."""

    async def cookie(middleware: Any, request: Any) -> Known:
        session = (request.scope.get("session") or {}).get("session_id")
        if session:
            try:
                _keep(f"session {session}", await aside(cookies, lambda: _session(session)))
            except Exception as error:
                _log.error("Error reading a session: %s", type(error).__name__)
                return False, None, "Session access failed"
        return await original(middleware, request)

    return cookie


def _newcomers(original: Callable[..., None]) -> Callable[..., None]:
    """Makes an account for whoever has none, and brings others to their tokens; none is read a second time for it."""

    def make(middleware: Any, username: str, token: str, payload: Any) -> None:
        row = account_of(username)
        if row is None:
            original(middleware, username, token, payload)
            row = account_of(username)
        provider = middleware._provider_for(token)
        row, refusal = bearers.heard(provider, username, token, payload, row, lambda: account_of(username))
        _keep(username, row)
        _keep(f"refusal {username}", refusal)

    return make


def _facts(_original: Callable[..., Facts]) -> Callable[..., Facts]:
    """What the plugin has to know of an account. One that cannot be read is none that may log in."""

    def facts(_middleware: Any, username: str) -> Facts:
        try:
            row = _kept(username, lambda: account_of(username))
        except Exception as error:
            _log.error("Error reading auth state for %s: %s", username, type(error).__name__)
            return False, False, auth_middleware.DENIAL_LOOKUP_ERROR, (False, None)
        refusal = _kept(f"refusal {username}", str) or (row.refusal if row is not None and row.active else "")
        if refusal:
            refused(refusal)
            return False, False, refusal, (False, None)
        if row is None:
            return False, False, auth_middleware.DENIAL_UNKNOWN_USER, (False, None)
        source = row.service_account_source
        account = (row.is_service_account is True, source if isinstance(source, str) else None)
        if not row.active:
            return bool(row.is_admin), False, auth_middleware.DENIAL_INACTIVE, account
        return bool(row.is_admin), True, "", account

    return facts


def _session(session: str) -> Any:
    return ask(_SESSION, session=session, now=_now())


def _sessions(_original: Callable[..., ResolvedSession | None]) -> Callable[..., ResolvedSession | None]:
    """The session of a cookie, while it is honoured, and its owner may come in."""

    def resolve(_repository: Any, session_id: str) -> ResolvedSession | None:
        row = _kept(f"session {session_id}", lambda: _session(session_id)) if session_id else None
        if row is None or row.refusal:
            return None
        return ResolvedSession(
            username=row.username,
            is_admin=bool(row.is_admin),
            is_active=bool(row.active),
            expires_at=row.expires_at,
            session_pk=row.id,
            session_id=row.session_id,
            provider_id=row.provider_id,
            encrypted_tokens=row.encrypted_tokens,
            is_service_account=bool(row.is_service_account),
        )

    return resolve


def _tokens(original: Callable[..., bool]) -> Callable[..., bool]:
    """Whether a personal token is one; the plugin looks at those without a prefix, and writes when one was used."""

    def authenticate(repository: Any, username: str, plaintext: str) -> bool:
        prefix = parse_prefix(plaintext)
        if prefix is None:
            return original(repository, username, plaintext)
        row = ask(_TOKEN, username=normalize_username(username), prefix=prefix)
        now = _now()
        if row is None or not check_password_hash(row.token_hash, plaintext) or row.expires_at <= now:
            return False
        used = row.last_used_at
        if used is None or (now - used).total_seconds() >= LAST_USED_RESOLUTION_SECONDS:
            original(repository, username, plaintext)
        _keep(username, row)
        return True

    return authenticate


def install() -> None:
    """Puts the shortcuts in place."""
    upstream.replace(AuthMiddleware, "_authenticate_user", "0defcb092a2791f3", _known, around=True)
    upstream.replace(AuthMiddleware, "_authenticate_bearer_token", "2cd8be4949faba98", _bearer)
    upstream.replace(AuthMiddleware, "_authenticate_session", "57659fe61d762ca7", _cookie)
    upstream.reads(AuthMiddleware, "_provider_for", "624852867ecf9b01")
    upstream.replace(AuthMiddleware, "_maybe_provision_bearer_user", "5ea01af7edc815b8", _newcomers)
    upstream.replace(AuthMiddleware, "_get_user_auth_facts", "ab0c0a71753748c8", _facts)
    upstream.replace(AuthSessionRepository, "resolve", "c5e55d7c55f23b7e", _sessions)
    upstream.replace(UserTokenRepository, "authenticate", "704441086092ed62", _tokens)
