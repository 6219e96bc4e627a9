"""The realm that the Pulumi engine makes is the one that Keycloak makes from the import, setting by setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests

from tests.e2e.harness import TIMEOUT, Client, Stack
from tests.e2e.keycloak import KeycloakAdmin

# Made anew by every Keycloak: identifiers, times, and the secrets whose values differ between stacks on purpose.
MADE_ANEW = frozenset({
    "id", "_id", "containerId", "internalId", "createdTimestamp", "createdDate", "secret",
    "client.secret.creation.time",
})  # fmt: skip

# What the provider writes out although Keycloak means the same without it.
WRITTEN_OUT: Mapping[str, object] = {
    "authType": "basic",
    "webAuthnPolicyPasswordlessPasskeysEnabled": False,
    "backchannel.logout.revoke.offline.tokens": "false",
    "client_credentials.use_refresh_token": "false",
    "display.on.consent.screen": "false",
    "dpop.bound.access.tokens": "false",
    "exclude.issuer.from.auth.response": "false",
    "exclude.session.state.from.auth.response": "false",
    "oauth2.jwt.authorization.grant.enabled": "false",
    "standard.token.exchange.enabled": "false",
    "use.refresh.tokens": "true",
    **dict.fromkeys(("rootUrl", "adminUrl", "baseUrl", "description", "defaultLocale", "displayNameHtml"), ""),
}
# The same for single mappers. Keycloak itself puts the first into its cache when it maps a token.
WRITTEN_OUT_BY_MAPPER = {
    "oidc-group-membership-mapper": {"multivalued": "true"},
    "oidc-audience-mapper": {"userinfo.token.claim": "false"},
}


def snapshot(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the admin API tells of a stack's realm, with names in place of identifiers and of URLs."""
    keycloak = KeycloakAdmin(outputs)
    realm = f"/{outputs['realm']}"

    def get(path: str) -> Any:
        return keycloak.get(realm + path)

    def by(key: str, found: list[Any]) -> dict[str, Any]:
        assert len({one[key] for one in found}) == len(found)
        return {one[key]: one for one in found}

    clients = by("clientId", get("/clients?max=1000"))
    users = by("username", get("/users?max=1000&briefRepresentation=false"))
    for client_id, client in clients.items():
        path = f"/clients/{client['id']}"
        client["defaultScopes"] = sorted(s["name"] for s in get(f"{path}/default-client-scopes"))
        client["optionalScopes"] = sorted(s["name"] for s in get(f"{path}/optional-client-scopes"))
        client["roles"] = sorted(r["name"] for r in get(f"{path}/roles"))
        client["mayMap"] = _roles(get(f"{path}/scope-mappings"))
        client["protocolMappers"] = by("name", [_mapper(m) for m in client.get("protocolMappers", [])])
        if client["serviceAccountsEnabled"]:
            account = get(f"{path}/service-account-user")
            account["serviceAccountOf"] = client_id
            # Keycloak asks those that are made later what it asks of newcomers, and they never log in.
            account.pop("requiredActions", None)
            users[account["username"]] = account
    for user in users.values():
        user["groups"] = sorted(g["path"] for g in get(f"/users/{user['id']}/groups"))
        user["roles"] = _roles(get(f"/users/{user['id']}/role-mappings"))
        user["credentials"] = [c["type"] for c in get(f"/users/{user['id']}/credentials")]
    groups = by("path", get("/groups?briefRepresentation=false"))
    for group in groups.values():
        group["roles"] = _roles(get(f"/groups/{group['id']}/role-mappings"))
    scopes = by("name", get("/client-scopes"))
    for scope in scopes.values():
        scope["protocolMappers"] = by("name", [_mapper(m) for m in scope.get("protocolMappers", [])])
    found = {
        "realm": get(""),
        "clients": clients,
        "users": users,
        "groups": groups,
        "roles": by("name", get("/roles?briefRepresentation=false")),
        "default roles": sorted(r["name"] for r in get(f"/roles/default-roles-{outputs['realm']}/composites")),
        "client scopes": scopes,
        "default scopes": sorted(s["name"] for s in get("/default-default-client-scopes")),
        "optional scopes": sorted(s["name"] for s in get("/default-optional-client-scopes")),
        "flows": by("alias", get("/authentication/flows")),
        "required actions": by("alias", get("/authentication/required-actions")),
        "user profile": get("/users/profile"),
        "texts": {language: get(f"/localization/{language}") for language in get("/localization")},
        "components": sorted(f"{c['providerType']} {c['name']} {c.get('subType')}" for c in get("/components")),
    }
    return dict(_normal(found, _names_for_urls(outputs)))


def _mapper(mapper: dict[str, Any]) -> dict[str, Any]:
    defaults = WRITTEN_OUT_BY_MAPPER.get(mapper["protocolMapper"], {})
    return {**mapper, "config": {k: v for k, v in mapper["config"].items() if defaults.get(k) != v}}


def _roles(mappings: Mapping[str, Any]) -> list[str]:
    realm = [r["name"] for r in mappings.get("realmMappings", [])]
    client = [f"{c}/{r['name']}" for c, m in mappings.get("clientMappings", {}).items() for r in m["mappings"]]
    return sorted(realm + client)


def _names_for_urls(outputs: Mapping[str, Any]) -> Callable[[str], str]:
    def rename(text: str) -> str:
        return text.replace(outputs["mlflow_url"], "<mlflow>").replace(outputs["keycloak_url"], "<keycloak>")

    return rename


def _normal(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in MADE_ANEW and WRITTEN_OUT.get(k) != v}
        return {k: _normal(v, rename) for k, v in kept.items()}
    if isinstance(value, list):
        inner = [_normal(v, rename) for v in value]
        return sorted(inner, key=repr)
    return rename(value) if isinstance(value, str) else value


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Each setting that differs, as `path: left | right`."""
    if isinstance(left, dict) and isinstance(right, dict):
        keys = sorted({*left, *right})
        return [d for k in keys for d in differences(left.get(k, _ABSENT), right.get(k, _ABSENT), f"{path}/{k}")]
    return [] if left == right else [f"{path}: {left!r} | {right!r}"]


_ABSENT = "<absent>"


def test_a_client_that_nobody_declared_takes_no_passwords(client: Client, keycloak: KeycloakAdmin) -> None:
    """Whatever Keycloak itself brings along: a password is tried where the login page and what it asks for stand."""
    outputs = client.outputs
    declared = {outputs["client_id"], outputs["cli_client_id"]}
    others = [
        c["clientId"] for c in keycloak.get("/mlflow/clients") if c["clientId"] not in declared and c["publicClient"]
    ]
    assert {"admin-cli", "account-console", "security-admin-console"} <= set(others)
    login = {"grant_type": "password", "username": "bob", "password": outputs["users"]["bob"]["password"]}
    for client_id in others:
        url = f"{outputs['issuer_url']}/protocol/openid-connect/token"
        answer = requests.post(url, data={**login, "client_id": client_id}, timeout=TIMEOUT)
        assert answer.status_code in {400, 401}, client_id
        assert answer.json()["error"] in {"unauthorized_client", "invalid_client"}, client_id


@pytest.mark.pulumi
@pytest.mark.parametrize("engine", ["pulumi"], indirect=True, scope="session")
def test_both_engines_make_the_same_realm(stack: Stack, neighbour: Stack) -> None:
    made, imported = snapshot(stack.outputs()), snapshot(neighbour.outputs())
    assert {"mlflow", "mlflow-cli", "trainer"} <= set(made["clients"])
    assert {"alice", "bob", "carol", "service-account-trainer"} <= set(made["users"])
    assert differences(made, imported) == []
