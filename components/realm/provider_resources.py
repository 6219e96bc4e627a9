"""Other identity providers of a realm, written as pulumi-keycloak resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pulumi_keycloak as keycloak
from pulumi_keycloak import oidc, saml

from components.realm.providers import FIRST_LOGIN, Provider

# What the resources have inputs of their own for; they take all else of a configuration as it is.
_OIDC = frozenset({
    "authorizationUrl", "clientId", "defaultScope", "disableUserInfo", "issuer", "jwksUrl", "logoutUrl", "syncMode",
    "tokenUrl", "useJwksUrl", "userInfoUrl", "validateSignature",
})  # fmt: skip
_SAML = frozenset({
    "entityId", "nameIDPolicyFormat", "postBindingAuthnRequest", "postBindingLogout", "postBindingResponse",
    "principalAttribute", "principalType", "signatureAlgorithm", "signingCertificate", "singleLogoutServiceUrl",
    "singleSignOnServiceUrl", "syncMode", "validateSignature", "wantAuthnRequestsSigned",
    "xmlSigKeyInfoKeyNameTransformer",
})  # fmt: skip
# What the resource calls them by.
_FORMATS = {"unspecified": "Unspecified", "persistent": "Persistent", "emailAddress": "Email", "transient": "Transient"}


def make_provider(
    found: Provider,
    name: str,
    realm: pulumi.Output[str],
    secret: pulumi.Output[str] | None,
    groups: Mapping[str, keycloak.Group],
    child: pulumi.ResourceOptions,
    inside: Callable[[pulumi.Resource], pulumi.ResourceOptions],
) -> None:
    """A provider and its mappers. child: options of what is in the realm. inside: those of what is in a resource."""
    common = {
        "realm": realm,
        "alias": found.alias,
        "display_name": found.display_name,
        "trust_email": found.trust_email,
        "validate_signature": True,
        # Nothing reads what a provider gave Keycloak for itself.
        "store_token": False,
        "sync_mode": found.config["syncMode"],
        "first_broker_login_flow_alias": FIRST_LOGIN,
        "opts": child,
    }
    made = _oidc(found, name, secret, common) if found.kind == "oidc" else _saml(found, name, common)
    for mapper, what in found.mappers.items():
        config: dict[str, pulumi.Input[str]] = dict(what.config)
        if "group" in config:
            # By way of the group, which has to be there before.
            config["group"] = groups[what.config["group"][1:]].name.apply(lambda last: f"/{last}")
        keycloak.CustomIdentityProviderMapping(
            f"{name}-{mapper}",
            realm=realm,
            identity_provider_alias=made.alias,
            identity_provider_mapper=what.kind,
            name=mapper,
            extra_config=config,
            opts=inside(made),
        )


def _oidc(
    found: Provider, name: str, secret: pulumi.Output[str] | None, common: Mapping[str, Any]
) -> oidc.IdentityProvider:
    config = found.config
    return oidc.IdentityProvider(
        name,
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
        extra_config={key: value for key, value in config.items() if key not in _OIDC},
        **common,
    )


def _saml(found: Provider, name: str, common: Mapping[str, Any]) -> saml.IdentityProvider:
    config = found.config
    return saml.IdentityProvider(
        name,
        # The resource takes none for the realm's URL too, as Keycloak does.
        entity_id=config.get("entityId", ""),
        single_sign_on_service_url=config["singleSignOnServiceUrl"],
        single_logout_service_url=config.get("singleLogoutServiceUrl"),
        signing_certificate=config.get("signingCertificate"),
        principal_type=config["principalType"],
        principal_attribute=config.get("principalAttribute"),
        name_id_policy_format=_FORMATS[config["nameIDPolicyFormat"].rsplit(":", 1)[1]],
        want_authn_requests_signed=config["wantAuthnRequestsSigned"] == "true",
        signature_algorithm=config["signatureAlgorithm"],
        xml_sign_key_info_key_name_transformer=config["xmlSigKeyInfoKeyNameTransformer"],
        post_binding_authn_request=config["postBindingAuthnRequest"] == "true",
        post_binding_logout=config["postBindingLogout"] == "true",
        post_binding_response=config["postBindingResponse"] == "true",
        extra_config={key: value for key, value in config.items() if key not in _SAML},
        **common,
    )
