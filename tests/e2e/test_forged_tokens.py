"""No way in takes a token that Keycloak did not sign; test_tokens.py has those that it signed for others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from mlflow_sso.shortcuts.keys import WAIT

from tests.e2e.asking import AJAX2, V2, V3
from tests.e2e.forging import Forger
from tests.e2e.harness import TIMEOUT, Client
from tests.e2e.keycloak import KeycloakAdmin, header

# One of each way: Flask, FastAPI, the registry of MCP servers, artifacts, pages, GraphQL, the gateway, OpenTelemetry.
WAYS = (
    ("GET", f"{V2}/experiments/search?max_results=1"),
    ("GET", f"{AJAX2}/users/current"),
    ("GET", f"{V2}/permissions/groups"),
    ("GET", f"{V3}/mcp-servers"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=1"),
    ("GET", "/oidc/webhook"),
    ("POST", "/graphql"),
    ("POST", "/gateway/mlflow/v1/chat/completions"),
    ("POST", "/v1/traces"),
    ("GET", "/scim/v2/Users"),
)


@pytest.fixture(scope="module")
def forger(client: Client) -> Forger:
    discovery = requests.get(f"{client.outputs['issuer_url']}/.well-known/openid-configuration", timeout=TIMEOUT).json()
    keys = requests.get(discovery["jwks_uri"], timeout=TIMEOUT).json()["keys"]
    return Forger(str(client.password_token("alice")["access_token"]), keys)


@pytest.mark.parametrize(("method", "path"), WAYS)
def test_a_forged_token_opens_nothing(client: Client, forger: Forger, method: str, path: str) -> None:
    # SCIM counts wrong tokens, and says so after some.
    refused = {401, 429} if path.startswith("/scim/") else {401}
    forged = list(forger.all())
    answers = {name: client.mlflow(path, token, method).status_code for name, token in forged}
    assert len(answers) == len(forged) > 40
    assert {name: status for name, status in answers.items() if status not in refused} == {}


def test_the_first_tokens_of_a_new_key_are_taken(client: Client, forger: Forger, keycloak: KeycloakAdmin) -> None:
    """Keycloak's key turns over while somebody sends tokens of keys that there never were."""
    path, realm = f"{V2}/experiments/search?max_results=1", f"/{keycloak.realm}"
    made_up = [token for name, token in forger.all() if name.startswith("kid ")][:4]
    before = str(client.password_token("alice")["access_token"])
    assert [client.mlflow(path, token).status_code for token in (before, *made_up)] == [200, *[401] * len(made_up)]
    key = {"priority": ["200"], "enabled": ["true"], "active": ["true"], "keySize": ["2048"], "algorithm": ["RS256"]}
    provider = {"name": "turned", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider"}
    made = keycloak.make(f"{realm}/components", **provider, parentId=keycloak.get(realm)["id"], config=key)

    def status(token: str) -> int:
        start = time.monotonic()
        found = client.mlflow(path, token).status_code
        # Keys that a busy machine takes longer to fetch are there for the next call.
        return client.mlflow(path, token).status_code if time.monotonic() - start > WAIT else found

    try:
        tokens = [str(client.password_token("alice")["access_token"]) for _ in range(8)]
        assert header(tokens[0])["kid"] != header(before)["kid"]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(status, [*tokens, before]))
        assert found == [200] * 9
    finally:
        keycloak.remove(f"{realm}/components/{made}")
