"""What depends on the version of mlflow-oidc-auth, as data and in this place alone.

Source of every name: the plugin's own configuration module at that version. A variable that a
version does not read is ignored by it without a word, so nothing else may spell one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from platforms.secrets import SecretText


@dataclass(frozen=True)
class PluginInputs:
    """What the stack knows and the plugin must be told."""

    client_id: str
    client_secret: SecretText
    discovery_url: str
    issuer: str
    audience: str
    redirect_uri: str
    scope: str
    groups_claim: str
    admin_groups: tuple[str, ...]
    user_groups: tuple[str, ...]
    username_claim: str
    provision_on_bearer: bool
    default_permission: str
    secret_key: SecretText
    session_key: SecretText
    users_db: SecretText
    redis_url: SecretText
    redis_host: str
    redis_port: int
    redis_db: int
    secure_cookies: bool
    session_seconds: int
    trusted_proxies: tuple[str, ...]


@dataclass(frozen=True)
class PluginProfile:
    """How one line of plugin versions is run.

    app_name: the entry point of the group `mlflow.app` that is served.
    shared_cache: whether sessions and permissions survive a second worker or replica.
    ready_path, live_path: its health endpoints.
    ignored: variables of other versions, known from many guides, which these do not read; by each, what counts.
    """

    app_name: str
    live_path: str
    ready_path: str
    shared_cache: bool
    ignored: Mapping[str, str]

    def env(self, inputs: PluginInputs) -> Mapping[str, str]:
        raise NotImplementedError

    def secret_env(self, inputs: PluginInputs) -> Mapping[str, SecretText]:
        raise NotImplementedError


class _Since7(PluginProfile):
    """7.0 and later: FastAPI, sessions in the database, a Redis cache of permissions."""

    def env(self, inputs: PluginInputs) -> Mapping[str, str]:
        return {
            "OIDC_CLIENT_ID": inputs.client_id,
            "OIDC_DISCOVERY_URL": inputs.discovery_url,
            "OIDC_REDIRECT_URI": inputs.redirect_uri,
            "OIDC_SCOPE": inputs.scope,
            # Unset, these two are not checked at all.
            "OIDC_AUDIENCE": inputs.audience,
            "OIDC_ISSUER": inputs.issuer,
            "OIDC_GROUPS_ATTRIBUTE": inputs.groups_claim,
            "OIDC_GROUP_NAME": ",".join(inputs.user_groups),
            "OIDC_ADMIN_GROUP_NAME": ",".join(inputs.admin_groups),
            "OIDC_USERNAME_FIELD": inputs.username_claim,
            "OIDC_PROVIDER_DISPLAY_NAME": "Login with Keycloak",
            "OIDC_CODE_CHALLENGE": "S256",
            # People come for MLflow; its menu leads to their permissions.
            "DEFAULT_LANDING_PAGE_IS_PERMISSIONS": "false",
            # Without it a login in the browser ends with the access token, after minutes.
            "OIDC_USE_REFRESH_TOKEN": "true",
            "OIDC_PROVISION_ON_BEARER_AUTH": str(inputs.provision_on_bearer).lower(),
            # Groups come from Keycloak, where nobody can edit their own: see docs/decisions.
            "OIDC_TRUST_BEARER_GROUP_CLAIMS": str(inputs.provision_on_bearer).lower(),
            "DEFAULT_MLFLOW_PERMISSION": inputs.default_permission,
            "CACHE_BACKEND": "redis",
            "REDIS_HOST": inputs.redis_host,
            "REDIS_PORT": str(inputs.redis_port),
            "REDIS_DB": str(inputs.redis_db),
            # Two weeks by default, whatever the realm says: the offline token it keeps outlives the realm's session.
            "SESSION_COOKIE_MAX_AGE_SECONDS": str(inputs.session_seconds),
            "SESSION_COOKIE_SECURE": str(inputs.secure_cookies).lower(),
            **({"TRUSTED_PROXIES": ",".join(inputs.trusted_proxies)} if inputs.trusted_proxies else {}),
        }

    def secret_env(self, inputs: PluginInputs) -> Mapping[str, SecretText]:
        return {
            "OIDC_CLIENT_SECRET": inputs.client_secret,
            "OIDC_USERS_DB_URI": inputs.users_db,
            "SECRET_KEY": inputs.secret_key,
            "SESSION_TOKEN_ENCRYPTION_KEY": inputs.session_key,
            "CACHE_REDIS_URL": inputs.redis_url,
        }


_PROFILES: Mapping[int, PluginProfile] = {
    11: _Since7(
        # The plugin's own, "oidc-auth", with threads: images/mlflow/app.
        app_name="mlflow-sso",
        live_path="/health/live",
        ready_path="/health/ready",
        shared_cache=True,
        ignored={
            "SESSION_TYPE": "sessions are rows of the plugin's database",
            "CACHE_TYPE": "CACHE_BACKEND, which the stack sets",
            "REDIS_URL": "CACHE_REDIS_URL, which the stack sets",
            "REDIS_PASSWORD": "CACHE_REDIS_URL, which the stack sets",
        },
    ),
}


def plugin_profile(version: str) -> PluginProfile:
    """The profile of a plugin version that `settings` has accepted."""
    return _PROFILES[int(version.partition(".")[0])]
