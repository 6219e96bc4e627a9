"""mlflow-oidc-auth 7.0 and later: FastAPI, sessions in the database, a Redis cache of permissions.

Source of every name: the plugin's own configuration module (`mlflow_oidc_auth.config`, 11.0.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.connection import login_in
from components.plugin.profile import Ability, Fault, MlflowView, PluginInputs, PluginProfile
from platforms.secrets import SecretText

# The variables that a field of the view is read from.
NAMES = {
    "client_id": "OIDC_CLIENT_ID",
    "client_secret": "OIDC_CLIENT_SECRET",
    "discovery_url": "OIDC_DISCOVERY_URL",
    "redirect_uri": "OIDC_REDIRECT_URI",
    "scope": "OIDC_SCOPE",
    "audience": "OIDC_AUDIENCE",
    "issuer": "OIDC_ISSUER",
    "groups_claim": "OIDC_GROUPS_ATTRIBUTE",
    "user_groups": "OIDC_GROUP_NAME",
    "admin_groups": "OIDC_ADMIN_GROUP_NAME",
    "cache": "CACHE_BACKEND",
    "redis": "CACHE_REDIS_URL",
    "users_database": "OIDC_USERS_DB_URI",
    "mlflow_database": "MLFLOW_BACKEND_STORE_URI",
}
# Read by versions before 7; on these a wrong value misleads people alone.
REDIS_PARTS = {"host": "REDIS_HOST", "port": "REDIS_PORT", "database": "REDIS_DB"}
# Near misses that the plugin ignores without a word, with what it does read.
MISSPELT = {"OIDC_SCOPES": "OIDC_SCOPE", "OIDC_GROUP_NAMES": "OIDC_GROUP_NAME"}


class Since7(PluginProfile):
    """One profile for all of them: what differs between them is none of the stack's."""

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

    def read(self, env: Mapping[str, str]) -> MlflowView:
        told = {field: env.get(name, "") for field, name in NAMES.items()}
        return MlflowView(
            named=NAMES,
            client_id=told["client_id"],
            client_secret=told["client_secret"],
            discovery_url=told["discovery_url"],
            redirect_uri=told["redirect_uri"],
            scope=told["scope"],
            audience=told["audience"],
            issuer=told["issuer"],
            groups_claim=told["groups_claim"],
            user_groups=_listed(told["user_groups"]),
            admin_groups=_listed(told["admin_groups"]),
            cache=told["cache"],
            session_type=env.get("SESSION_TYPE", ""),
            redis=login_in(told["redis"], 6379),
            redis_parts={part: env[name] for part, name in REDIS_PARTS.items() if name in env},
            allowed_hosts=_listed(env.get("MLFLOW_SERVER_ALLOWED_HOSTS", "")),
            mlflow_database=login_in(told["mlflow_database"], 5432),
            users_database=login_in(told["users_database"], 5432),
            misspelt={wrong: right for wrong, right in MISSPELT.items() if wrong in env},
            variables=frozenset(env),
        )

    def store_faults(self, view: MlflowView) -> Iterator[Fault]:
        if view.cache == "redis" and view.redis is None:
            cause = "the first request with a login fails: CACHE_REDIS_URL does not say where Redis is"
            yield Fault("CACHE_BACKEND=redis without a CACHE_REDIS_URL", cause)
        elif view.cache not in ("redis", "local"):
            cause = "the plugin knows redis and local; without a value each worker has a cache of its own"
            yield Fault(f"CACHE_BACKEND={view.cache or '(not set)'}", cause)
        yield from super().store_faults(view)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


SINCE_7 = Since7(
    recipe="mlflow",
    # The plugin's own, "oidc-auth", with threads: images/mlflow/app.
    app_name="mlflow-sso",
    live_path="/health/live",
    ready_path="/health/ready",
    abilities=frozenset(Ability),
    ignored={
        "SESSION_TYPE": "sessions are rows of the plugin's database",
        "CACHE_TYPE": "CACHE_BACKEND, which the stack sets",
        "REDIS_URL": "CACHE_REDIS_URL, which the stack sets",
        "REDIS_PASSWORD": "CACHE_REDIS_URL, which the stack sets",
    },
)
