"""Other identity providers of a realm, written as pulumi-keycloak resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pulumi
import pulumi_keycloak as keycloak
from pulumi_keycloak import oidc

from components.realm.providers import FIRST_LOGIN, Provider

# What the resource has inputs of its own for; it takes all else of a configuration as it is.
_INPUTS = frozenset({
    "authorizationUrl", "clientId", "defaultScope", "disableUserInfo", "issuer", "jwksUrl", "logoutUrl", "syncMode",
    "tokenUrl", "useJwksUrl", "userInfoUrl", "validateSignature",
})  # fmt: skip


def make_provider(
    found: Provider,
    name: str,
    realm: pulumi.Output[str],
    secret: pulumi.Output[str],
    groups: Mapping[str, keycloak.Group],
    child: pulumi.ResourceOptions,
    inside: Callable[[pulumi.Resource], pulumi.ResourceOptions],
) -> None:
    """A provider and its mappers. child: options of what is in the realm. inside: those of what is in a resource."""
    config = found.config
    made = oidc.IdentityProvider(
        name,
        realm=realm,
        alias=found.alias,
        display_name=found.display_name,
        client_id=config["clientId"],
        client_secret=secret,
        issuer=config["issuer"],
        authorization_url=config["authorizationUrl"],
        token_url=config["tokenUrl"],
        jwks_url=config["jwksUrl"],
        user_info_url=config.get("userInfoUrl"),
        logout_url=config.get("logoutUrl"),
        disable_user_info=config["disableUserInfo"] == "true",
        default_scopes=config["defaultScope"],
        validate_signature=True,
        trust_email=found.trust_email,
        sync_mode=config["syncMode"],
        first_broker_login_flow_alias=FIRST_LOGIN,
        extra_config={key: value for key, value in config.items() if key not in _INPUTS},
        opts=child,
    )
    for mapper, settings in found.mappers.items():
        group = groups[settings["group"][1:]]
        keycloak.CustomIdentityProviderMapping(
            f"{name}-{mapper}",
            realm=realm,
            identity_provider_alias=made.alias,
            identity_provider_mapper=found.kinds[mapper],
            name=mapper,
            # By way of the group, which has to be there before.
            extra_config={**settings, "group": group.name.apply(lambda last: f"/{last}")},
            opts=inside(made),
        )
