"""Do tokens say what MLflow looks for in them?"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from mlflow_sso_client.errors import UnknownNameError

from components.keycloak import SERVER as KEYCLOAK
from components.mlflow import SERVER as MLFLOW
from components.plugin.profile import Ability
from components.realm.document import realm_import
from components.realm.spec import AUDIENCE_MAPPER, GROUPS_MAPPER
from stackctl.clients.keycloak_admin import RealmClient
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check


@check(Needs.STACK)
def groups_claim(seen: Observed) -> Iterator[Finding]:
    view = seen.mlflow
    if view is None or seen.plugin.lacks(Ability.GROUPS_FROM_CLAIM):
        return
    claim = view.groups_claim
    for client, kind, token in _examples(seen):
        if kind == "id" and client.client_id != view.client_id:
            # Only MLflow's own client logs people in through a browser.
            continue
        if claim not in token:
            evidence = f"the {kind} token of client {client.client_id} has no claim {claim or '(not set)'}"
            yield Finding("groups-claim", evidence, *_claim_cause(seen, client))
        elif isinstance(token[claim], list) and any(str(name).startswith("/") for name in token[claim]):
            evidence = f"claim {claim} of the {kind} token of client {client.client_id}: {', '.join(token[claim])}"
            cause = "the mapper writes whole paths, and MLflow compares names"
            yield Finding("group-names", evidence, cause, _mapper_fix(seen, client, GROUPS_MAPPER))


def _claim_cause(seen: Observed, client: RealmClient) -> tuple[str, str]:
    view = seen.mlflow
    assert view is not None
    if seen.spec is not None and view.groups_claim != seen.spec.realm.groups_claim:
        cause = (
            f"MLflow looks for {view.groups_claim or 'none'}; the realm's mapper writes {seen.spec.realm.groups_claim}"
        )
        return cause, seen.remake(MLFLOW)
    cause = "the client has no mapper that puts groups into this kind of token"
    return cause, _mapper_fix(seen, client, GROUPS_MAPPER)


def _mapper_fix(seen: Observed, client: RealmClient, name: str) -> str:
    """The command that gives a client its mapper as it is declared."""
    if seen.spec is None:
        return f"pulumi up --refresh --stack {seen.stack}"
    declared = realm_import(seen.spec.realm, lambda secret: secret.name)["clients"]
    mappers = [m for c in declared if c["clientId"] == client.client_id for m in c["protocolMappers"]]
    body: dict[str, Any] = next((m for m in mappers if m["name"] == name), {})
    there = [m for m in client.representation.get("protocolMappers") or () if m["name"] == name]
    path = f"/clients/{client.uuid}/protocol-mappers/models"
    if there:
        return seen.mend_realm("update", f"{path}/{there[0]['id']}", "-b", json.dumps({**there[0], **body}))
    return seen.mend_realm("create", path, "-b", json.dumps(body))


def _examples(seen: Observed) -> Iterator[tuple[RealmClient, str, dict[str, Any]]]:
    """What Keycloak would put into tokens of the stack's clients for a user who is in a group."""
    if seen.realm_admin is None or seen.server_client is None:
        return
    user = seen.realm_admin.service_account(seen.server_client).id if seen.server_client.service_account else None
    if user is None:
        return
    clients = [seen.server_client]
    if seen.spec is not None:
        for declared in seen.spec.realm.clients:
            if declared.client_id != seen.server_client.client_id:
                try:
                    clients.append(seen.realm_admin.find_client(declared.client_id))
                except UnknownNameError:
                    continue
    for client in clients:
        for kind in ("access", "id"):
            yield client, kind, seen.example(kind, client, user)


@check(Needs.STACK)
def group_names(seen: Observed) -> Iterator[Finding]:
    view = seen.mlflow
    if view is None:
        return
    for wrong, right in view.misspelt.items():
        if right in (view.names.user_groups, view.names.admin_groups):
            cause = f"the plugin reads {right} and ignores this one"
            yield Finding("group-names", f"{wrong} is set", cause, seen.remake(MLFLOW))
    if seen.realm_admin is None:
        return
    there = seen.realm_admin.groups()
    declared = seen.spec.realm.groups if seen.spec is not None else ()
    for what, names in (("users", view.user_groups), ("administrators", view.admin_groups)):
        if not names:
            yield Finding("group-names", f"MLflow knows no group of {what}", "it was told none", seen.remake(MLFLOW))
        for name in names:
            if name in there:
                continue
            near = difflib.get_close_matches(name, there, n=1)
            evidence = f"MLflow lets in {what} of group {name}; the realm has {', '.join(there) or 'no group'}"
            cause = f"nearly the same: {near[0]}" if near else "there is no such group in the realm"
            fix = (
                seen.mend_realm("create", "/groups", "-s", f"name={name}") if name in declared else seen.remake(MLFLOW)
            )
            yield Finding("group-names", evidence, cause, fix)


@check(Needs.STACK)
def group_grants(seen: Observed) -> Iterator[Finding]:
    """Grants in MLflow for groups that no token names."""
    view, inside = seen.mlflow, seen.inside
    if view is None or inside is None:
        return
    known = {*view.user_groups, *view.admin_groups}
    others = [f"{group} ({count})" for group, count in sorted(inside.grants.items()) if group not in known]
    if others:
        evidence = f"MLflow has grants for {', '.join(others)}; it lets in {', '.join(sorted(known)) or 'no group'}"
        cause = "tokens name the groups of realm.groups alone, so nobody has these; was the group renamed there?"
        fix = "realm.groups in the settings, or grant it to one of these on MLflow's pages and delete the other grant"
        yield Finding("group-grants", evidence, cause, fix)


@check(Needs.STACK)
def group_roles(seen: Observed) -> Iterator[Finding]:
    """Whom tokens name a declared group for: those in it and below it, and nobody else."""
    if seen.realm_admin is None or seen.server_client is None or seen.spec is None:
        return
    owner = seen.spec.realm.groups_client
    again = f"stackctl up --stack {seen.stack}" if seen.imported else seen.remake(KEYCLOAK)
    try:
        uuid = seen.realm_admin.find_client(owner).uuid
    except UnknownNameError:
        yield Finding("group-roles", f"Keycloak has no client {owner}", "tokens name no group for anybody", again)
        return
    there = seen.realm_admin.groups()
    for group in seen.spec.realm.groups:
        if group not in there:
            # `group_names` tells of it; one that was renamed keeps its role.
            continue
        path = f"/clients/{uuid}/roles/{quote(group, safe='')}"
        try:
            paths = [row["path"] for row in seen.realm_admin.get(f"{path}/groups", what=f"role {group}")]
            people = [f"user {row['username']}" for row in seen.realm_admin.get(f"{path}/users", what=f"role {group}")]
        except UnknownNameError:
            paths, people = [], []
        own = f"/{group}"
        if own not in paths:
            evidence = f"group {own} does not have the role {group} of client {owner}"
            yield Finding("group-roles", evidence, "tokens do not name the group for anybody in it", again)
        for other in [*(f"group {found}" for found in paths if found != own), *people]:
            evidence = f"{other} has the role {group} of client {owner}, and so counts as group {own}"
            cause = "somebody gave it in Keycloak; MLflow means the group that is declared"
            fix = f"take the role {group} from {other} in Keycloak's admin console"
            yield Finding("group-roles", evidence, cause, fix)


@check(Needs.STACK)
def other_mappers(seen: Observed) -> Iterator[Finding]:
    """Mappers beside the stack's own that write groups into tokens, as those of earlier versions did."""
    if seen.realm_admin is None or seen.spec is None:
        return
    realm = seen.spec.realm
    declared = {client.client_id for client in realm.clients}
    for client in seen.realm_admin.clients():
        for mapper in client.representation.get("protocolMappers") or ():
            claim = mapper.get("config", {}).get("claim.name")
            if client.client_id in declared and mapper["name"] != GROUPS_MAPPER and claim == realm.groups_claim:
                evidence = f"mapper {mapper['name']} of client {client.client_id} writes the claim {claim} too"
                cause = "tokens name groups that nobody declared, some by the last part of their path alone"
                fix = f"remove the mapper {mapper['name']} of client {client.client_id} in Keycloak's admin console"
                yield Finding("group-roles", evidence, cause, fix)


@check(Needs.STACK)
def audience(seen: Observed) -> Iterator[Finding]:
    view = seen.mlflow
    if view is None or seen.plugin.lacks(Ability.BEARER_CHECKS):
        return
    if not view.audience:
        cause = "unset means that MLflow accepts tokens that were made for other services"
        yield Finding("audience", f"{view.names.audience} is not set", cause, seen.remake(MLFLOW))
        return
    for client, kind, token in _examples(seen):
        found = token.get("aud", [])
        named = [found] if isinstance(found, str) else list(found)
        if kind != "access" or view.audience in named:
            continue
        names = ", ".join(named) or "nobody"
        evidence = f"access tokens of client {client.client_id} are for {names}; MLflow wants {view.audience}"
        if seen.spec is not None and view.audience != seen.spec.realm.audience:
            cause, fix = f"the settings say {seen.spec.realm.audience}", seen.remake(MLFLOW)
        else:
            cause, fix = "the client has no audience mapper", _mapper_fix(seen, client, AUDIENCE_MAPPER)
        yield Finding("audience", evidence, cause, fix)


@check(Needs.STACK)
def issuer(seen: Observed) -> Iterator[Finding]:
    view = seen.mlflow
    if view is None or seen.plugin.lacks(Ability.BEARER_CHECKS):
        return
    if not view.issuer:
        cause = "unset means that MLflow accepts tokens of any realm whose keys it is shown"
        yield Finding("issuer", f"{view.names.issuer} is not set", cause, seen.remake(MLFLOW))
        return
    if seen.own_token is None:
        evidence = f"what Keycloak gives client {view.client_id} as an access token is no JSON Web Token (RFC 7519)"
        cause = "something else than Keycloak answers there, or an extension changes its tokens; MLflow refuses them"
        yield Finding("issuer", evidence, cause, seen.remake(KEYCLOAK))
    found = [("its tokens", str((seen.own_token or {}).get("iss", "")))]
    if seen.discovery is not None:
        found.append(("its discovery document", str(seen.discovery.document.get("issuer", ""))))
    for where, name in found:
        if name and name != view.issuer:
            evidence = f"Keycloak calls itself {name} in {where}; MLflow wants {view.issuer}"
            wrong_here = seen.spec is not None and view.issuer != seen.spec.keycloak.issuer
            cause = "MLflow was told another one" if wrong_here else "Keycloak's public URL or the realm's is another"
            fix = seen.remake(MLFLOW) if wrong_here else seen.mend_realm("update", "", "-s", "attributes.frontendUrl=")
            yield Finding("issuer", evidence, cause, fix)
            return
