"""What a realm has that the provider's functions do not tell, asked of Keycloak's admin API.

`dataSourceKeycloakRealm` (v6.13) leaves the mail server out: it has no place for one field of it, and drops the whole.
`GetUserByUsername` looks among the first hundred names that contain a name, and tells of no links to other identity
providers, all of which `UpdateUser` takes away that are not named.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import IO, Any

import pulumi

from components.keycloak import AdminLogin
from settings.types import is_loopback

_SECONDS = 30
# A token of Keycloak's realm for administrators is good for 60 s, and an update may take longer.
_FRESH = 30.0
# Keycloak's words for what is one input of the resource each, and those that it writes as text for yes and no.
_TEXTS = ("host", "port", "from", "fromDisplayName", "replyTo", "replyToDisplayName", "envelopeFrom")
_SWITCHES = {"starttls": "starttls", "ssl": "ssl", "allowutf8": "allowUtf8"}
_TOKEN = {
    "user": "username",
    "authTokenUrl": "url",
    "authTokenClientId": "clientId",
    "authTokenClientSecret": "clientSecret",
    "authTokenScope": "scope",
}
_LINK = ("identityProvider", "userId", "userName")
# How the provider writes several values of one attribute (`mapFromUserToData`).
_BETWEEN = "##"


class Asked:
    """Keycloak as the account that manages the realm. Every method raises pulumi.RunError where it does not answer."""

    def __init__(self, url: str, login: AdminLogin, realm: str) -> None:
        self._url, self._login, self._realm = url, login, realm
        self._token, self._until, self._lock = "", 0.0, threading.Lock()
        host = urllib.parse.urlsplit(url).hostname or ""
        # Go's client, which the provider has, keeps loopback addresses from proxies too.
        proxies = urllib.request.ProxyHandler({} if is_loopback(host) else None)
        secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self._opener = urllib.request.build_opener(proxies, secure, _NoRedirect())

    def mail_server(self, secret: str) -> dict[str, Any] | None:
        """What the realm's resource has to say for the realm to keep its mail server; None for none.

        Secrets are the asterisks that Keycloak shows, and takes for the one that it has.
        """
        found = self._get("", secret).get("smtpServer")
        return mail_input(found) if found else None

    def person(self, secret: str, username: str) -> dict[str, Any]:
        """A person in the words of the provider; empty where there is none."""
        asked = urllib.parse.urlencode({"username": username, "exact": "true", "briefRepresentation": "false"})
        rows = self._get(f"/users?{asked}", secret)
        if not rows:
            return {}
        links = self._get(f"/users/{rows[0]['id']}/federated-identity", secret)
        return person_input(rows[0], links)

    def _get(self, path: str, secret: str) -> Any:
        try:
            headers = {"Authorization": f"Bearer {self._bearer(secret)}"}
            return self._ask(f"{self._url}/admin/realms/{self._realm}{path}", headers=headers)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise self._unanswered(error) from None
        except (OSError, ValueError, KeyError) as error:
            raise self._unanswered(error) from None

    def _bearer(self, secret: str) -> str:
        with self._lock:
            if time.monotonic() >= self._until:
                self._token, self._until = self._log_in(secret), time.monotonic() + _FRESH
            return self._token

    def _log_in(self, secret: str) -> str:
        form = {"grant_type": "client_credentials", "client_id": self._login.client_id, "client_secret": secret}
        url = f"{self._url}/realms/{self._login.realm}/protocol/openid-connect/token"
        return str(self._ask(url, urllib.parse.urlencode(form).encode())["access_token"])

    def _ask(self, url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        # An origin of the settings: https, or http of this machine.
        request = urllib.request.Request(url, data, dict(headers or {}))  # noqa: S310
        with self._opener.open(request, timeout=_SECONDS) as answer:
            return json.load(answer)

    def _unanswered(self, error: Exception) -> Exception:
        reason = getattr(error, "reason", None) or error
        return pulumi.RunError(
            f"Keycloak at {self._url} does not tell what the realm has ({type(error).__name__}: {reason}); "
            "nothing was changed in it. Where its certificate is not trusted, SSL_CERT_FILE names further CAs."
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Nobody else is shown the token."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def mail_input(found: Mapping[str, str]) -> dict[str, Any]:
    """Keycloak's `smtpServer` in the provider's words."""
    told: dict[str, Any] = {key: found[key] for key in _TEXTS if found.get(key)}
    told |= {ours: found[key] == "true" for key, ours in _SWITCHES.items() if key in found}
    if found.get("auth") == "true":
        if found.get("authType") == "token":
            told["tokenAuth"] = {ours: found.get(key, "") for key, ours in _TOKEN.items()}
        else:
            told["auth"] = {"username": found.get("user", ""), "password": found.get("password", "")}
    return told


def person_input(found: Mapping[str, Any], links: list[Mapping[str, str]]) -> dict[str, Any]:
    """Keycloak's representation of a person in the provider's words."""
    same = ("username", "email", "emailVerified", "firstName", "lastName", "enabled", "requiredActions")
    return {
        **{key: found[key] for key in same if key in found},
        "attributes": {key: _BETWEEN.join(values) for key, values in found.get("attributes", {}).items()},
        "federatedIdentities": [{key: link.get(key, "") for key in _LINK} for link in links],
    }
