"""The realm written as a Keycloak import: one JSON document without a secret in it.

Secrets are placeholders, which Keycloak fills from its environment as it imports (Keycloak guide
"Importing and exporting realms", section on environment variables).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from components.identity import account_username
from components.realm.flows import as_import as flows_as_import
from components.realm.ldap import as_component
from components.realm.providers import as_import, mappers_as_import
from components.realm.spec import (
    AUDIENCE_MAPPER,
    GROUPS_MAPPER,
    GROUPS_MAPPER_TYPE,
    MANAGEMENT,
    VIEW_PEOPLE,
    Client,
    RealmSpec,
)
from components.realm_words import ACTIONS, COMPONENTS, MAIL, MAPPERS, PROVIDERS, STORAGE, TERMS, TEXTS
from platforms.secrets import Secret

# The built-in client scopes that Keycloak gives every new OpenID Connect client.
DEFAULT_SCOPES = ("acr", "basic", "email", "profile", "roles", "web-origins")
OPTIONAL_SCOPES = ("address", "microprofile-jwt", "offline_access", "organization", "phone")


def realm_import(spec: RealmSpec, placeholder: Callable[[Secret], str]) -> dict[str, Any]:
    """The import of a realm. `placeholder` names the variable that will hold a secret."""
    times, brute = spec.lifetimes, spec.brute_force
    return {
        "realm": spec.name,
        "enabled": True,
        "displayName": spec.display_name,
        "sslRequired": spec.ssl_required,
        "loginWithEmailAllowed": True,
        "duplicateEmailsAllowed": False,
        "registrationAllowed": False,
        "editUsernameAllowed": False,
        "verifyEmail": False,
        "defaultSignatureAlgorithm": spec.signature_algorithm,
        "browserSecurityHeaders": dict(spec.security_headers),
        "accessTokenLifespan": times.access_token_seconds,
        "ssoSessionIdleTimeout": times.sso_idle_seconds,
        "ssoSessionMaxLifespan": times.sso_max_seconds,
        "offlineSessionIdleTimeout": times.offline_idle_seconds,
        "bruteForceProtected": True,
        "permanentLockout": False,
        "failureFactor": brute.failures,
        "waitIncrementSeconds": brute.wait_increment_seconds,
        "quickLoginCheckMilliSeconds": brute.quick_check_milliseconds,
        "minimumQuickLoginWaitSeconds": brute.quick_wait_seconds,
        "maxFailureWaitSeconds": brute.max_wait_seconds,
        "maxDeltaTimeSeconds": brute.reset_seconds,
        # The role of a group is the stack's own, whatever else the realm has: it stands in tokens, the group does not.
        "roles": {"client": {spec.groups_client: [{"name": group} for group in spec.groups]}},
        "groups": [{"name": group, "clientRoles": {spec.groups_client: [group]}} for group in spec.groups],
        "clientScopeMappings": {
            spec.groups_client: [{"client": client.client_id, "roles": list(spec.groups)} for client in spec.clients]
        },
        "clients": [
            *(_client(client, spec, placeholder) for client in spec.clients),
            _groups_client(spec),
            *([_people_client(spec.people, spec, placeholder)] if spec.people else []),
            *map(_closed_client, spec.closed),
        ],
        "users": [*_people(spec, placeholder), *_accounts(spec)],
        **_declared_alone(spec, placeholder),
    }


def _declared_alone(spec: RealmSpec, placeholder: Callable[[Secret], str]) -> dict[str, Any]:
    """What stands in the import only where it was declared: else it is Keycloak's, and whoever changes it there."""
    found: dict[str, Any] = dict(spec.themes)
    if spec.password_policy is not None:
        found["passwordPolicy"] = spec.password_policy
    if spec.remember_me is not None:
        found["rememberMe"] = spec.remember_me
    if spec.reset_password is not None:
        found["resetPasswordAllowed"] = spec.reset_password
    if spec.languages:
        found |= {
            "internationalizationEnabled": True,
            "supportedLocales": list(spec.languages),
            "defaultLocale": spec.languages[0],
        }
    if spec.texts:
        found[TEXTS] = {language: dict(texts) for language, texts in spec.texts.items()}
    if spec.mail is not None:
        password = {"password": placeholder(spec.mail.password)} if spec.mail.password else {}
        found[MAIL[0]] = {**{key: value for key, value in spec.mail.config.items() if value}, **password}
    if spec.providers:
        found[PROVIDERS] = [as_import(one, placeholder) for one in spec.providers]
        found[MAPPERS] = [mapper for one in spec.providers for mapper in mappers_as_import(one)]
    if spec.directories:
        described = [as_component(one, placeholder(one.password) if one.password else "") for one in spec.directories]
        found[COMPONENTS] = {STORAGE: described}
    if spec.factors is not None:
        found |= spec.factors.passkeys
    if spec.factors is not None or spec.flows:
        found |= flows_as_import(spec.flows)
    if spec.actions:
        found[ACTIONS] = [{"alias": alias, **declared} for alias, declared in spec.actions.items()]
    if spec.events is not None:
        found |= {
            "eventsEnabled": True,
            "eventsExpiration": spec.events.days * 24 * 3600,
            "enabledEventTypes": [],
            "adminEventsEnabled": spec.events.changes,
            "adminEventsDetailsEnabled": spec.events.changes,
        }
    return found


def _people(spec: RealmSpec, placeholder: Callable[[Secret], str]) -> list[dict[str, Any]]:
    return [
        {
            "username": user.username,
            "enabled": True,
            **({"email": user.email, "emailVerified": True} if user.email else {}),
            **({"firstName": user.first_name} if user.first_name else {}),
            **({"lastName": user.last_name} if user.last_name else {}),
            "credentials": [{"type": "password", "value": placeholder(user.password), "temporary": user.temporary}],
            # An import gives no default roles by itself, and asks for no default action; the admin API does.
            "realmRoles": [f"default-roles-{spec.name}"],
            **({"requiredActions": [TERMS]} if spec.terms else {}),
            "groups": [f"/{group}" for group in user.groups],
        }
        for user in spec.users
    ]


def _accounts(spec: RealmSpec) -> list[dict[str, Any]]:
    """The users that stand for service accounts: Keycloak spells them in lower case."""
    return [
        {
            "username": account_username(client.client_id),
            "enabled": True,
            "serviceAccountClientId": client.client_id,
            "realmRoles": [f"default-roles-{spec.name}"],
            "groups": [f"/{group}" for group in client.groups],
            **({"clientRoles": {MANAGEMENT: [VIEW_PEOPLE]}} if client is spec.people else {}),
        }
        for client in spec.and_people
        if client.service_account
    ]


def _people_client(client: Client, spec: RealmSpec, placeholder: Callable[[Secret], str]) -> dict[str, Any]:
    """Its tokens are for Keycloak's admin API alone, and carry the rights of its service account, which are few."""
    return {**_client(client, spec, placeholder), "fullScopeAllowed": True, "protocolMappers": []}


def _groups_client(spec: RealmSpec) -> dict[str, Any]:
    return {
        "clientId": spec.groups_client,
        "name": spec.groups_client_name,
        "enabled": True,
        "protocol": "openid-connect",
        "bearerOnly": True,
        "publicClient": False,
        "standardFlowEnabled": False,
        "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": False,
        "fullScopeAllowed": False,
        "defaultClientScopes": list(DEFAULT_SCOPES),
        "optionalClientScopes": list(OPTIONAL_SCOPES),
        "attributes": {
            "backchannel.logout.session.required": "true",
            "oauth2.device.authorization.grant.enabled": "false",
            "post.logout.redirect.uris": "+",
        },
    }


def _closed_client(client_id: str) -> dict[str, Any]:
    return {
        "clientId": client_id,
        "name": client_id,
        "enabled": True,
        "protocol": "openid-connect",
        "publicClient": True,
        "standardFlowEnabled": False,
        "directAccessGrantsEnabled": True,
        "consentRequired": True,
        "fullScopeAllowed": True,
        "defaultClientScopes": list(DEFAULT_SCOPES),
        "optionalClientScopes": list(OPTIONAL_SCOPES),
        "nodeReRegistrationTimeout": 0,
        "attributes": {
            "backchannel.logout.session.required": "true",
            "client.use.lightweight.access.token.enabled": "true",
            "oauth2.device.authorization.grant.enabled": "false",
            "post.logout.redirect.uris": "+",
        },
    }


def _client(client: Client, spec: RealmSpec, placeholder: Callable[[Secret], str]) -> dict[str, Any]:
    attributes = {
        "post.logout.redirect.uris": "##".join(client.post_logout_uris),
        "oauth2.device.authorization.grant.enabled": str(client.device_grant).lower(),
        "pkce.code.challenge.method": "S256" if client.pkce else "",
        # Off where it is not written, unlike in a client made through the admin console or the provider.
        "backchannel.logout.session.required": "true",
    }
    return {
        "clientId": client.client_id,
        "name": client.name,
        "enabled": True,
        "protocol": "openid-connect",
        "publicClient": client.secret is None,
        **({"secret": placeholder(client.secret)} if client.secret else {}),
        **({"rootUrl": client.root_url, "baseUrl": "/"} if client.root_url else {}),
        "redirectUris": list(client.redirect_uris),
        "webOrigins": list(client.web_origins),
        "standardFlowEnabled": client.standard_flow,
        "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": client.direct_access_grants,
        "serviceAccountsEnabled": client.service_account,
        "fullScopeAllowed": False,
        # Named in full: an import gives a client with a service account no more than any other.
        "defaultClientScopes": [*DEFAULT_SCOPES, *(("service_account",) if client.service_account else ())],
        "optionalClientScopes": list(OPTIONAL_SCOPES),
        "attributes": {key: value for key, value in attributes.items() if value},
        "protocolMappers": [
            {
                "name": GROUPS_MAPPER,
                "protocol": "openid-connect",
                "protocolMapper": GROUPS_MAPPER_TYPE,
                "config": spec.groups_mapper,
            },
            {
                "name": AUDIENCE_MAPPER,
                "protocol": "openid-connect",
                "protocolMapper": "oidc-audience-mapper",
                "config": {
                    "included.client.audience": spec.audience,
                    "id.token.claim": "false",
                    "access.token.claim": "true",
                    "userinfo.token.claim": "false",
                    "introspection.token.claim": "true",
                },
            },
        ],
    }
