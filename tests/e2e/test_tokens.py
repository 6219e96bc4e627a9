"""What each kind of token may do, and which tokens are refused."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.e2e.harness import TIMEOUT, Client
from tests.e2e.keycloak import KeycloakAdmin, claims, unsigned, with_claims, with_other_signature
from tests.e2e.login import submit_login

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1000"
LOOPBACK = "http://127.0.0.1:{port}/callback"
# Seconds that a short-lived token is good for: the next where a busy machine could not use it once in time.
SHORT = (5, 20, 80)


def test_an_admin_sees_every_experiment(client: Client) -> None:
    token = client.password_token("alice")["access_token"]
    names = [e["name"] for e in client.mlflow(SEARCH, token).json()["experiments"]]
    assert "Default" in names


def test_client_credentials_of_the_server_and_of_a_declared_service_account(client: Client) -> None:
    outputs = client.outputs
    accounts = {name: account["client_secret"] for name, account in outputs["service_accounts"].items()}
    assert set(accounts) == {"trainer"}
    for client_id, secret in {outputs["client_id"]: outputs["client_secret"], **accounts}.items():
        answer = client.grant(grant_type="client_credentials", client_id=client_id, client_secret=secret)
        token = answer.json()["access_token"]
        assert client.mlflow(SEARCH, token).status_code == 200, client_id
        assert "mlflow-users" in claims(token)["groups"]
        assert outputs["client_id"] in _audience(token)


def test_a_refresh_token_gives_a_new_access_token(client: Client) -> None:
    first = client.password_token("bob")
    login = {"client_id": client.outputs["client_id"], "client_secret": client.outputs["client_secret"]}
    answer = client.grant(grant_type="refresh_token", refresh_token=first["refresh_token"], **login)
    token = answer.json()["access_token"]
    assert token != first["access_token"]
    assert client.mlflow(SEARCH, token).status_code == 200


def test_a_token_names_the_public_issuer_the_audience_and_bare_group_names(client: Client) -> None:
    content = client.password_token("alice")
    access = claims(content["access_token"])
    assert access["iss"] == client.outputs["issuer_url"]
    assert client.outputs["client_id"] in _audience(content["access_token"])
    assert access["groups"] == ["mlflow-admins"]
    assert claims(content["id_token"])["groups"] == ["mlflow-admins"]


@pytest.fixture(scope="session")
def discovery(client: Client) -> dict[str, str]:
    url = f"{client.outputs['issuer_url']}/.well-known/openid-configuration"
    return dict(requests.get(url, timeout=TIMEOUT).json())


def test_the_public_client_is_offered_a_device_code(client: Client, discovery: dict[str, str]) -> None:
    """RFC 8628, section 3.2. A client that requires PKCE requires it here as well."""
    form = {"client_id": client.outputs["cli_client_id"]}
    verifier = secrets.token_urlsafe(48)
    challenge = {"code_challenge": _challenge(verifier), "code_challenge_method": "S256"}
    answer = requests.post(discovery["device_authorization_endpoint"], data={**form, **challenge}, timeout=TIMEOUT)
    assert answer.status_code == 200, answer.text
    device = answer.json()
    assert device["verification_uri"].startswith(client.outputs["issuer_url"])
    waiting = client.grant(
        grant_type="urn:ietf:params:oauth:grant-type:device_code",
        device_code=device["device_code"],
        code_verifier=verifier,
        **form,
    )
    assert waiting.json()["error"] == "authorization_pending"


def test_a_code_on_loopback_with_pkce_gives_the_public_client_a_token_for_mlflow(
    client: Client, discovery: dict[str, str]
) -> None:
    """RFC 8252, section 7.3: any port; RFC 7636: the code is worth nothing without the verifier."""
    verifier = secrets.token_urlsafe(48)
    redirect = LOOPBACK.format(port=49152 + secrets.randbelow(16000))
    code = _log_in_by_form(client, discovery, redirect, verifier)
    form = {"client_id": client.outputs["cli_client_id"], "redirect_uri": redirect, "code": code}
    stolen = client.grant(grant_type="authorization_code", code_verifier=secrets.token_urlsafe(48), **form)
    assert stolen.status_code == 400
    # A wrong verifier spends the code (RFC 6749, section 4.1.2), so the right one needs another.
    form["code"] = _log_in_by_form(client, discovery, redirect, verifier)
    token = client.grant(grant_type="authorization_code", code_verifier=verifier, **form).json()["access_token"]
    assert client.outputs["client_id"] in _audience(token)
    assert client.mlflow(SEARCH, token).status_code == 200


def test_the_public_client_gets_no_code_without_pkce(client: Client, discovery: dict[str, str]) -> None:
    query = {
        "client_id": client.outputs["cli_client_id"], "response_type": "code", "scope": "openid",
        "redirect_uri": LOOPBACK.format(port=50000),
    }  # fmt: skip
    answer = requests.get(discovery["authorization_endpoint"], query, timeout=TIMEOUT, allow_redirects=False)
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["error"] == ["invalid_request"]


def test_a_redirect_elsewhere_is_refused(client: Client, discovery: dict[str, str]) -> None:
    for client_id in (client.outputs["client_id"], client.outputs["cli_client_id"]):
        query = {"client_id": client_id, "response_type": "code", "redirect_uri": "http://evil.example/callback"}
        answer = requests.get(discovery["authorization_endpoint"], query, timeout=TIMEOUT, allow_redirects=False)
        assert answer.status_code == 400


def test_a_wrong_client_secret_gives_no_token(client: Client) -> None:
    answer = client.grant(grant_type="client_credentials", client_id=client.outputs["client_id"], client_secret="no")
    assert answer.status_code == 401


@pytest.mark.parametrize("path", [SEARCH, "/", "/api/2.0/mlflow/users", "/version", "/v1/traces"])
def test_nobody_is_let_in_without_a_token(client: Client, path: str) -> None:
    assert client.mlflow(path).status_code == 401


def test_an_unsigned_token_is_refused(client: Client) -> None:
    _refused(client, unsigned(client.password_token("alice")["access_token"]))


def test_a_tampered_token_is_refused(client: Client) -> None:
    token = client.password_token("bob")["access_token"]
    assert client.mlflow(SEARCH, token).status_code == 200
    _refused(client, with_claims(token, groups=["mlflow-admins"], preferred_username="alice"))
    _refused(client, with_other_signature(token))


def test_a_refresh_token_is_no_access_token(client: Client) -> None:
    _refused(client, client.password_token("alice")["refresh_token"])


def test_a_user_in_no_group_is_refused(client: Client) -> None:
    token = client.password_token("carol")["access_token"]
    assert claims(token).get("groups", []) == []
    _refused(client, token)


def test_a_token_of_another_client_is_refused(client: Client, keycloak: KeycloakAdmin) -> None:
    """Same realm, same key, an admin by its groups: but made for somebody else."""
    with _foreign_client(keycloak, keycloak.realm, audience=None) as login:
        token = _alices_token(client, keycloak.realm, login)
        assert client.outputs["client_id"] not in _audience(token)
        assert claims(token)["groups"] == ["mlflow-admins"]
        _refused(client, token)


def test_a_token_of_another_issuer_is_refused(client: Client, keycloak: KeycloakAdmin) -> None:
    """Another realm of the same Keycloak, with the very names that are good in the first."""
    realm = f"other-{secrets.token_hex(4)}"
    users = [
        {
            "username": "alice", "enabled": True, "email": "alice@example.com", "firstName": "A", "lastName": "B",
            "groups": ["/mlflow-admins"], "credentials": [{"type": "password", "value": "of the other realm"}],
        }
    ]  # fmt: skip
    made = {"realm": realm, "enabled": True, "sslRequired": "none", "groups": [{"name": "mlflow-admins"}]}
    keycloak.call("POST", "", json={**made, "users": users})
    try:
        with _foreign_client(keycloak, realm, audience=client.outputs["client_id"]) as login:
            token = _alices_token(client, realm, login, "of the other realm")
            assert client.outputs["client_id"] in _audience(token)
            assert claims(token)["groups"] == ["mlflow-admins"]
            _refused(client, token)
    finally:
        keycloak.remove(f"/{realm}")


def test_an_expired_token_is_refused(client: Client, keycloak: KeycloakAdmin) -> None:
    audience = client.outputs["client_id"]
    for lifespan in SHORT:
        with _foreign_client(keycloak, keycloak.realm, audience=audience, lifespan=lifespan) as login:
            token = _alices_token(client, keycloak.realm, login)
            end, found = claims(token)["exp"], client.mlflow(SEARCH, token).status_code
            too_late = time.time() >= end
            # The plugin allows no clock skew on `exp`; containers share the host's clock.
            time.sleep(max(0.0, end + 1 - time.time()))
            _refused(client, token)
        if found == 200 or not too_late:
            assert found == 200
            return
    raise AssertionError(f"no answer within {SHORT[-1]} s")


def _refused(client: Client, token: str) -> None:
    for path in (SEARCH, "/api/2.0/mlflow/users"):
        answer = client.mlflow(path, token)
        assert answer.status_code in (401, 403), f"{path}: {answer.status_code} {answer.text[:200]}"


def _audience(token: str) -> list[str]:
    """`aud` is one text or a list of them (RFC 7519, section 4.1.3)."""
    found = claims(token).get("aud", [])
    return [found] if isinstance(found, str) else list(found)


def _alices_token(client: Client, realm: str, login: tuple[str, str], password: str | None = None) -> str:
    """By the password grant, from another client (`login`: its id and secret) or another realm."""
    url = f"{client.outputs['keycloak_url']}/realms/{realm}/protocol/openid-connect/token"
    form = {
        "grant_type": "password", "client_id": login[0], "client_secret": login[1], "username": "alice",
        "password": password or client.outputs["users"]["alice"]["password"], "scope": "openid",
    }  # fmt: skip
    answer = requests.post(url, data=form, timeout=TIMEOUT)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


@contextmanager
def _foreign_client(
    keycloak: KeycloakAdmin, realm: str, *, audience: str | None, lifespan: int | None = None
) -> Iterator[tuple[str, str]]:
    """A client that the stack does not know, whose tokens carry groups and, if asked, an audience."""
    client_id, secret = f"foreign-{secrets.token_hex(4)}", secrets.token_hex(16)
    kinds = {"oidc-group-membership-mapper": {"claim.name": "groups", "full.path": "false"}}
    if audience:
        kinds["oidc-audience-mapper"] = {"included.custom.audience": audience}
    made = keycloak.make(
        f"/{realm}/clients",
        clientId=client_id,
        secret=secret,
        publicClient=False,
        directAccessGrantsEnabled=True,
        attributes={"access.token.lifespan": str(lifespan)} if lifespan else {},
        protocolMappers=[
            {
                "name": kind, "protocol": "openid-connect", "protocolMapper": kind,
                "config": {**config, "access.token.claim": "true"},
            }
            for kind, config in kinds.items()
        ],
    )  # fmt: skip
    try:
        yield client_id, secret
    finally:
        keycloak.remove(f"/{realm}/clients/{made}")


def _challenge(verifier: str) -> str:
    """S256 of RFC 7636, section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _log_in_by_form(client: Client, discovery: dict[str, str], redirect: str, verifier: str) -> str:
    """Log bob in on Keycloak's own page; returns the code that the browser would carry to `redirect`."""
    query = {
        "client_id": client.outputs["cli_client_id"], "response_type": "code", "scope": "openid",
        "redirect_uri": redirect, "code_challenge": _challenge(verifier), "code_challenge_method": "S256",
    }  # fmt: skip
    password = client.outputs["users"]["bob"]["password"]
    answer = submit_login(requests.Session(), discovery["authorization_endpoint"], query, "bob", password)
    location = answer.headers["Location"]
    assert location.startswith(redirect), location
    return parse_qs(urlsplit(location).query)["code"][0]
