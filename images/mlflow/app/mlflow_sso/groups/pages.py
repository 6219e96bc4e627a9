"""Browser sessions: a login, and each renewal of a session's tokens, say what the owner's groups are.

The plugin renews the tokens of a session as the access token ends, and reads nothing of the new ones but their times.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from mlflow_oidc_auth.config import config
from mlflow_oidc_auth.logger import get_logger
from mlflow_oidc_auth.provider_registry import DEFAULT_PROVIDER_ID
from mlflow_oidc_auth.routers import auth
from mlflow_oidc_auth.utils.group_detection import call_group_detection_plugin

from mlflow_sso import upstream
from mlflow_sso.groups import accounts
from mlflow_sso.groups.refusals import REASONS
from mlflow_sso.groups.words import OUT, subject
from mlflow_sso.shortcuts.accounts import account_of, aside, logins

_log = get_logger()
_Refresh = Callable[..., Awaitable[Any]]


@dataclass
class _Login:
    """What the plugin knows of a login: all that it needs to make an account."""

    provider: Any = None
    username: str = ""
    claims: Any = None
    groups: Any = None


@dataclass
class _Renewal:
    """A session whose tokens are renewed. ended: it turned out that its owner is in no allowed group."""

    username: str
    ended: bool = False


_login: ContextVar[_Login | None] = ContextVar("mlflow_sso_login", default=None)
_renewal: ContextVar[_Renewal | None] = ContextVar("mlflow_sso_renewal", default=None)
_previous: ContextVar[Any] = ContextVar("mlflow_sso_previous_tokens", default=None)


def _bring(provider: Any, username: str, claims: Any, groups: Any) -> str:
    row = account_of(username)
    if row is None or not row.active or not accounts.speaks_for(provider, claims, username, row):
        return ""
    return accounts.bring(username, row, provider, accounts.words(provider, claims, groups))


def _provisioned(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def provision(provider: Any, **known: Any) -> Any:
        login = _login.get()
        if login is not None:
            login.provider, login.username = provider, known["username"]
            login.claims, login.groups = known["userinfo"], known["user_groups"]
        return original(provider, **known)

    return provision


def _logged_in(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A login writes the groups itself; what it says is kept, also of one that the plugin refused."""

    @wraps(original)
    async def process(*words: Any, **more: Any) -> Any:
        login = _Login()
        marker = _login.set(login)
        try:
            username, errors = await original(*words, **more)
        finally:
            _login.reset(marker)
        if login.provider is None:
            return username, errors
        name = username or login.username

        def hear() -> str:
            refusal = _bring(login.provider, name, login.claims, login.groups)
            if refusal in OUT:
                accounts.end_sessions(name)
            return refusal

        refusal = await aside(logins, hear)
        return (None, [REASONS[refusal]]) if refusal else (username, errors)

    return process


class _Heard:
    """The issuer's client for a renewal. Its tokens are given out once they were heard, and none for a stranger."""

    def __init__(self, client: Any, provider: Any, renewal: _Renewal, previous: Any) -> None:
        self._client, self._provider, self._renewal, self._previous = client, provider, renewal, previous

    async def fetch_access_token(self, **form: str) -> Any:
        response = await self._client.fetch_access_token(**form)
        return response if response and await self._hear(response) else None

    async def _hear(self, response: Any) -> bool:
        """Whether the session goes on. The ID token is validated as at a login (OpenID Connect Core 1.0, 12.2)."""
        provider, username = self._provider, self._renewal.username
        claims = await self._client.parse_id_token(response, nonce=None)
        before = subject(self._previous.id_token)
        if claims is None or (before is not None and claims.get("sub") != before):
            _log.warning("A renewed session of %s has no ID token of its owner", username)
            return False
        id_claims, more = dict(claims), getattr(provider, "userinfo_groups", False) is True
        known, proceed = await auth._claims_for_login(self._client, provider.id, response, id_claims, more)
        if not proceed or known is None:
            return False

        def hear() -> str:
            plugin = config.OIDC_GROUP_DETECTION_PLUGIN
            token = response.get("access_token")
            groups = known.get(config.OIDC_GROUPS_ATTRIBUTE, [])
            if plugin:
                groups = call_group_detection_plugin(plugin, token, response)
            return _bring(provider, username, known, groups)

        refusal = await aside(logins, hear)
        self._renewal.ended = refusal in OUT
        if refusal:
            _log.info("Session of %s ended: %s", username, refusal)
        return not refusal


def _client(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def client_for(provider_id: str | None) -> Any:
        client, renewal, previous = original(provider_id), _renewal.get(), _previous.get()
        # A logout asks for the same client, to revoke a token.
        if client is None or renewal is None or previous is None:
            return client
        provider = config.AUTH_PROVIDERS.by_id(provider_id or DEFAULT_PROVIDER_ID)
        return None if provider is None else _Heard(client, provider, renewal, previous)

    return client_for


def _guarded(original: _Refresh) -> _Refresh:
    @wraps(original)
    async def refresh(guard: Any, vault: Any, resolved: Any) -> Any:
        _previous.set(vault.decrypt(guard.encrypted_tokens))
        try:
            return await original(guard, vault, resolved)
        finally:
            _previous.set(None)

    return refresh


def _renewed(original: _Refresh) -> _Refresh:
    """Sessions end once the plugin holds none of them any more."""

    @wraps(original)
    async def refresh(session_id: str, vault: Any, resolved: Any) -> Any:
        renewal = _Renewal(resolved.username)
        _renewal.set(renewal)
        try:
            fresh = await original(session_id, vault, resolved)
        finally:
            _renewal.set(None)
        if renewal.ended:
            await aside(logins, lambda: accounts.end_sessions(renewal.username))
        return fresh

    return refresh


def install() -> None:
    """Puts the mends in place."""
    from authlib.integrations.base_client.async_openid import AsyncOpenIDMixin

    upstream.reads(AsyncOpenIDMixin, "parse_id_token", "45efbce10f7beea0")
    upstream.reads(auth, "_claims_for_login", "6de8a780da692db0")
    upstream.replace(auth, "_provision_login", "b3ee0d85761875b0", _provisioned)
    upstream.replace(auth, "_process_oidc_callback_fastapi", "bbd88d788ff889fb", _logged_in)
    upstream.replace(auth, "_client_for_refresh", "f69ee5f9258cefad", _client)
    upstream.replace(auth, "_refresh_inside_guard", "0f6664495eb19045", _guarded)
    upstream.replace(auth, "_refresh_holding_turn", "eb2f960b8fcaa34e", _renewed)
