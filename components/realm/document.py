"""The realm written as a Keycloak import: one JSON document without a secret in it.

Secrets are placeholders, which Keycloak fills from its environment as it imports (Keycloak guide
"Importing and exporting realms", section on environment variables).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from secrets import token_hex
from typing import Any

from components.identity import account_username
from components.keycloak import SERVER
from components.realm.flows import as_import as flows_as_import
from components.realm.ldap import STORAGE, as_component
from components.realm.providers import as_import, mappers_as_import
from components.realm.spec import (
    AUDIENCE_MAPPER,
    GROUPS_MAPPER,
    GROUPS_MAPPER_TYPE,
    MANAGEMENT,
    TERMS,
    VIEW_PEOPLE,
    Client,
    RealmSpec,
)
from components.stack import StackSpec
from platforms.secrets import ImportQuoted, Secret, SecretText
from platforms.workload import File, Workload

# The built-in client scopes that Keycloak gives every new OpenID Connect client.
DEFAULT_SCOPES = ("acr", "basic", "email", "profile", "roles", "web-origins")
OPTIONAL_SCOPES = ("address", "microprofile-jwt", "offline_access", "organization", "phone")
# Where the password of the mail server stands, beside lists of those who have one.
_MAIL = ("smtpServer", "password")
_PROVIDERS, _MAPPERS = "identityProviders", "identityProviderMappers"
COMPONENTS, ACTIONS, TEXTS = "components", "requiredActions", "localizationTexts"
IMPORT_PATH = "/opt/keycloak/data/import/realm.json"


def importing_workloads(
    spec: StackSpec, kept: str = "", *, imported: bool = False, newer_secrets: bool = False
) -> tuple[Workload, ...]:
    """The workloads with a Keycloak that imports the realm at its first start.

    For targets without a provider that manages the realm. A realm that is there already is left alone.
    kept: the document that was written before, empty for a new stack. Its names of secrets stay in use: else
        Keycloak's container would be made anew for a realm that is imported no more.
    imported: whether the kept document is the one that this Keycloak has imported, which stays as it is. What is
        declared since, `stackctl.realm` brings into the realm that is there.
    newer_secrets: whether Keycloak is given the secrets too that such a document does not name.
    """
    names = _variables(spec.realm, kept)
    document = _without_others(kept, names.values()) if imported else ""
    if not document:
        realm = replace(spec.realm, directories=(), factors=None, flows=())
        tree = realm_import(realm, lambda secret: f"${{{names[secret.name]}}}")
        # An import that names one action has no others.
        tree.pop(ACTIONS, None)
        document = _written(tree)
    used = {
        names[secret.name]: SecretText.of(ImportQuoted(secret))
        for _, secret in _owners(spec.realm)
        if newer_secrets or f"${{{names[secret.name]}}}" in document
    }
    return tuple(
        replace(
            workload,
            args=(*workload.args, "--import-realm"),
            files=(*workload.files, File(IMPORT_PATH, document)),
            secret_env={**workload.secret_env, **used},
        )
        if workload.name == SERVER
        else workload
        for workload in spec.workloads
    )


def comes_later(realm: RealmSpec) -> dict[str, bool]:
    """By their keys the parts that no import has, and whether this realm has them. `stackctl.realm` makes them.

    Directories come there once they were tried. Login flows, and what a login asks for, would take the place of all of
    Keycloak's own.
    """
    return {
        "realm.ldap": bool(realm.directories),
        "realm.secondFactor": realm.factors is not None,
        "realm.sessionLimit": realm.session_limit is not None,
        "realm.terms": realm.terms is not None,
    }


def _without_others(kept: str, variables: Iterable[str]) -> str:
    """A document without the clients and users whose secrets are in other variables; empty where it is none.

    Keycloak would take the name of a variable that it is not given for the secret.
    """
    tree, known = _read(kept), set(variables)
    if not isinstance(tree, dict) or not {"realm", "clients", "users"} <= tree.keys():
        return ""

    def stays(secret: object) -> bool:
        return _variable(secret) in {"", *known}

    rest = {
        **tree,
        "clients": [client for client in _entries(tree, "clients") if stays(client.get("secret"))],
        "users": [u for u in _entries(tree, "users") if all(stays(c.get("value")) for c in _entries(u, "credentials"))],
    }
    if not stays(_of(tree, _MAIL[0]).get(_MAIL[1])):
        rest.pop(_MAIL[0])
    kept_ones = [one for one in _entries(tree, _PROVIDERS) if stays(_of(one, "config").get("clientSecret"))]
    if len(kept_ones) < len(_entries(tree, _PROVIDERS)):
        aliases = {one.get("alias") for one in kept_ones}
        mappers = [one for one in _entries(tree, _MAPPERS) if one.get("identityProviderAlias") in aliases]
        rest |= {_PROVIDERS: kept_ones, _MAPPERS: mappers}
    return kept if rest == tree else _written(rest)


def _written(tree: dict[str, Any]) -> str:
    """A document in whose texts Keycloak finds no variable but where a secret stands: it looks before it reads JSON."""
    mark = token_hex(16)

    def marked(secret: object) -> object:
        return f"{mark}{name}{mark}" if (name := _variable(secret)) else secret

    def within(entry: Any, *path: str) -> Any:
        """A copy with the secret marked that stands at this path, if one does."""
        key, *rest = path
        if not isinstance(entry, dict) or key not in entry:
            return entry
        inside = entry[key]
        if isinstance(inside, list):
            return {**entry, key: [within(one, *rest) for one in inside]}
        return {**entry, key: within(inside, *rest) if rest else marked(inside)}

    places = (("clients", "secret"), ("users", "credentials", "value"), _MAIL, (_PROVIDERS, "config", "clientSecret"))
    for place in places:
        tree = within(tree, *place)
    text = json.dumps(tree, indent=2, sort_keys=True).replace("${", r"\u0024{") + "\n"
    return re.sub(rf"{mark}(\w+){mark}", r"${\1}", text)


def _owners(realm: RealmSpec) -> list[tuple[tuple[str, str], Secret]]:
    """Every secret of the realm with the list of the import and the name in it that it belongs to, in that order."""
    clients = [(("clients", client_id), secret) for client_id, secret in realm.with_secrets]
    people = [(("users", user.username), user.password) for user in realm.users]
    mail = [(_MAIL, realm.mail.password)] if realm.mail and realm.mail.password else []
    providers = [((_PROVIDERS, one.alias), one.secret) for one in realm.providers if one.secret]
    return [*clients, *people, *mail, *providers]


def _variables(realm: RealmSpec, kept: str) -> dict[str, str]:
    """The variable that carries each secret to Keycloak, by the secret's name: the kept one, or else its own."""
    document = _read(kept)
    known: dict[tuple[str, str], str] = {}
    for client in _entries(document, "clients"):
        known["clients", str(client.get("clientId"))] = _variable(client.get("secret"))
    for user in _entries(document, "users"):
        for credential in _entries(user, "credentials"):
            known["users", str(user.get("username"))] = _variable(credential.get("value"))
    known[_MAIL] = _variable(_of(document, _MAIL[0]).get("password"))
    for one in _entries(document, _PROVIDERS):
        known[_PROVIDERS, str(one.get("alias"))] = _variable(_of(one, "config").get("clientSecret"))
    return {secret.name: known.get(owner) or f"REALM_{secret.variable}" for owner, secret in _owners(realm)}


def _read(kept: str) -> object:
    try:
        return json.loads(kept or "{}")
    except ValueError:
        # The engine that keeps it tells of the damage.
        return {}


def _entries(tree: object, key: str) -> list[dict[str, Any]]:
    entries = tree.get(key) if isinstance(tree, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _of(tree: object, key: str) -> dict[str, Any]:
    found = tree.get(key) if isinstance(tree, dict) else None
    return found if isinstance(found, dict) else {}


def _variable(placeholder: object) -> str:
    """The variable that a placeholder names; empty for what is none."""
    match = re.fullmatch(r"\$\{(REALM_\w+)\}", str(placeholder))
    return match[1] if match else ""


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
        found["smtpServer"] = {**{key: value for key, value in spec.mail.config.items() if value}, **password}
    if spec.providers:
        found[_PROVIDERS] = [as_import(one, placeholder) for one in spec.providers]
        found[_MAPPERS] = [mapper for one in spec.providers for mapper in mappers_as_import(one)]
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
