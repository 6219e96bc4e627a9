"""People who are there already, asked to accept the terms of use: Keycloak itself asks newcomers alone.

It asks whoever has the required action. Somebody of a directory that Keycloak only reads could never accept: it cannot
write down when they did (`ReadonlyLDAPUserModelDelegate.setAttribute`), and answers with an error at each login.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_sso_client.errors import RefusedError

from components.realm_words import STORAGE, TERMS, flat
from stackctl.clients.keycloak_admin import KeycloakAdmin

# What Keycloak notes of somebody who accepted.
_ACCEPTED = "terms_and_conditions"


@dataclass(frozen=True)
class Found:
    """Whom to ask, by the ids in Keycloak; and the names of those who cannot be asked."""

    to_ask: Mapping[str, str]
    cannot: tuple[str, ...]


def find(keycloak: KeycloakAdmin, *, again: bool) -> Found:
    """Whom nobody asked yet and who did not accept; with `again` those too who accepted.

    Raises RefusedError where the realm has no terms.
    """
    if not _action(keycloak).get("enabled"):
        raise RefusedError("nobody is asked to accept terms in this realm", "set realm.terms and realm.texts, and `up`")
    directories, to_ask, cannot = read_only(keycloak), {}, []
    for person in keycloak.pages("/users", briefRepresentation="false"):
        accepted = bool((person.get("attributes") or {}).get(_ACCEPTED))
        if TERMS in person.get("requiredActions", ()) or (accepted and not again):
            continue
        if person.get("federationLink") in directories:
            cannot.append(str(person["username"]))
        else:
            to_ask[str(person["id"])] = str(person["username"])
    return Found(to_ask, tuple(cannot))


def asks_newcomers(keycloak: KeycloakAdmin) -> bool:
    """Whether everybody is asked who is made from now on."""
    action = _action(keycloak)
    return bool(action.get("enabled") and action.get("defaultAction"))


def read_only(keycloak: KeycloakAdmin, *, used: bool = False) -> dict[str, str]:
    """The directories that Keycloak only reads: their names by their ids. used: those alone that are switched on."""
    rows = [(row, flat(row.get("config", {}))) for row in keycloak.get("/components", type=STORAGE)]
    return {
        str(row["id"]): str(row["name"])
        for row, config in rows
        if config.get("editMode") == "READ_ONLY" and not (used and config.get("enabled") == "false")
    }


def ask(keycloak: KeycloakAdmin, person: str) -> None:
    """Asks somebody, by their id, at their next login, beside what they are asked already."""
    pending = keycloak.get(f"/users/{person}").get("requiredActions", [])
    keycloak.request("PUT", f"/users/{person}", json={"requiredActions": [*pending, TERMS]})


def _action(keycloak: KeycloakAdmin) -> Mapping[str, Any]:
    rows = keycloak.get("/authentication/required-actions")
    return next((row for row in rows if row["alias"] == TERMS), {})
