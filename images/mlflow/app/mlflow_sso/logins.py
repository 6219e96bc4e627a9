"""A login to MLflow's pages uses the session that the browser has at the issuer, and makes none that outlives it.

The plugin keeps a session of its pages alive by a refresh token, and asks for `offline_access` to get one. Keycloak
gives a refresh token without it: one that ends with the session. With it Keycloak puts an offline session, of 30 days,
in the place of the browser's own, so that every other program of the realm asks for the password again.

A login that cannot begin because the issuer or the database is away is answered as other requests are then: 503, and
when to ask again. The plugin says 500, as if it were set up in a wrong way.
"""

from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any

from mlflow_sso import upstream

_OFFLINE = "offline_access"
# After which to ask again.
_SECONDS = "5"


def install() -> None:
    """Puts the mend in place."""
    from mlflow_oidc_auth import oauth
    from mlflow_oidc_auth.routers import auth

    upstream.replace(auth, "_begin_login", "1231d73f969ff8ea", _begun)
    upstream.replace(oauth, "_build_scope", "7f8e0f78ccc2ad2c", _online)


def _begun(original: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    from fastapi import HTTPException

    @wraps(original)
    async def begin(*given: Any, **named: Any) -> Any:
        try:
            return await original(*given, **named)
        except HTTPException as error:
            if error.status_code != 500 or not any(map(is_away, reasons(error))):
                raise
            text = "A login cannot begin at the moment: the issuer or the database does not answer."
            raise HTTPException(503, text, {"Retry-After": _SECONDS}) from error

    return begin


def reasons(error: BaseException) -> Iterator[BaseException]:
    """The errors that an error was made of, the last one first."""
    seen: set[int] = set()
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_away(error: BaseException) -> bool:
    """Whether this says that another server gave no answer, or that it is not able to."""
    import httpx2
    from sqlalchemy.exc import InterfaceError, OperationalError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    if isinstance(error, httpx2.HTTPStatusError):
        return bool(error.response.status_code >= 500)
    return isinstance(error, httpx2.TransportError | OperationalError | InterfaceError | PoolTimeout | OSError)


def _online(original: Callable[[], str]) -> Callable[[], str]:
    from mlflow_oidc_auth.config import config

    @wraps(original)
    def scope() -> str:
        return online(original(), config.OIDC_SCOPE)

    return scope


def online(scope: str, told: str | None) -> str:
    """A scope without `offline_access`, unless OIDC_SCOPE as it was told names it: whoever does wants it."""
    asked = (told or "").replace(",", " ").split()
    return " ".join(name for name in scope.split() if name != _OFFLINE or name in asked)
