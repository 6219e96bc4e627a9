"""mlflow-oidc-auth 7 and later: FastAPI, sessions in the database, a Redis cache of permissions.

Source of every name: the plugin's own configuration module (`mlflow_oidc_auth.config`, 11.0.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.connection import Login, login_in
from components.plugin.profile import Ability, Fault, PluginInputs, PluginProfile, ServerInputs, Variables
from components.redis import PORT as REDIS_PORT
from platforms.secrets import SecretText

_NAMES = Variables(
    client_id="OIDC_CLIENT_ID",
    client_secret="OIDC_CLIENT_SECRET",  # noqa: S106
    discovery_url="OIDC_DISCOVERY_URL",
    redirect_uri="OIDC_REDIRECT_URI",
    scope="OIDC_SCOPE",
    groups_claim="OIDC_GROUPS_ATTRIBUTE",
    user_groups="OIDC_GROUP_NAME",
    admin_groups="OIDC_ADMIN_GROUP_NAME",
    users_database="OIDC_USERS_DB_URI",
    audience="OIDC_AUDIENCE",
    issuer="OIDC_ISSUER",
    cache="CACHE_REDIS_URL",
)
_BACKEND = "CACHE_BACKEND"
# These versions read the URL alone. The parts stand beside it for programs and people that look for them.
_HOST, _PORT, _DB = "REDIS_HOST", "REDIS_PORT", "REDIS_DB"


class _Since7(PluginProfile):
    def env(self, inputs: PluginInputs) -> Mapping[str, str]:
        return {
            _NAMES.client_id: inputs.client_id,
            _NAMES.discovery_url: inputs.discovery_url,
            _NAMES.redirect_uri: inputs.redirect_uri,
            _NAMES.scope: inputs.scope,
            # Unset, these two are not checked at all.
            _NAMES.audience: inputs.audience,
            _NAMES.issuer: inputs.issuer,
            _NAMES.groups_claim: inputs.groups_claim,
            _NAMES.user_groups: ",".join(inputs.user_groups),
            _NAMES.admin_groups: ",".join(inputs.admin_groups),
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
            _BACKEND: "redis",
            _HOST: inputs.redis.host,
            _PORT: str(inputs.redis.port),
            _DB: str(inputs.redis.db),
            # Two weeks by default, whatever the realm says.
            "SESSION_COOKIE_MAX_AGE_SECONDS": str(inputs.session_seconds),
            "SESSION_COOKIE_SECURE": str(inputs.secure_cookies).lower(),
            **({"AUTOMATIC_LOGIN_REDIRECT": "true"} if inputs.automatic_login else {}),
            **({"TRUSTED_PROXIES": ",".join(inputs.trusted_proxies)} if inputs.trusted_proxies else {}),
        }

    def secret_env(self, inputs: PluginInputs) -> Mapping[str, SecretText]:
        return {
            _NAMES.client_secret: inputs.client_secret,
            _NAMES.users_database: inputs.users_db,
            "SECRET_KEY": inputs.secret_key,
            "SESSION_TOKEN_ENCRYPTION_KEY": inputs.session_key,
            _NAMES.cache: inputs.redis.url,
        }

    def command(self, server: ServerInputs) -> tuple[str, ...]:
        tls = f"--ssl-certfile {server.certificate} --ssl-keyfile {server.key}"
        return (
            "mlflow", "server",
            # The plugin's own app, "oidc-auth", with threads: images/mlflow/app.
            "--app-name", "mlflow-sso",
            "--host", "0.0.0.0",
            "--port", str(server.port),
            "--workers", str(server.workers),
            *(("--expose-prometheus", server.metrics) if server.metrics else ()),
            "--artifacts-destination", server.artifacts,
            *(("--uvicorn-opts", tls) if server.certificate else ()),
        )  # fmt: skip

    def redis(self, env: Mapping[str, str]) -> Login | None:
        return login_in(env.get(_NAMES.cache, ""), REDIS_PORT)

    def contradictions(self, env: Mapping[str, str], redis: Login) -> Iterator[str]:
        # A wrong part misleads people alone.
        for name, value in {_HOST: redis.host, _PORT: str(redis.port), _DB: redis.database or "0"}.items():
            if env.get(name, value) != value:
                yield f"{name}={env[name]}, and {_NAMES.cache} goes to {redis}"

    def cache_faults(self, env: Mapping[str, str]) -> Iterator[Fault]:
        backend = env.get(_BACKEND, "")
        if backend == "redis" and self.redis(env) is None:
            cause = f"the first request with a login fails: {_NAMES.cache} does not say where Redis is"
            yield Fault(f"{_BACKEND}=redis without a {_NAMES.cache}", cause)
        elif backend not in ("redis", "local"):
            cause = "the plugin knows redis and local; without a value each worker has a cache of its own"
            yield Fault(f"{_BACKEND}={backend or '(not set)'}", cause)


SINCE_7 = _Since7(
    name="mlflow-oidc-auth 7 and later",
    recipe="mlflow",
    live_path="/health/live",
    ready_path="/health/ready",
    variables=_NAMES,
    abilities=frozenset(Ability),
    ignored={
        "SESSION_TYPE": "sessions are rows of the plugin's database",
        "CACHE_TYPE": f"{_BACKEND}, which the stack sets",
        "REDIS_URL": f"{_NAMES.cache}, which the stack sets",
        "REDIS_PASSWORD": f"{_NAMES.cache}, which the stack sets",
    },
    misspelt={"OIDC_SCOPES": _NAMES.scope, "OIDC_GROUP_NAMES": _NAMES.user_groups},
)
