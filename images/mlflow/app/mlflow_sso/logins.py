"""A login to MLflow's pages uses the session that the browser has at the issuer, and makes none that outlives it.

The plugin keeps a session of its pages alive by a refresh token, and asks for `offline_access` to get one. Keycloak
gives a refresh token without it: one that ends with the session. With it Keycloak puts an offline session, of 30 days,
in the place of the browser's own, so that every other program of the realm asks for the password again.
"""

from collections.abc import Callable
from functools import wraps

from mlflow_sso import upstream

_OFFLINE = "offline_access"


def install() -> None:
    """Puts the mend in place."""
    from mlflow_oidc_auth import oauth

    upstream.replace(oauth, "_build_scope", "7f8e0f78ccc2ad2c", _online)


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
