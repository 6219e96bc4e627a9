"""The mail server that a realm has, where nobody declared one.

The provider's function for realms leaves it out: it has no place for one of its fields, and drops the whole
(`dataSourceKeycloakRealm`, v6.13). Its resource writes an empty one then, which would take it away.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pulumi

from components.keycloak import AdminLogin

_SECONDS = 30
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


def mail_there(url: str, login: AdminLogin, secret: str, realm: str) -> dict[str, Any] | None:
    """What the resource has to say for the realm to keep its mail server; None for none.

    Secrets are the asterisks that Keycloak shows, and takes for the one that it has. Raises pulumi.RunError where
    Keycloak cannot be asked.
    """
    form = {"grant_type": "client_credentials", "client_id": login.client_id, "client_secret": secret}
    try:
        token = _ask(f"{url}/realms/{login.realm}/protocol/openid-connect/token", form=form)["access_token"]
        found = _ask(f"{url}/admin/realms/{realm}", token=token).get("smtpServer") or {}
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise _unanswered(url, error) from None
    except (OSError, ValueError, KeyError) as error:
        raise _unanswered(url, error) from None
    return as_input(found) if found else None


def as_input(found: dict[str, str]) -> dict[str, Any]:
    """Keycloak's `smtpServer` in the provider's words."""
    told: dict[str, Any] = {key: found[key] for key in _TEXTS if found.get(key)}
    told |= {ours: found[key] == "true" for key, ours in _SWITCHES.items() if key in found}
    if found.get("auth") == "true":
        if found.get("authType") == "token":
            told["tokenAuth"] = {ours: found.get(key, "") for key, ours in _TOKEN.items()}
        else:
            told["auth"] = {"username": found.get("user", ""), "password": found.get("password", "")}
    return told


def _ask(url: str, *, form: dict[str, str] | None = None, token: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = urllib.parse.urlencode(form).encode() if form else None
    # An http or https origin of the settings.
    request = urllib.request.Request(url, data, headers)  # noqa: S310
    context = ssl.create_default_context() if url.startswith("https://") else None
    with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as answer:  # noqa: S310
        return dict(json.load(answer))


def _unanswered(url: str, error: Exception) -> Exception:
    reason = getattr(error, "reason", None) or error
    return pulumi.RunError(
        f"Keycloak at {url} does not tell which mail server the realm has ({type(error).__name__}: {reason}); "
        "nothing was changed in it. Declare realm.mail, or see to the answer: SSL_CERT_FILE names further CAs."
    )
