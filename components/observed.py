"""Reads back what running programs were told: the variables of `components.mlflow`, `.plugin` and `.keycloak`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from components.keycloak import KeycloakAddress

# The first major version of mlflow-oidc-auth that reads CACHE_BACKEND and no longer SESSION_TYPE and REDIS_*.
CACHE_SINCE = 7
REDIS_PARTS = ("REDIS_HOST", "REDIS_PORT", "REDIS_DB")
# Near misses that the plugin ignores without a word, with what it does read.
MISSPELT = {"OIDC_SCOPES": "OIDC_SCOPE", "OIDC_GROUP_NAMES": "OIDC_GROUP_NAME"}


@dataclass(frozen=True)
class Login:
    """A program's login at a database or cache, taken from its URL."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.user + '@' if self.user else ''}{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class MlflowView:
    """What a running MLflow was told. Empty text where a variable is not set."""

    client_id: str
    client_secret: str = field(repr=False)
    discovery_url: str
    redirect_uri: str
    scope: str
    audience: str
    issuer: str
    groups_claim: str
    user_groups: tuple[str, ...]
    admin_groups: tuple[str, ...]
    cache: str
    redis: Login | None
    redis_parts: Mapping[str, str]
    session_type: str
    allowed_hosts: tuple[str, ...]
    mlflow_database: Login | None
    users_database: Login | None
    misspelt: Mapping[str, str]
    variables: frozenset[str]


def mlflow_view(env: Mapping[str, str]) -> MlflowView:
    return MlflowView(
        client_id=env.get("OIDC_CLIENT_ID", ""),
        client_secret=env.get("OIDC_CLIENT_SECRET", ""),
        discovery_url=env.get("OIDC_DISCOVERY_URL", ""),
        redirect_uri=env.get("OIDC_REDIRECT_URI", ""),
        scope=env.get("OIDC_SCOPE", ""),
        audience=env.get("OIDC_AUDIENCE", ""),
        issuer=env.get("OIDC_ISSUER", ""),
        groups_claim=env.get("OIDC_GROUPS_ATTRIBUTE", ""),
        user_groups=_names(env.get("OIDC_GROUP_NAME", "")),
        admin_groups=_names(env.get("OIDC_ADMIN_GROUP_NAME", "")),
        cache=env.get("CACHE_BACKEND", ""),
        redis=_login(env.get("CACHE_REDIS_URL", ""), 6379),
        redis_parts={name: env[name] for name in REDIS_PARTS if name in env},
        session_type=env.get("SESSION_TYPE", ""),
        allowed_hosts=_names(env.get("MLFLOW_SERVER_ALLOWED_HOSTS", "")),
        mlflow_database=_login(env.get("MLFLOW_BACKEND_STORE_URI", ""), 5432),
        users_database=_login(env.get("OIDC_USERS_DB_URI", ""), 5432),
        misspelt={wrong: right for wrong, right in MISSPELT.items() if wrong in env},
        variables=frozenset(env),
    )


@dataclass(frozen=True)
class KeycloakView:
    """What a running Keycloak was told."""

    public_url: str
    database: Login | None
    admin_client_id: str
    admin_client_secret: str = field(repr=False)


def keycloak_view(env: Mapping[str, str]) -> KeycloakView:
    address = _login(env.get("KC_DB_URL", "").removeprefix("jdbc:"), 5432)
    if address is not None:
        user, password = env.get("KC_DB_USERNAME", ""), env.get("KC_DB_PASSWORD", "")
        address = Login(address.host, address.port, address.database, user, password)
    return KeycloakView(
        public_url=env.get("KC_HOSTNAME", ""),
        database=address,
        admin_client_id=env.get("KC_BOOTSTRAP_ADMIN_CLIENT_ID", ""),
        admin_client_secret=env.get("KC_BOOTSTRAP_ADMIN_CLIENT_SECRET", ""),
    )


def address_of(issuer: str, discovery_url: str) -> KeycloakAddress | None:
    """Where Keycloak is, from what MLflow was told; None when its issuer is not one of Keycloak."""
    public, found, realm = issuer.rpartition("/realms/")
    if not found:
        return None
    return KeycloakAddress(public, discovery_url.partition("/realms/")[0], realm, admin_url=public)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _login(url: str, default_port: int) -> Login | None:
    if "://" not in url:
        return None
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port or default_port
    except ValueError:
        return None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Login(parts.hostname or "", port, parts.path.lstrip("/"), user, password)
