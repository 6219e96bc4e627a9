"""Reads back what a running Keycloak was told: the variables of `components.keycloak`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.connection import Login, login_in
from components.keycloak import KeycloakAddress
from platforms.secrets import ExpressionQuoted


@dataclass(frozen=True)
class KeycloakView:
    """What a running Keycloak was told."""

    public_url: str
    database: Login | None
    admin_client_id: str
    admin_client_secret: str = field(repr=False)


def keycloak_view(env: Mapping[str, str]) -> KeycloakView:
    address = login_in(env.get("KC_DB_URL", "").removeprefix("jdbc:"), 5432)
    if address is not None:
        user, password = env.get("KC_DB_USERNAME", ""), ExpressionQuoted.read(env.get("KC_DB_PASSWORD", ""))
        address = Login(address.host, address.port, address.database, user, password)
    return KeycloakView(
        public_url=env.get("KC_HOSTNAME", ""),
        database=address,
        admin_client_id=env.get("KC_BOOTSTRAP_ADMIN_CLIENT_ID", ""),
        admin_client_secret=ExpressionQuoted.read(env.get("KC_BOOTSTRAP_ADMIN_CLIENT_SECRET", "")),
    )


def address_of(issuer: str, discovery_url: str) -> KeycloakAddress | None:
    """Where Keycloak is, from what MLflow was told; None when its issuer is not one of Keycloak."""
    public, found, realm = issuer.rpartition("/realms/")
    if not found:
        return None
    return KeycloakAddress(public, discovery_url.partition("/realms/")[0], realm, admin_url=public)
