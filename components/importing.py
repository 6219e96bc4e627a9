"""A Keycloak that imports the realm at its first start, for targets without a provider that manages the realm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from secrets import token_hex
from typing import Any

from components.identity import REALM_JOB
from components.keycloak import SERVER
from components.realm.document import realm_import
from components.realm.spec import RealmSpec
from components.realm_job import IMPORTED_PATH
from components.realm_words import ACTIONS, MAIL, MAPPERS, PROVIDERS
from components.stack import StackSpec
from platforms.secrets import ImportQuoted, Secret, SecretText
from platforms.workload import File, Workload

IMPORT_PATH = "/opt/keycloak/data/import/realm.json"


def importing_workloads(
    spec: StackSpec, kept: str = "", *, imported: bool = False, newer_secrets: bool = False
) -> tuple[Workload, ...]:
    """The workloads with a Keycloak that imports the realm at its first start.

    A realm that is there already is left alone.
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
    # As it was imported: what is declared no more has to be known to be removed.
    was = json.dumps(_read((kept if imported else "") or document), sort_keys=True) + "\n"

    def told(workload: Workload) -> Workload:
        if workload.name == SERVER:
            return replace(
                workload,
                args=(*workload.args, "--import-realm"),
                files=(*workload.files, File(IMPORT_PATH, document)),
                secret_env={**workload.secret_env, **used},
            )
        if workload.name == REALM_JOB:
            return replace(workload, files=(*workload.files, File(IMPORTED_PATH, was)))
        return workload

    return tuple(told(workload) for workload in spec.workloads)


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
    if not stays(_of(tree, MAIL[0]).get(MAIL[1])):
        rest.pop(MAIL[0])
    kept_ones = [one for one in _entries(tree, PROVIDERS) if stays(_of(one, "config").get("clientSecret"))]
    if len(kept_ones) < len(_entries(tree, PROVIDERS)):
        aliases = {one.get("alias") for one in kept_ones}
        mappers = [one for one in _entries(tree, MAPPERS) if one.get("identityProviderAlias") in aliases]
        rest |= {PROVIDERS: kept_ones, MAPPERS: mappers}
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

    places = (("clients", "secret"), ("users", "credentials", "value"), MAIL, (PROVIDERS, "config", "clientSecret"))
    for place in places:
        tree = within(tree, *place)
    text = json.dumps(tree, indent=2, sort_keys=True).replace("${", r"\u0024{") + "\n"
    return re.sub(rf"{mark}(\w+){mark}", r"${\1}", text)


def _owners(realm: RealmSpec) -> list[tuple[tuple[str, str], Secret]]:
    """Every secret of the realm with the list of the import and the name in it that it belongs to, in that order."""
    clients = [(("clients", client_id), secret) for client_id, secret in realm.with_secrets]
    people = [(("users", user.username), user.password) for user in realm.users]
    mail = [(MAIL, realm.mail.password)] if realm.mail and realm.mail.password else []
    providers = [((PROVIDERS, one.alias), one.secret) for one in realm.providers if one.secret]
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
    known[MAIL] = _variable(_of(document, MAIL[0]).get("password"))
    for one in _entries(document, PROVIDERS):
        known[PROVIDERS, str(one.get("alias"))] = _variable(_of(one, "config").get("clientSecret"))
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
