"""Keycloak's words for the parts of a realm, and how they are read, for what writes a realm and what changes one.

It needs nothing of the settings, so that a program without them can change a realm (`stackctl.realm.job`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

# Parts of an import.
COMPONENTS, ACTIONS, TEXTS = "components", "requiredActions", "localizationTexts"
PROVIDERS, MAPPERS = "identityProviders", "identityProviderMappers"
# Where the password of the mail server stands, beside lists of those who have one.
MAIL = ("smtpServer", "password")
# Clients that Keycloak makes in every realm (`org.keycloak.models.Constants`).
BUILT_IN_CLIENTS = ("account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console")
# What Keycloak calls the page with the terms of use, and remembers of somebody until they accepted.
TERMS = "TERMS_AND_CONDITIONS"
# What a realm calls its themes, by Keycloak's kinds of them, which are the settings below `realm.themes` too.
THEMES: Mapping[str, str] = {"login": "loginTheme", "account": "accountTheme", "email": "emailTheme"}

# The kind of flow that is made of steps.
BASIC = "basic-flow"
# Which flow a realm uses for what, by the names of both in Keycloak, and which one it has by itself.
BUILT_IN: Mapping[str, str] = {
    "browserFlow": "browser",
    "directGrantFlow": "direct grant",
    "resetCredentialsFlow": "reset credentials",
}
# The same in the names of the stack's own flows.
FLOWS = {"browserFlow": "browser", "directGrantFlow": "password-grant", "resetCredentialsFlow": "reset"}
_OURS = re.compile(rf"mlflow-({'|'.join(FLOWS.values())})-[0-9a-f]{{8}}(-old)?")

# The kinds of components that a directory is made of.
STORAGE = "org.keycloak.storage.UserStorageProvider"
MAPPER = "org.keycloak.storage.ldap.mappers.LDAPStorageMapper"
PROVIDER = "ldap"
# Seconds before a directory that takes no connection is given up.
CONNECT_SECONDS = 5
# What a trial of a directory can find, each with what Keycloak is asked to try (`testLDAPConnection`).
REACHED, LET_IN = "testConnection", "testAuthentication"
# For a secret that Keycloak has (`ComponentRepresentation.SECRET_VALUE`).
_KEPT = "*" * 10


class Declared(StrEnum):
    """The variables by which a program that changes a realm finds what is declared.

    FILE: where that stands, as JSON. `realm` is an import with nothing in the place of secrets; `secrets` has for each
    of them its place there, its variable, and whether Keycloak shows it to nobody.
    IMPORTED: where the import of Keycloak's first start stands.
    URL: of Keycloak. CLIENT, SECRET, REALM: of the service account that manages the realm.
    """

    FILE = "REALM_JOB_FILE"
    IMPORTED = "REALM_JOB_IMPORTED"
    URL = "REALM_JOB_URL"
    CLIENT = "REALM_JOB_CLIENT"
    SECRET = "REALM_JOB_SECRET"  # noqa: S105
    REALM = "REALM_JOB_REALM"


def is_ours(alias: str) -> bool:
    """Whether a flow was made here, by its alias."""
    return bool(_OURS.fullmatch(alias))


def inhabitants(members: Sequence[str], inside: int) -> str:
    """Who is in a group that is to be removed, in words. inside: how many groups are in it."""
    some = ", ".join(members[:3]) + (" ..." if len(members) > 3 else "")
    return f"{len(members)} member(s){f' ({some})' if some else ''}, {inside} group(s) in it"


def unknown_themes(realm: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, str]:
    """The kinds of theme of which Keycloak does not have the one that a realm names, each with those that it has.

    realm: what it says of them, in Keycloak's words. there: `themes` of the server's information; a kind that it does
    not list is not judged.
    """
    found = {}
    for kind, word in THEMES.items():
        names = sorted(str(theme["name"]) for theme in there.get(kind, ()))
        if names and realm.get(word) and realm[word] not in names:
            found[kind] = ", ".join(names)
    return found


def flat(config: Mapping[str, list[str]]) -> dict[str, str]:
    """A component's configuration without its lists, each of which has one value."""
    return {key: values[0] for key, values in config.items() if values}


def trials(config: Mapping[str, str], password: str) -> Iterator[dict[str, str]]:
    """What Keycloak is asked to try, in order: to connect, and to log in, where it does."""
    for action in (REACHED, LET_IN) if config["authType"] == "simple" else (REACHED,):
        yield {
            "action": action,
            "connectionUrl": config["connectionUrl"],
            "authType": config["authType"],
            "bindDn": config.get("bindDn", ""),
            "bindCredential": password,
            "startTls": config["startTls"],
            "useTruststoreSpi": config["useTruststoreSpi"],
            "connectionTimeout": str(CONNECT_SECONDS * 1000),
        }


def kept_login(component: str) -> dict[str, str]:
    """Of a trial: the password that Keycloak has for a directory, by its id, in place of a given one."""
    return {"bindCredential": _KEPT, "componentId": component}


def failed(name: str, action: str, config: Mapping[str, str], reason: str) -> tuple[str, str, str]:
    """The key of a trial that failed, the value there, and what was expected."""
    if action == REACHED:
        expected = (
            f"expected servers that Keycloak reaches ({reason}): name, port, a certificate that caBundle or its own "
            "list of CAs knows, and a way through what is between"
        )
        return f"realm.ldap: {name}: urls", config["connectionUrl"], expected
    expected = f"expected the name and the password (bindPassword) of an entry there ({reason})"
    return f"realm.ldap: {name}: bindDn", config.get("bindDn", ""), expected


def reason(answer: bytes) -> str:
    """What Keycloak says of a trial that failed."""
    try:
        found = json.loads(answer)
    except ValueError:
        found = {}
    return str(found.get("errorMessage") or "it does not say why") if isinstance(found, dict) else "it does not say why"
