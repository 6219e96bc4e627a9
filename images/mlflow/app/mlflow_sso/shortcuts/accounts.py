"""Who somebody is, by one statement for each request.

What the plugin reads of an account, a session and a token, and when, stays: what was switched off, revoked or deleted
is refused at the next request.
"""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

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
from mlflow_sso.shortcuts.questions import Questions, of_the_loop

Facts = tuple[bool, bool, str, tuple[bool, str | None]]

_log = get_logger()
_ACCOUNT = select(SqlUser.is_admin, SqlUser.active, SqlUser.is_service_account, SqlUser.service_account_source).where(
    SqlUser.username == bindparam("username")
)
_SESSION = (
    select(
        SqlUser.username, SqlUser.is_admin, SqlUser.active, SqlUser.is_service_account, SqlAuthSession.id,
        SqlAuthSession.session_id, SqlAuthSession.provider_id, SqlAuthSession.encrypted_tokens,
        SqlAuthSession.expires_at,
    )
    .join(SqlAuthSession, SqlAuthSession.user_id == SqlUser.id)
    .where(
        SqlAuthSession.session_id == bindparam("session"),
        SqlAuthSession.revoked_at.is_(None),
        SqlAuthSession.expires_at > bindparam("now"),
    )
)  # fmt: skip
_TOKEN = (
    select(SqlUserToken.token_hash, SqlUserToken.expires_at, SqlUserToken.last_used_at)
    .join(SqlUser, SqlUser.id == SqlUserToken.user_id)
    .where(SqlUser.username == bindparam("username"), SqlUserToken.token_prefix == bindparam("prefix"))
    .order_by(SqlUserToken.id)
    .limit(1)
)
# The row that this request found a moment ago, by the name it was asked for.
_found: ContextVar[tuple[str, Any] | None] = ContextVar("mlflow_sso_account", default=None)
# Of the one thread in which the plugin compares tokens.
_of_tokens = Questions()


def _now() -> datetime:
    """The time as the plugin's tables have it: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def _row(username: str) -> Any:
    return of_the_loop.ask(_ACCOUNT, username=normalize_username(username))


def _newcomers(original: Callable[..., None]) -> Callable[..., None]:
    """Makes an account for whoever has none; most have one, which is then not read a second time."""

    def make(middleware: Any, username: str, token: str, payload: Any) -> None:
        row = _row(username)
        if row is None:
            original(middleware, username, token, payload)
        else:
            _found.set((username, row))

    return make


def _facts(_original: Callable[..., Facts]) -> Callable[..., Facts]:
    """What the plugin has to know of an account. One that cannot be read is none that may log in."""

    def facts(_middleware: Any, username: str) -> Facts:
        found = _found.get()
        _found.set(None)
        try:
            row = found[1] if found is not None and found[0] == username else _row(username)
        except Exception as error:
            _log.error("Error reading auth state for %s: %s", username, type(error).__name__)
            return False, False, auth_middleware.DENIAL_LOOKUP_ERROR, (False, None)
        if row is None:
            return False, False, auth_middleware.DENIAL_UNKNOWN_USER, (False, None)
        source = row.service_account_source
        account = (row.is_service_account is True, source if isinstance(source, str) else None)
        if not row.active:
            return bool(row.is_admin), False, auth_middleware.DENIAL_INACTIVE, account
        return bool(row.is_admin), True, "", account

    return facts


def _sessions(_original: Callable[..., ResolvedSession | None]) -> Callable[..., ResolvedSession | None]:
    """The session of a cookie, while it is honoured."""

    def resolve(_repository: Any, session_id: str) -> ResolvedSession | None:
        row = of_the_loop.ask(_SESSION, session=session_id, now=_now()) if session_id else None
        if row is None:
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
        row = _of_tokens.ask(_TOKEN, username=normalize_username(username), prefix=prefix)
        now = _now()
        if row is None or not check_password_hash(row.token_hash, plaintext) or row.expires_at <= now:
            return False
        used = row.last_used_at
        if used is None or (now - used).total_seconds() >= LAST_USED_RESOLUTION_SECONDS:
            return original(repository, username, plaintext)
        return True

    return authenticate


def install() -> None:
    """Puts the shortcuts in place."""
    upstream.replace(AuthMiddleware, "_maybe_provision_bearer_user", "5ea01af7edc815b8", _newcomers)
    upstream.replace(AuthMiddleware, "_get_user_auth_facts", "ab0c0a71753748c8", _facts)
    upstream.replace(AuthSessionRepository, "resolve", "c5e55d7c55f23b7e", _sessions)
    upstream.replace(UserTokenRepository, "authenticate", "704441086092ed62", _tokens)
