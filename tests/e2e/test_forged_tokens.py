"""No way in takes a token that Keycloak did not sign; test_tokens.py has those that it signed for others."""

from __future__ import annotations

import pytest
import requests

from tests.e2e.asking import AJAX2, V2, V3
from tests.e2e.forging import Forger
from tests.e2e.harness import TIMEOUT, Client

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
