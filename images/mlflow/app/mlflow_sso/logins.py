"""A login to MLflow's pages uses the session that the browser has at the issuer, and makes none that outlives it.

The plugin keeps a session of its pages alive by a refresh token, and asks for `offline_access` to get one. Keycloak
gives a refresh token without it: one that ends with the session. With it Keycloak puts an offline session, of 30 days,
in the place of the browser's own, so that every other program of the realm asks for the password again.
"""

from collections.abc import Callable
from functools import wraps

from mlflow_oidc_auth import oauth
from mlflow_oidc_auth.config import config

from mlflow_sso import upstream

_OFFLINE = "offline_access"


def install() -> None:
    """Puts the mend in place."""
    upstream.replace(oauth, "_build_scope", "7f8e0f78ccc2ad2c", _online)


def _online(original: Callable[[], str]) -> Callable[[], str]:
    @wraps(original)
    def scope() -> str:
        # Whoever names it in OIDC_SCOPE wants it.
        asked = (config.OIDC_SCOPE or "").replace(",", " ").split()
        return " ".join(name for name in original().split() if name != _OFFLINE or name in asked)

    return scope
