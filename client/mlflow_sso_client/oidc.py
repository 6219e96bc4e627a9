"""Asks an issuer for tokens as a native application does: the grants of OAuth 2.0, each in one function.

Sources: RFC 6749 (grants, refresh), RFC 7009 (revocation), RFC 7636 (PKCE), RFC 8252 (loopback redirect),
RFC 8628 (device grant), OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from mlflow_sso_client.errors import AccessError, CredentialsError, NotLoggedInError, RefusedError
from mlflow_sso_client.web import KEYCLOAK, Web, refuse_clear
from mlflow_sso_client.words import line

SCOPE = "openid email profile"
OFFLINE = "offline_access"
# An access token as a header takes it (RFC 6750, section 2.1), and a refresh token (RFC 6749, appendix A.17): whatever
# else a server gives would end a header, a line of a shell or a terminal.
_ACCESS = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_REFRESH = re.compile(r"[ -~]*")
# No clock of a program is asked for more seconds than a century has.
_CENTURY = 100 * 366 * 86_400
# Characters of an address that a person opens.
_URL = 2000


@dataclass(frozen=True)
class Provider:
    """An issuer and its endpoints."""

    issuer: str
    token_endpoint: str
    authorization_endpoint: str
    device_endpoint: str
    revocation_endpoint: str
    http: requests.Session = field(repr=False)

    def web(self) -> Web:
        return Web(KEYCLOAK, self.issuer, self.http)


@dataclass(frozen=True)
class Tokens:
    """What a grant gave. Lifetimes are in seconds from now; refresh_expires_in 0 means no fixed end."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(default="", repr=False)
    refresh_expires_in: int = 0


def discover(issuer: str, http: requests.Session) -> Provider:
    """Read the issuer's description. Refuses one that speaks for another issuer (Discovery 1.0, 4.3), or in clear."""
    refuse_clear(issuer)
    web = Web(KEYCLOAK, issuer, http)
    answer = web.ask("GET", "/.well-known/openid-configuration")
    if answer.status_code != 200:
        raise RefusedError(
            f"{issuer} is not an issuer (discovery answered {answer.status_code})",
            "give it as https://keycloak.example.com/realms/NAME",
        )
    document = web.object(answer)
    if document.get("issuer") != issuer:
        raise RefusedError(f"{issuer} calls itself {document.get('issuer')}", "give that one with --issuer")
    found = Provider(
        issuer=issuer,
        token_endpoint=_endpoint(issuer, document, "token_endpoint"),
        authorization_endpoint=_endpoint(issuer, document, "authorization_endpoint"),
        device_endpoint=str(document.get("device_authorization_endpoint", "")),
        revocation_endpoint=str(document.get("revocation_endpoint", "")),
        http=http,
    )
    # That of the authorization is a person's browser's, which sends a password there.
    several = (found.token_endpoint, found.authorization_endpoint, found.device_endpoint, found.revocation_endpoint)
    for endpoint in filter(None, several):
        refuse_clear(endpoint)
    return found


def told(issuer: str, token_url: str, http: requests.Session) -> Provider:
    """An issuer that is asked for tokens alone, at a URL that is known, and not even for its description."""
    refuse_clear(token_url)
    return Provider(issuer, token_url, authorization_endpoint="", device_endpoint="", revocation_endpoint="", http=http)


def _endpoint(issuer: str, document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise RefusedError(f"{issuer} describes itself without {name}", "is it an issuer of OpenID Connect?")
    return value


def scope(*, offline: bool) -> str:
    return f"{SCOPE} {OFFLINE}" if offline else SCOPE


def password_grant(provider: Provider, client_id: str, username: str, password: str, *, offline: bool) -> Tokens:
    form = {"grant_type": "password", "client_id": client_id, "username": username, "password": password}
    return _grant(provider, {**form, "scope": scope(offline=offline)}, f"user {username}")


def client_credentials(provider: Provider, client_id: str, client_secret: str) -> Tokens:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    return _grant(provider, {**form, "scope": SCOPE}, f"client {client_id}")


def refresh(provider: Provider, client_id: str, refresh_token: str) -> Tokens:
    """Raises NotLoggedInError when the session has ended or was revoked."""
    form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
    return _grant(provider, form, "this login")


def revoke(provider: Provider, client_id: str, refresh_token: str) -> None:
    """End the login at the issuer: its refresh token and the session behind it."""
    form = {"client_id": client_id, "token": refresh_token, "token_type_hint": "refresh_token"}
    answer = provider.web().ask("POST", provider.revocation_endpoint, data=form)
    # A token that is dead already is no error (RFC 7009, section 2.2).
    if answer.status_code != 200:
        raise AccessError(
            f"Keycloak did not revoke the login ({_error(provider, answer)})",
            "end it in the account console of Keycloak",
        )


@dataclass(frozen=True)
class DeviceCode:
    """What a person has to do: open `url` and check `user_code`. interval: seconds between two questions."""

    url: str
    user_code: str
    device_code: str = field(repr=False)
    interval: float
    expires_in: int
    verifier: str = field(repr=False)


def start_device(provider: Provider, client_id: str, *, offline: bool) -> DeviceCode:
    verifier, challenge = pkce()
    form = {"client_id": client_id, "scope": scope(offline=offline)}
    form |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    if not provider.device_endpoint:
        raise RefusedError(f"{provider.issuer} offers no device grant", "use --browser")
    answer = provider.web().ask("POST", provider.device_endpoint, data=form)
    if answer.status_code != 200:
        error = _error(provider, answer)
        raise CredentialsError(
            f"Keycloak refuses a login of client {client_id} ({error})", "check the client's name (--client-id)"
        )
    document = provider.web().object(answer)
    try:
        return DeviceCode(
            url=line(document.get("verification_uri_complete") or document["verification_uri"], _URL),
            user_code=line(document["user_code"]),
            device_code=str(document["device_code"]),
            interval=_seconds(document.get("interval", 5)),
            expires_in=int(_seconds(document["expires_in"])),
            verifier=verifier,
        )
    except (KeyError, TypeError, ValueError):
        raise provider.web().down("answered a device login with something else than a code") from None


def finish_device(
    provider: Provider, client_id: str, code: DeviceCode, sleep: Callable[[float], None] = time.sleep
) -> Tokens:
    """Wait for the person (RFC 8628, section 3.4). Raises NotLoggedInError when they refuse or take too long."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": client_id, "device_code": code.device_code, "code_verifier": code.verifier,
    }  # fmt: skip
    interval, deadline = code.interval, time.monotonic() + code.expires_in
    while time.monotonic() < deadline:
        sleep(interval)
        answer = provider.web().ask("POST", provider.token_endpoint, data=form)
        if answer.status_code == 200:
            return _tokens(provider.web(), answer)
        error = _error(provider, answer)
        if error == "slow_down":
            interval += 5
        elif error == "access_denied":
            raise NotLoggedInError("the login was refused in the browser", "run `mlflow-sso login` again")
        elif error == "expired_token":
            break
        elif error != "authorization_pending":
            raise NotLoggedInError(f"Keycloak refused the login ({error})", "run `mlflow-sso login` again")
    raise NotLoggedInError("nobody confirmed the login in time", "run `mlflow-sso login` again")


def code_grant(provider: Provider, client_id: str, code: str, redirect_uri: str, verifier: str) -> Tokens:
    form = {"grant_type": "authorization_code", "client_id": client_id, "code": code}
    return _grant(provider, {**form, "redirect_uri": redirect_uri, "code_verifier": verifier}, "this login")


def pkce() -> tuple[str, str]:
    """A verifier and its S256 challenge (RFC 7636, section 4)."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def claims(token: str) -> dict[str, Any] | None:
    """The claims of a token, unverified: to show them, never to trust them. None for what is no token.

    A token has three parts, and its second is a JSON object in base64url (RFC 7519, section 7.2).
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        text = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _grant(provider: Provider, form: Mapping[str, str], who: str) -> Tokens:
    web = provider.web()
    answer = web.ask("POST", provider.token_endpoint, data=form)
    if answer.status_code == 200:
        return _tokens(web, answer)
    if form["grant_type"] == "password" and answer.status_code == 401 and _is_page(answer):
        # A page for people (`DenyAccessAuthenticator`): the password was right.
        raise CredentialsError(
            f"Keycloak refuses a password alone for {who}",
            "a second factor is required: use `mlflow-sso login` or --browser",
        )
    if form["grant_type"] == "password" and answer.status_code == 403 and _is_page(answer):
        # Another page for people (`UserSessionLimitsAuthenticator`).
        raise RefusedError(
            f"Keycloak opens no further session for {who}: as many as are allowed are open",
            "log out elsewhere, or wait until an unused session ends",
        )
    document = web.object(answer)
    error, description = str(document.get("error", "")), str(document.get("error_description", ""))
    if form["grant_type"] in ("refresh_token", "authorization_code"):
        raise NotLoggedInError(
            f"the login has expired or was revoked ({description or error})", "run `mlflow-sso login`"
        )
    if error == "invalid_grant" and "credentials" in description.lower():
        raise CredentialsError(
            f"Keycloak refuses {who}: wrong name or password, or a one-time code is needed",
            "check both, and whether it is locked; where there is a code, use `mlflow-sso login` or --browser",
        )
    if error == "invalid_grant" and "fully set up" in description.lower():
        raise CredentialsError(
            f"Keycloak refuses a password alone for {who}: it asks for something as they log in",
            "log in once with a browser (`mlflow-sso login` or --browser), where it is said",
        )
    if error == "unauthorized_client" and form["grant_type"] == "password":
        raise RefusedError(
            f"client {form['client_id']} allows no login by password", "use `mlflow-sso login` or --browser"
        )
    if error in ("invalid_client", "unauthorized_client"):
        raise CredentialsError(f"Keycloak refuses {who} ({description or error})", "check the client's id and secret")
    raise CredentialsError(f"Keycloak refuses {who} ({description or error})", "ask an administrator")


def _is_page(answer: requests.Response) -> bool:
    return str(answer.headers.get("Content-Type", "")).startswith("text/html")


def _error(provider: Provider, answer: requests.Response) -> str:
    document = provider.web().json(answer)
    return str(document.get("error", answer.status_code)) if isinstance(document, dict) else str(answer.status_code)


def _seconds(value: Any) -> float:
    """A length of time that a server gives. Raises ValueError and TypeError for what is none."""
    try:
        number = float(value)
    except OverflowError:
        number = _CENTURY + 1.0
    # Nor is what is no number at all between two others.
    if not 0 <= number <= _CENTURY:
        raise ValueError("no length of time")
    return number


def _tokens(web: Web, answer: requests.Response) -> Tokens:
    document = web.object(answer)
    access_token, refresh_token = document.get("access_token", ""), document.get("refresh_token", "")
    try:
        if _ACCESS.fullmatch(access_token) and _REFRESH.fullmatch(refresh_token):
            lives, refreshes = _seconds(document["expires_in"]), _seconds(document.get("refresh_expires_in", 0))
            return Tokens(access_token, int(lives), refresh_token, int(refreshes))
    except (KeyError, TypeError, ValueError):
        pass
    raise web.down("answered a login with something else than tokens")
