"""A realm as a company declares it, and whether a Keycloak has it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.e2e.keycloak import KeycloakAdmin

# Nobody answers at these addresses, and nobody is asked before somebody logs in there.
_ELSEWHERE = "https://id.example.com"
REALM: dict[str, Any] = {
    "displayName": "Models of Acme",
    "passwordPolicy": "length(12) and notUsername",
    "rememberMe": True,
    "languages": ["en", "de"],
    "texts": {"de": {"loginAccountTitle": "Willkommen bei Acme"}},
    "events": {"days": 7},
    "secondFactor": {"oneTimeCodes": True},
    "identityProviders": [
        {
            "alias": "acme",
            "issuer": _ELSEWHERE,
            "authorizationUrl": f"{_ELSEWHERE}/auth",
            "tokenUrl": f"{_ELSEWHERE}/token",
            "jwksUrl": f"{_ELSEWHERE}/keys",
            "clientId": "keycloak",
            "clientSecret": "of-keycloak-at-acme",
            "groups": {"ml": "mlflow-users"},
        },
        {
            "alias": "corp",
            "kind": "saml",
            "saml": {
                "entityId": f"{_ELSEWHERE}/saml",
                "loginUrl": f"{_ELSEWHERE}/login",
                "metadataUrl": f"{_ELSEWHERE}/metadata",
                "usernameAttribute": "http://schemas.acme.example/name",
            },
            "groups": {"ml": "mlflow-users"},
        },
    ],
}


def assert_declared(outputs: Mapping[str, Any]) -> None:
    """The realm of a stack is as `REALM` says."""
    keycloak, path = KeycloakAdmin(outputs), f"/{outputs['realm']}"
    realm = keycloak.get(path)
    expected = {
        "displayName": "Models of Acme",
        "rememberMe": True,
        "supportedLocales": ["de", "en"],
        "defaultLocale": "en",
        "eventsExpiration": 7 * 24 * 3600,
    }
    found = {key: sorted(realm[key]) if isinstance(realm[key], list) else realm[key] for key in expected}
    assert found == expected
    # Keycloak writes a rule without a value in more than one way.
    assert realm["passwordPolicy"].startswith("length(12) and notUsername")
    assert keycloak.get(f"{path}/localization/de")["loginAccountTitle"] == "Willkommen bei Acme"
    providers = {one["alias"]: one for one in keycloak.get(f"{path}/identity-provider/instances")}
    assert {alias: one["providerId"] for alias, one in providers.items()} == {"acme": "oidc", "corp": "saml"}
    assert providers["corp"]["config"]["idpEntityId"] == f"{_ELSEWHERE}/saml"
    mappers = {one["name"]: one["config"] for one in keycloak.get(f"{path}/identity-provider/instances/corp/mappers")}
    assert mappers["username"]["template"] == "${ATTRIBUTE.http://schemas.acme.example/name}"
    assert mappers["group mlflow-users"]["group"] == "/mlflow-users"
