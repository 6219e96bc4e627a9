"""A typed client of the part of Keycloak's admin REST API that operating a realm needs.

Source of every path and field: the Keycloak Admin REST API reference, version 26. It logs in with the
stack's provisioner service account by the client credentials grant, never as a person.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests
from mlflow_sso_client import bounds
from mlflow_sso_client.errors import AccessError, CredentialsError, NotAdminError, UnknownNameError
from mlflow_sso_client.web import KEYCLOAK, Web

from components.realm_words import reason

PAGE = 100
# Seconds before a request is repeated that a server answered 5xx: connections to a database that was away are
# renewed one by one, each by the request that fails with it, and its pool has 20 of them (KC_DB_POOL_MAX_SIZE).
PAUSES = (*[0.5] * 4, *[1.0] * 8, *[2.0] * 8)
_REPEATABLE = ("GET", "PUT")


@dataclass(frozen=True)
class Provisioner:
    """The service account that may manage the realm; `realm` is the one it lives in."""

    client_id: str
    client_secret: str = field(repr=False)
    realm: str = "master"


@dataclass(frozen=True)
class RealmUser:
    """A user as Keycloak has it. not_before: seconds since the epoch; tokens issued earlier are refused."""

    id: str
    username: str
    enabled: bool
    email: str
    not_before: int


@dataclass(frozen=True)
class RealmClient:
    """A client as Keycloak has it. `uuid` addresses it in the API, `client_id` in tokens."""

    uuid: str
    client_id: str
    enabled: bool
    service_account: bool
    representation: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class RealmSession:
    """A session of a user. Times are in milliseconds since the epoch.

    offline: kept for offline tokens. client_id: for an offline session the client that holds the token.
    """

    id: str
    username: str
    user_id: str
    ip_address: str
    started: int
    last_access: int
    clients: tuple[str, ...]
    offline: bool


class KeycloakAdmin:
    """Manages one realm. Every method raises the exceptions of `mlflow_sso_client.errors`.

    pauses: seconds before each repetition of a request that Keycloak answered 5xx, where it may be repeated.
    """

    def __init__(
        self,
        base_url: str,
        realm: str,
        provisioner: Provisioner,
        http: requests.Session | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.web = Web(KEYCLOAK, base_url, http, bounds.LIST)
        self.realm_name = realm
        self._provisioner, self._pauses = provisioner, pauses
        self._token = ""
        self._token_until = 0.0

    # Plain requests below /admin/realms/<realm>.

    def request(
        self, method: str, path: str, *, what: str = "", expected: Collection[int] = (), **more: Any
    ) -> requests.Response:
        """Ask `path` of the realm. `what` names the thing asked for, in the message of a 404.

        expected: refusals that are answers, too.
        """
        answer = self._sent(method, f"/admin/realms/{quote(self.realm_name, safe='')}{path}", **more)
        if answer.status_code in expected:
            return answer
        if answer.status_code == 404:
            raise UnknownNameError(
                f"Keycloak has no {what or path} in realm {self.realm_name}", "check the name (`stackctl users`)"
            )
        if answer.status_code in (401, 403):
            raise NotAdminError(
                f"the service account {self._provisioner.client_id} may not manage realm {self.realm_name}",
                "give it the roles of realm-management",
            )
        if answer.status_code >= 400:
            message = _message(answer)
            raise AccessError(f"Keycloak refused {method} {path} ({answer.status_code} {message})", "see its log")
        return answer

    def _sent(self, method: str, url: str, **more: Any) -> requests.Response:
        """The answer to a request with this account's token, whatever it says."""
        pauses = self._pauses if method in _REPEATABLE else ()
        for attempt in (1, 2):
            headers = {"Authorization": f"Bearer {self._login()}"}
            answer = self.web.ask(method, url, headers=headers, pauses=pauses, **more)
            if answer.status_code != 401 or attempt == 2:
                break
            # A restarted server may not know the token any more.
            self._token_until = 0.0
        return answer

    def get(self, path: str, *, what: str = "", **params: Any) -> Any:
        return self.web.json(self.request("GET", path, what=what, params=params))

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every row of a listing that Keycloak hands out in pages."""
        first = 0
        while True:
            rows = self.get(path, first=first, max=PAGE, **params)
            yield from rows
            if len(rows) < PAGE:
                return
            first += PAGE

    # What the realm has.

    def try_directory(self, trial: Mapping[str, str]) -> str:
        """Why Keycloak cannot do with a directory what it is asked to try; empty where it can."""
        answer = self.request("POST", "/testLDAPConnection", expected=(400,), json=trial)
        return reason(answer.content) if answer.status_code == 400 else ""

    def themes(self) -> dict[str, Any]:
        """The themes that the server has, by their kinds; empty where this account may not know."""
        answer = self._sent("GET", "/admin/serverinfo")
        return {} if answer.status_code in (403, 404) else dict(self.web.json(answer).get("themes", {}))

    def realm(self) -> dict[str, Any]:
        return dict(self.get("", what=f"realm {self.realm_name}"))

    def users(self) -> list[RealmUser]:
        """The realm's people; service accounts are found by their client."""
        return [_user(row) for row in self.pages("/users")]

    def find_user(self, username: str) -> RealmUser:
        rows = self.get("/users", username=username, exact="true")
        if not rows:
            raise UnknownNameError(
                f"Keycloak has no user {username} in realm {self.realm_name}", "`stackctl users` lists them"
            )
        return self.user(rows[0]["id"])

    def user(self, user_id: str) -> RealmUser:
        return _user(self.get(f"/users/{user_id}", what=f"user {user_id}"))

    def memberships(self, user_id: str) -> dict[str, str]:
        """The ids of the groups that somebody is in, by their paths without the first slash."""
        return {row["path"].removeprefix("/"): row["id"] for row in self.pages(f"/users/{user_id}/groups")}

    def join(self, user_id: str, group_id: str) -> None:
        self.request("PUT", f"/users/{user_id}/groups/{group_id}", what="group or user")

    def leave(self, user_id: str, group_id: str) -> None:
        self.request("DELETE", f"/users/{user_id}/groups/{group_id}", what="group or user")

    def groups(self) -> list[str]:
        """The names of the top-level groups."""
        return sorted(row["name"] for row in self.pages("/groups"))

    def clients(self) -> list[RealmClient]:
        return [_client(row) for row in self.pages("/clients")]

    def find_client(self, client_id: str) -> RealmClient:
        rows = self.get("/clients", clientId=client_id)
        if not rows:
            raise UnknownNameError(f"Keycloak has no client {client_id} in realm {self.realm_name}", "check its name")
        return _client(rows[0])

    def service_account(self, client: RealmClient) -> RealmUser:
        """The user behind a client with a service account."""
        return _user(
            self.get(f"/clients/{client.uuid}/service-account-user", what=f"service account of {client.client_id}")
        )

    # Sessions.

    def user_sessions(self, user: RealmUser) -> list[RealmSession]:
        """The user's sessions, offline ones included."""
        found = [_session(row, offline=False) for row in self.get(f"/users/{user.id}/sessions")]
        for client in self.clients():
            rows = self.get(f"/users/{user.id}/offline-sessions/{client.uuid}")
            found += [_session(row, offline=True, client_id=client.client_id) for row in rows]
        return found

    def client_sessions(self, client: RealmClient) -> list[RealmSession]:
        """The sessions of every user in one client, offline ones included."""
        path = f"/clients/{client.uuid}"
        found = [_session(row, offline=False) for row in self.pages(f"{path}/user-sessions")]
        rows = self.pages(f"{path}/offline-sessions")
        return found + [_session(row, offline=True, client_id=client.client_id) for row in rows]

    def delete_session(self, session: RealmSession) -> None:
        self.request(
            "DELETE", f"/sessions/{quote(session.id, safe='')}", what=f"session {session.id}",
            params={"isOffline": str(session.offline).lower()},
        )  # fmt: skip

    def logout(self, user: RealmUser) -> None:
        """End the user's sessions and refuse every token issued until now (the user's not-before)."""
        self.request("POST", f"/users/{user.id}/logout", what=f"user {user.username}")

    def revoke_grants(self, user: RealmUser, client_id: str) -> None:
        """Revoke the consent and the offline tokens that the user gave to a client."""
        self.request(
            "DELETE", f"/users/{user.id}/consents/{quote(client_id, safe='')}",
            what=f"consent or offline token of {user.username} for {client_id}",
        )  # fmt: skip

    def set_enabled(self, user: RealmUser, *, enabled: bool) -> None:
        self.request("PUT", f"/users/{user.id}", what=f"user {user.username}", json={"enabled": enabled})

    def _login(self) -> str:
        if time.monotonic() < self._token_until:
            return self._token
        account = self._provisioner
        form = {"grant_type": "client_credentials", "client_id": account.client_id}
        answer = self.web.ask(
            "POST",
            f"/realms/{quote(account.realm, safe='')}/protocol/openid-connect/token",
            data={**form, "client_secret": account.client_secret},
            pauses=self._pauses,
        )
        if answer.status_code in (400, 401):
            raise CredentialsError(
                f"Keycloak refuses the service account {account.client_id} of realm {account.realm}",
                "its secret differs from the one the stack keeps: run `stackctl doctor`",
            )
        if answer.status_code >= 400:
            raise self.web.down(f"answered {answer.status_code} to a login of {account.client_id}")
        document = self.web.json(answer)
        self._token = str(document["access_token"])
        # Renewed well before it ends; master's default lifetime is 60 seconds.
        self._token_until = time.monotonic() + int(document["expires_in"]) / 2
        return self._token


def _message(answer: requests.Response) -> str:
    try:
        document = answer.json()
        return str(document.get("errorMessage") or document.get("error") or "") if isinstance(document, dict) else ""
    except requests.exceptions.JSONDecodeError:
        return ""


def _user(row: Mapping[str, Any]) -> RealmUser:
    return RealmUser(
        id=row["id"],
        username=row["username"],
        enabled=bool(row.get("enabled")),
        email=row.get("email", ""),
        not_before=int(row.get("notBefore") or 0),
    )


def _client(row: Mapping[str, Any]) -> RealmClient:
    return RealmClient(
        uuid=row["id"],
        client_id=row["clientId"],
        enabled=bool(row.get("enabled")),
        service_account=bool(row.get("serviceAccountsEnabled")),
        representation=row,
    )


def _session(row: Mapping[str, Any], *, offline: bool, client_id: str | None = None) -> RealmSession:
    clients = (client_id,) if client_id else tuple(sorted((row.get("clients") or {}).values()))
    return RealmSession(
        id=row["id"],
        username=row.get("username", ""),
        user_id=row.get("userId", ""),
        ip_address=row.get("ipAddress", ""),
        started=int(row.get("start") or 0),
        last_access=int(row.get("lastAccess") or 0),
        clients=clients,
        offline=offline,
    )
