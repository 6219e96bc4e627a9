"""What a realm has that the provider's functions do not tell, asked of Keycloak's admin API.

`dataSourceKeycloakRealm` (v6.13) leaves the mail server out: it has no place for one field of it, and drops the whole.
There is no function for directories. `GetUserByUsername` looks among the first hundred names that contain a name, and
tells of no links to other identity providers, all of which `UpdateUser` takes away that are not named.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping
from http.client import HTTPMessage
from typing import IO, Any

import pulumi

from components.keycloak import AdminLogin
from components.realm_words import PROVIDER, REACHED, STORAGE, failed, flat, inhabitants, kept_login, reason, trials
from settings.types import is_loopback

_SECONDS = 30
# Keycloak gives so many members of a group at once, if it is not asked for more.
_PAGE = 100
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
_DIRECTORY_SWITCHES = ("enabled", "syncRegistrations", "validatePasswordPolicy")
# How the provider writes several values of one attribute (`mapFromUserToData`).
_BETWEEN = "##"


class Asked:
    """Keycloak as the account that manages the realm. Every method raises pulumi.RunError where it does not answer."""

    def __init__(self, url: str, login: AdminLogin, realm: str) -> None:
        self._url, self._login, self._realm = url, login, realm
        self._token, self._until, self._lock = "", 0.0, threading.Lock()
        self._providers: bool | None = None
        self._once = threading.Lock()
        host = urllib.parse.urlsplit(url).hostname or ""
        # Go's client, which the provider has, keeps loopback addresses from proxies too.
        proxies = urllib.request.ProxyHandler({} if is_loopback(host) else None)
        # Every CA of the machine takes 45 ms to read; without them a context trusts nobody.
        secured = urllib.parse.urlsplit(url).scheme == "https"
        context = ssl.create_default_context() if secured else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context), _NoRedirect())

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
        links = self._get(f"/users/{rows[0]['id']}/federated-identity", secret) if self._has_providers(secret) else []
        return person_input(rows[0], links)

    def _has_providers(self, secret: str) -> bool:
        """Whether anybody can come from another provider. Asked once for all people."""
        with self._once:
            if self._providers is None:
                self._providers = bool(self._get("/identity-provider/instances?max=1&briefRepresentation=true", secret))
            return self._providers

    def lost(self, secret: str, owner: str, groups: Collection[str], people: Collection[str]) -> list[str]:
        """In words the groups that would be removed with somebody or something in them.

        Those of the stack have a role of the client `owner`. groups: those that stay. people: user names of whom the
        stack declares, who go where they are declared.
        """
        clients = self._get(f"/clients?{urllib.parse.urlencode({'clientId': owner})}", secret)
        roles = self._get(f"/clients/{clients[0]['id']}/roles", secret) if clients else []
        found = []
        for name in sorted({str(role["name"]) for role in roles} - {*groups}):
            asked = urllib.parse.urlencode({"search": name, "exact": "true", "briefRepresentation": "false"})
            for row in self._get(f"/groups?{asked}", secret):
                if row["name"] != name:
                    continue
                members, page = set[str](), [None] * _PAGE
                while len(page) == _PAGE:
                    asked = urllib.parse.urlencode({"first": len(members), "max": _PAGE})
                    page = self._get(f"/groups/{row['id']}/members?{asked}", secret)
                    members |= {one["username"] for one in page}
                others, inside = sorted(members - {*people}), row.get("subGroupCount", 0)
                if others or inside:
                    shown = inhabitants(others, inside)
                    found.append(f"realm.groups: {name}, which is no longer declared: {shown}")
        return found

    def action(self, secret: str, alias: str) -> dict[str, Any]:
        """What people can be asked to do at a login, in the words of the provider; empty where Keycloak has it not."""
        found = self._get(f"/authentication/required-actions/{alias}", secret)
        return {key: found[key] for key in ("name", "defaultAction", "priority", "config") if key in found}

    def texts(self, secret: str, language: str) -> dict[str, str]:
        """What pages and mails say in a language as somebody set it."""
        return dict(self._get(f"/localization/{language}", secret))

    def themes(self, secret: str) -> dict[str, Any]:
        """The themes that the server has, by their kinds; empty where this account may not know."""
        return dict(self._read("/admin/serverinfo", secret, None, (403, 404)).get("themes", {}))

    def directories(self, secret: str) -> set[str]:
        """The names of the directories that there are."""
        return {str(row["name"]) for row in self._directories(secret)}

    def directory(self, secret: str, name: str, config: Mapping[str, str], password: str) -> dict[str, Any]:
        """A directory in the words of the provider, for what the stack does not declare; empty where there is none.

        Raises pulumi.RunError where Keycloak does not reach it as it is declared, or is not let in. One that answered
        as this before may be silent today, or have another password by now.
        """
        rows = [row for row in self._directories(secret) if row["name"] == name]
        if len(rows) > 1:
            raise pulumi.RunError(f"realm.ldap: {name}: expected one directory of this name in Keycloak, and not two")
        there: Mapping[str, list[str]] = rows[0].get("config", {}) if rows else {}
        known = flat(there)
        same = bool(rows) and all(known.get(key) == config.get(key) for key in ("connectionUrl", "authType", "bindDn"))
        for trial in trials(config, password):
            refusal = self._tried(secret, trial)
            if not refusal:
                continue
            if same and (trial["action"] == REACHED or self._tried(secret, {**trial, **kept_login(rows[0]["id"])})):
                break
            key, value, expected = failed(name, trial["action"], config, refusal)
            raise pulumi.RunError(f"{key}: {value}: {expected}; nothing of the directory was changed.")
        return directory_input(there)

    def _directories(self, secret: str) -> list[Mapping[str, Any]]:
        asked = urllib.parse.urlencode({"type": STORAGE})
        return [row for row in self._get(f"/components?{asked}", secret) or () if row["providerId"] == PROVIDER]

    def _tried(self, secret: str, trial: Mapping[str, str]) -> str:
        """Why a trial failed; empty where it did not."""
        try:
            self._get("/testLDAPConnection", secret, json.dumps(trial).encode())
        except urllib.error.HTTPError as error:
            return reason(error.read())
        return ""

    def _get(self, path: str, secret: str, sent: bytes | None = None) -> Any:
        """The answer at a path of the realm; empty where there is nothing. Raises HTTPError for what was sent alone."""
        return self._read(f"/admin/realms/{self._realm}{path}", secret, sent, (404,))

    def _read(self, path: str, secret: str, sent: bytes | None, empty: Collection[int]) -> Any:
        """The answer at a path of the server. empty: the refusals that are as good as no answer."""
        try:
            headers = {"Authorization": f"Bearer {self._bearer(secret)}"}
            headers |= {"Content-Type": "application/json"} if sent else {}
            return self._ask(f"{self._url}{path}", sent, headers)
        except urllib.error.HTTPError as error:
            if error.code in empty:
                return {}
            if sent and error.code == 400:
                raise
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
            return {} if answer.status == 204 else json.load(answer)

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


def directory_input(found: Mapping[str, list[str]]) -> dict[str, Any]:
    """A directory's configuration in the provider's words, as far as the stack does not declare it."""
    config = flat(found)
    told: dict[str, Any] = {
        key: config[key] for key in ("debug", "krbPrincipalAttribute", "relativeCreateDn") if key in config
    }
    told |= {key: int(config[key]) for key in ("priority", "batchSizeForSync") if key in config}
    told |= {key: config[key] == "true" for key in _DIRECTORY_SWITCHES if key in config}
    if config.get("allowKerberosAuthentication") == "true":
        told["kerberos"] = {
            "kerberosRealm": config.get("kerberosRealm", ""),
            "serverPrincipal": config.get("serverPrincipal", ""),
            "keyTab": config.get("keyTab", ""),
            "useKerberosForPasswordAuthentication": config.get("useKerberosForPasswordAuthentication") == "true",
        }
    return told
