"""Other identity providers of a realm, as Keycloak calls what is to be said of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from components.identity import provider_secret
from components.realm import saml
from platforms.secrets import Secret
from settings import reveal
from settings.realm import IdentityProvider
from settings.types import origin_of, port_of

FIRST_LOGIN = "first broker login"
MAPPER = "oidc-advanced-group-idp-mapper"
EVERYBODY = "oidc-hardcoded-group-idp-mapper"
_DEFAULT_CLAIMS = {"oidc": "groups", "entra": "roles", "google": "hd", "gitlab": "groups", "saml": "groups"}


@dataclass(frozen=True)
class Mapper:
    """What is done with somebody who comes from a provider. kind and config: Keycloak's."""

    kind: str
    config: Mapping[str, str]


@dataclass(frozen=True)
class Provider:
    """A provider of OpenID Connect or SAML.

    kind: Keycloak's, oidc or saml. config: Keycloak's, but for the secret, which SAML has none of. mappers: by name,
    what tells of people and leads them to groups.
    """

    alias: str
    display_name: str
    kind: str
    trust_email: bool
    config: Mapping[str, str]
    secret: Secret | None
    mappers: Mapping[str, Mapper]

    def told(self, issuer: str) -> dict[str, str]:
        """What the provider has to know of Keycloak, whose realm is at `issuer`."""
        endpoint = f"{issuer}/broker/{self.alias}/endpoint"
        if self.kind == "oidc":
            return {"redirect_uri": endpoint}
        metadata = {"entity_id": self.config.get("entityId", issuer), "metadata_url": f"{endpoint}/descriptor"}
        return {"redirect_uri": endpoint, **metadata}


def provider(settings: IdentityProvider) -> Provider:
    secret = reveal(settings.client_secret)
    return Provider(
        alias=settings.alias,
        display_name=settings.display_name or settings.alias,
        kind="saml" if settings.saml else "oidc",
        trust_email=settings.trust_email,
        config=saml.config(settings.saml, settings.client_id) if settings.saml else _oidc(settings),
        secret=provider_secret(settings.alias, secret) if secret else None,
        mappers=dict(_mappers(settings)),
    )


def _oidc(settings: IdentityProvider) -> dict[str, str]:
    return {
        **_addresses(settings),
        "clientId": settings.client_id or "",
        "clientAuthMethod": "client_secret_post",
        "defaultScope": settings.scopes,
        "validateSignature": "true",
        "useJwksUrl": "true",
        "pkceEnabled": "true",
        "pkceMethod": "S256",
        # What a person is called there is read again at each login.
        "syncMode": "FORCE",
    }


def ways_out(settings: IdentityProvider) -> Iterator[tuple[str, int]]:
    """The hosts and ports that Keycloak itself asks."""
    asked = settings.saml.metadata_url if settings.saml else None
    addresses = {"metadata": asked} if asked else _addresses(settings)
    for name in ("metadata", "tokenUrl", "jwksUrl", "userInfoUrl", "logoutUrl"):
        host = urlsplit(addresses.get(name, "")).hostname
        if host:
            yield host, port_of(addresses[name])


def issuer_of(settings: IdentityProvider) -> str:
    """What its tokens call it; empty where nobody says."""
    return _addresses(settings).get("issuer", "")


def _addresses(settings: IdentityProvider) -> dict[str, str]:
    if settings.kind == "entra":
        # Microsoft, "OpenID Connect on the Microsoft identity platform": one directory's endpoints, version 2.0.
        base = f"https://login.microsoftonline.com/{settings.tenant}"
        found = {
            "issuer": f"{base}/v2.0",
            "authorizationUrl": f"{base}/oauth2/v2.0/authorize",
            "tokenUrl": f"{base}/oauth2/v2.0/token",
            "jwksUrl": f"{base}/discovery/v2.0/keys",
            "userInfoUrl": "https://graph.microsoft.com/oidc/userinfo",
            "logoutUrl": f"{base}/oauth2/v2.0/logout",
        }
    elif settings.kind == "google":
        # https://accounts.google.com/.well-known/openid-configuration
        found = {
            "issuer": "https://accounts.google.com",
            "authorizationUrl": "https://accounts.google.com/o/oauth2/v2/auth",
            "tokenUrl": "https://oauth2.googleapis.com/token",
            "jwksUrl": "https://www.googleapis.com/oauth2/v3/certs",
            "userInfoUrl": "https://openidconnect.googleapis.com/v1/userinfo",
        }
    elif settings.kind == "gitlab":
        # GitLab, "GitLab as OpenID Connect identity provider": its endpoints by its own discovery document.
        # An issuer is compared letter by letter with the one that the server calls itself.
        parts = urlsplit(settings.issuer or "https://gitlab.com")
        base = origin_of(parts) + parts.path.rstrip("/")
        found = {
            "issuer": base,
            "authorizationUrl": f"{base}/oauth/authorize",
            "tokenUrl": f"{base}/oauth/token",
            "jwksUrl": f"{base}/oauth/discovery/keys",
            # It tells of groups here alone, and not in its ID tokens.
            "userInfoUrl": f"{base}/oauth/userinfo",
        }
    else:
        found = {
            "issuer": settings.issuer or "",
            "authorizationUrl": settings.authorization_url or "",
            "tokenUrl": settings.token_url or "",
            "jwksUrl": settings.jwks_url or "",
            "userInfoUrl": settings.user_info_url or "",
            "logoutUrl": settings.logout_url or "",
        }
    given = {key: value for key, value in found.items() if value}
    return {**given, "disableUserInfo": "false" if "userInfoUrl" in given else "true"}


def _mappers(settings: IdentityProvider) -> Iterator[tuple[str, Mapper]]:
    """One for each group here: whoever has none of its values leaves it at the next login."""
    claim = settings.groups_claim or _DEFAULT_CLAIMS[settings.kind]
    kind, place = (saml.GROUP_MAPPER, "attribute") if settings.saml else (MAPPER, "claim")
    # A dot leads into a claim, but for one in the name of a claim, as in a URL. An attribute is called as it is.
    claim = claim.replace(".", r"\.") if "://" in claim and not settings.saml else claim
    if settings.saml:
        yield from ((name, Mapper(known, config)) for name, known, config in saml.mappers(settings.saml))
    for group in sorted(set(settings.groups.values())):
        values = sorted(value for value, leads in settings.groups.items() if leads == group)
        # Keycloak compares texts or a list of them, the latter entry by entry.
        pattern = "|".join(map(_quoted, values))
        matched = {f"{place}s": json.dumps([{"key": claim, "value": pattern}]), f"are.{place}.values.regex": "true"}
        yield f"group {group}", Mapper(kind, _config(group, **matched))
    for group in sorted(settings.default_groups):
        yield f"everybody {group}", Mapper(EVERYBODY, _config(group))


def _config(group: str, **more: str) -> dict[str, str]:
    return {"syncMode": "FORCE", "group": f"/{group}", **more}


def _quoted(value: str) -> str:
    """A text as a regular expression of Java's that matches it alone."""
    return re.sub(r"([^A-Za-z0-9_-])", r"\\\1", value)


def as_import(found: Provider, placeholder: Callable[[Secret], str]) -> dict[str, Any]:
    secret = {"clientSecret": placeholder(found.secret)} if found.secret else {}
    return {
        "alias": found.alias,
        "displayName": found.display_name,
        "providerId": found.kind,
        "enabled": True,
        "trustEmail": found.trust_email,
        "storeToken": False,
        "linkOnly": False,
        "firstBrokerLoginFlowAlias": FIRST_LOGIN,
        "config": {**found.config, **secret},
    }


def mappers_as_import(found: Provider) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "identityProviderAlias": found.alias,
            "identityProviderMapper": mapper.kind,
            "config": dict(mapper.config),
        }
        for name, mapper in found.mappers.items()
    ]
