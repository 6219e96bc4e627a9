"""How somebody is refused whose groups say so: as the plugin refuses an account, with the reason in log and answer.

The plugin tells nobody why: whoever asks has proven to be the account's owner here, and can do something about it.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from mlflow_oidc_auth.middleware import auth_middleware
from mlflow_oidc_auth.middleware.auth_middleware import AuthMiddleware
from starlette.responses import JSONResponse

from mlflow_sso import upstream
from mlflow_sso.groups.words import GONE, LAST, STRANGER

REASONS = {
    STRANGER: "You are in none of the groups that may use MLflow. A change counts at the next token: log in again.",
    GONE: "Your account at the login is disabled or gone. If it is there again, log in again.",
    LAST: (
        "You are in none of the administrators' groups any more, and MLflow keeps its only administrator."
        " As soon as another one has logged in, you are let in again."
    ),
}
# Why the account of this request was refused, until it is told.
_why: ContextVar[str] = ContextVar("mlflow_sso_why", default="")


def refused(reason: str) -> None:
    """Keeps why the account of this request is refused, for the answer."""
    _why.set(reason)


def _told(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def deny(middleware: Any, request: Any, path: str) -> Any:
        why = _why.get()
        # A connection's next request may find the variables of this one.
        _why.set("")
        answer = await original(middleware, request, path)
        if why and answer.status_code == 401:
            return JSONResponse(status_code=401, content={"detail": REASONS[why]})
        return answer

    return deny


def install() -> None:
    """Puts the mend in place."""
    for reason in REASONS:
        auth_middleware.DENIAL_AUDIT_EVENTS[reason] = f"auth.denied_{reason}"
    upstream.reads(AuthMiddleware, "dispatch", "fc6911df735b27b9")
    upstream.replace(AuthMiddleware, "_deny", "f12015293408b6b4", _told)
