"""What Keycloak knows of people, asked as a service account that may view users and nothing else.

Source of the paths and fields: the Keycloak Admin REST API reference, version 26.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

# Seconds to connect, and between two pieces of an answer.
_PATIENCE = (5, 30)
_PAGE = 500
# Groups within each other that are looked at; whoever is deeper is asked for by name.
_DEEP = 10


class DirectoryError(Exception):
    """Keycloak does not say who is there; the text tells why, without a secret."""


@dataclass(frozen=True)
class Person:
    """Somebody in Keycloak. groups: those that a token of theirs would name.

    elsewhere: another directory keeps them, and Keycloak also calls them disabled while that one does not answer.
    """

    enabled: bool
    groups: frozenset[str]
    elsewhere: bool = False


@dataclass(frozen=True)
class Account:
    """Where Keycloak is and as whom it is asked. roles: the client whose roles stand for groups."""

    url: str
    realm: str
    client: str
    secret: str = field(repr=False)
    roles: str

    @classmethod
    def told(cls) -> "Account | None":
        """The account that the variables name, or None."""
        names = ("URL", "REALM", "CLIENT", "SECRET", "ROLES")
        values = [os.environ.get(f"MLFLOW_SSO_PEOPLE_{name}", "") for name in names]
        return cls(*values) if all(values) else None


class Directory:
    """Asks one realm. Every method raises DirectoryError where there is no answer that can be relied on."""

    def __init__(self, account: Account) -> None:
        self._account, self._http = account, requests.Session()
        # A .netrc entry would take the place of the token.
        self._http.auth = lambda request: request
        self._token, self._until = "", 0.0
        # The roles of groups by their paths, as the last look found them.
        self._roles: dict[str, frozenset[str]] = {}

    def members(self, groups: tuple[str, ...]) -> dict[str, set[str]]:
        """The groups of everybody who is in one of these, or in a group within, and may log in, by the person's id.

        Not of those whose group within is another directory's: Keycloak would fetch everybody there for the answer,
        and keep them, while they log in for the first time.
        """
        self._roles = {}
        found: dict[str, set[str]] = {}
        for name in groups:
            top = self._get(f"/group-by-path/{quote(name, safe='')}")
            if top is None:
                raise DirectoryError(f"there is no group {name}")
            for group, roles in self._within(top, self._given(top), _DEEP):
                if group != top["id"] and self._is_of_another(group):
                    continue
                for row in self._pages(f"/groups/{group}/members", briefRepresentation="true"):
                    if row.get("enabled"):
                        found.setdefault(row["id"], set()).update(roles.intersection(groups))
        if not any(self._roles.values()):
            raise DirectoryError(f"no group has a role of {self._account.roles}")
        return found

    def person(self, subject: str, groups: tuple[str, ...]) -> Person | None:
        """Somebody by their id, after `members`; None where there is nobody.

        A role that was given to a person, and to no group of theirs, is not seen: that takes the right to see clients.
        """
        path = f"/users/{quote(subject, safe='')}"
        row = self._get(path)
        if row is None:
            return None
        named: set[str] = set()
        for group in self._pages(f"{path}/groups", briefRepresentation="false"):
            named |= self._given(group)
            above = str(group["path"]).split("/")
            for depth in range(2, len(above)):
                named |= self._above("/".join(above[:depth]))
        return Person(bool(row.get("enabled")), frozenset(named.intersection(groups)), bool(row.get("federationLink")))

    def _is_of_another(self, group: str) -> bool:
        rows = self._get(f"/groups/{group}/members", first="0", max="1", briefRepresentation="false") or []
        return any(row.get("federationLink") for row in rows)

    def _given(self, group: dict[str, Any]) -> frozenset[str]:
        """The roles that a group has itself."""
        roles = frozenset((group.get("clientRoles") or {}).get(self._account.roles, ()))
        self._roles[str(group["path"])] = roles
        return roles

    def _above(self, path: str) -> frozenset[str]:
        if path not in self._roles:
            group = self._get(f"/group-by-path{quote(path)}")
            return self._given(group) if group else frozenset()
        return self._roles[path]

    def _within(self, group: dict[str, Any], roles: frozenset[str], depth: int) -> Iterator[tuple[str, frozenset[str]]]:
        """The ids of a group and of those within, each with its roles and those of the groups that it is in."""
        yield str(group["id"]), roles
        if depth:
            for child in self._pages(f"/groups/{group['id']}/children", briefRepresentation="false"):
                yield from self._within(child, roles | self._given(child), depth - 1)

    def _pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        first = 0
        while True:
            rows = self._get(path, first=str(first), max=str(_PAGE), **query) or []
            yield from rows
            if len(rows) < _PAGE:
                return
            first += _PAGE

    def _get(self, path: str, **query: str) -> Any:
        """The JSON at a path of the realm; None where there is nothing (404)."""
        realm = quote(self._account.realm, safe="")
        url = f"{self._account.url}/admin/realms/{realm}{path}"
        answer = self._ask("GET", url, params=query, headers={"Authorization": f"Bearer {self._login()}"})
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            self._until = 0.0
            raise DirectoryError(f"Keycloak answers {answer.status_code} to {self._account.client}")
        return self._json(answer)

    def _login(self) -> str:
        if time.monotonic() < self._until:
            return self._token
        account = self._account
        realm = quote(account.realm, safe="")
        form = {"grant_type": "client_credentials", "client_id": account.client, "client_secret": account.secret}
        answer = self._ask("POST", f"{account.url}/realms/{realm}/protocol/openid-connect/token", data=form)
        if answer.status_code != 200:
            raise DirectoryError(f"Keycloak refuses {account.client} ({answer.status_code})")
        known = self._json(answer)
        self._token, self._until = str(known["access_token"]), time.monotonic() + int(known["expires_in"]) / 2
        return self._token

    def _ask(self, method: str, url: str, **more: Any) -> requests.Response:
        try:
            return self._http.request(method, url, timeout=_PATIENCE, allow_redirects=False, **more)
        except requests.exceptions.RequestException as error:
            raise DirectoryError(f"Keycloak does not answer ({type(error).__name__})") from None

    def _json(self, answer: requests.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise DirectoryError("Keycloak's answer is no JSON") from None
