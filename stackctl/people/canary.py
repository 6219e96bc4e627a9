"""Credentials of every kind that a user can hold, made to be revoked: the proof that revoking works.

An operator has none of the user's own credentials, so a proof needs some that are made the same way.
Keycloak's impersonation opens a session of the user; from it come a login of the command line, an offline
one and a session of MLflow's pages, each by the ordinary authorization code flow. The log of the
stack's own Keycloak names the impersonation. A personal token is issued by the administrator, for ten minutes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from mlflow_sso_client.errors import AccessError, NotLoggedInError
from mlflow_sso_client.oidc import Provider, Tokens, code_grant, pkce, refresh, scope
from mlflow_sso_client.web import MLFLOW, Web

from stackctl.clients.keycloak_admin import KeycloakAdmin, RealmUser
from stackctl.people.connection import Access, Sides

# Nothing listens here: the code is read from the redirect itself.
REDIRECT = "http://127.0.0.1:1/callback"
TOKEN_LIFE = timedelta(minutes=10)
ALIVE, DEAD = "accepted", "refused"


@dataclass(frozen=True)
class Canary:
    """One credential. `alive` asks the real service whether it still opens the door.

    outlives: an access token is checked by MLflow alone, and lives until it ends or its user is disabled.
    """

    name: str
    alive: Callable[[], bool]
    outlives: bool = False

    def tried(self) -> str:
        return ALIVE if self.alive() else DEAD


def canaries(sides: Sides, user: RealmUser, *, account: str | None) -> tuple[list[Canary], str]:
    """Make the credentials that can be made, and say why others cannot.

    account: the user's name in MLflow, None where it has no account; none is made for this.
    """
    made: list[Canary] = []
    reasons: list[str] = []
    try:
        made += _of_keycloak(sides, user, known=account is not None)
    except AccessError as error:
        reasons.append(error.cause)
    try:
        made += [_personal_token(sides, account)] if account else []
    except AccessError as error:
        reasons.append(error.cause)
    return made, "; ".join(reasons)


def _of_keycloak(sides: Sides, user: RealmUser, *, known: bool) -> list[Canary]:
    access, keycloak, provider = sides.access, sides.keycloak, sides.provider
    client = access.cli_client_id
    cookies = _impersonate(keycloak, user)
    online = _login(provider, client, cookies, offline=False)
    # An offline login takes the place of the session it is made in: it gets one of its own.
    offline = _login(provider, client, _impersonate(keycloak, user), offline=True)
    made = [
        Canary("Keycloak browser session", lambda: _code(provider, client, cookies, offline=False) is not None),
        Canary("refresh token", lambda: _refreshes(provider, client, online)),
        Canary("offline token", lambda: _refreshes(provider, client, offline)),
    ]
    if known:
        page = _page_session(access, provider, cookies)
        bearer = access.mlflow_as(online.access_token)
        made += [
            Canary("MLflow browser session", lambda: page.status() == 200),
            Canary("access token", lambda: bearer.status() == 200, outlives=True),
        ]
    return made


def _personal_token(sides: Sides, username: str) -> Canary:
    ends = (datetime.now(UTC) + TOKEN_LIFE).isoformat()
    token = sides.mlflow.create_token(f"revocation-proof-{secrets.token_hex(4)}", ends, username)
    holder = sides.access.mlflow_as(basic=(username, token.secret))
    return Canary("personal access token", lambda: holder.status() == 200)


def _impersonate(keycloak: KeycloakAdmin, user: RealmUser) -> dict[str, str]:
    """The cookies of a new session of the user."""
    answer = keycloak.request("POST", f"/users/{user.id}/impersonation", what=f"user {user.username}")
    cookies = {one.name: one.value or "" for one in answer.cookies}
    # The session is the user's, not the one of the administrator that goes on asking.
    keycloak.web.http.cookies.clear()
    return cookies


def _code(provider: Provider, client_id: str, cookies: Mapping[str, str], *, offline: bool) -> tuple[str, str] | None:
    """A code and its verifier, given without a question; None when the session is gone."""
    verifier, challenge = pkce()
    query = {
        "response_type": "code", "client_id": client_id, "redirect_uri": REDIRECT, "scope": scope(offline=offline),
        "state": secrets.token_urlsafe(8), "prompt": "none",
        "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    url = f"{provider.authorization_endpoint}?{urlencode(query)}"
    answer = provider.web().ask("GET", url, headers={"Cookie": _cookie(cookies)})
    code = parse_qs(urlsplit(answer.headers.get("Location", "")).query).get("code")
    return (code[0], verifier) if code else None


def _login(provider: Provider, client_id: str, cookies: Mapping[str, str], *, offline: bool) -> Tokens:
    found = _code(provider, client_id, cookies, offline=offline)
    if found is None:
        raise AccessError("Keycloak gives no code to an impersonated session", "see Keycloak's event log")
    return code_grant(provider, client_id, found[0], REDIRECT, found[1])


def _refreshes(provider: Provider, client_id: str, tokens: Tokens) -> bool:
    try:
        refresh(provider, client_id, tokens.refresh_token)
    except NotLoggedInError:
        return False
    return True


class _PageSession:
    """A session of MLflow's pages, as a browser keeps it."""

    def __init__(self, web: Web, cookies: Mapping[str, str]) -> None:
        self._web = web
        self._cookies = cookies

    def status(self) -> int:
        headers = {"Cookie": _cookie(self._cookies)}
        return self._web.ask("GET", "/api/2.0/mlflow/users/current", headers=headers).status_code


def _page_session(access: Access, provider: Provider, cookies: Mapping[str, str]) -> _PageSession:
    """Log in to MLflow's pages with a session of Keycloak: the three redirects that a browser follows."""
    mlflow = Web(MLFLOW, access.mlflow_url, access.http())
    start = mlflow.ask("GET", "/login")
    login = start.headers.get("Location", "")
    # The cookies are the user's whole login: they go to Keycloak, wherever MLflow may send a browser.
    if login.partition("?")[0] != provider.authorization_endpoint:
        raise AccessError(f"MLflow's login does not lead to {provider.issuer}", "run `stackctl doctor`")
    back = provider.web().ask("GET", login, headers={"Cookie": _cookie(cookies)})
    callback = back.headers.get("Location", "")
    if not callback.startswith(access.mlflow_url + "/"):
        raise AccessError("Keycloak does not send an impersonated session back to MLflow", "see Keycloak's event log")
    done = mlflow.ask("GET", callback, headers={"Cookie": _cookie(_set_cookies(start))})
    return _PageSession(mlflow, {**_set_cookies(start), **_set_cookies(done)})


def _set_cookies(answer: requests.Response) -> dict[str, str]:
    """The cookies of an answer, secure ones on plain HTTP included: here they go back to where they came from."""
    found: dict[str, str] = {}
    for value in answer.raw.headers.getlist("Set-Cookie"):
        parsed: SimpleCookie = SimpleCookie(value)
        found |= {name: morsel.value for name, morsel in parsed.items()}
    return found


def _cookie(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
