"""A realm as Keycloak has it: each part is read when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

from components.realm_words import STORAGE
from stackctl.clients.keycloak_admin import KeycloakAdmin


class Actual:
    """What the realm has, by the names that a realm import uses. Every method raises as `KeycloakAdmin` does.

    tell: hears what people should know of a change that is left.
    """

    def __init__(self, admin: KeycloakAdmin, tell: Callable[[str], None] = print) -> None:
        self.admin, self.tell = admin, tell

    def forget(self) -> None:
        """Reads everything anew: something was made or removed."""
        for part in ("realm", "groups", "clients", "scopes", "providers", "directories", "flows", "actions"):
            self.__dict__.pop(part, None)

    @cached_property
    def realm(self) -> dict[str, Any]:
        return self.admin.realm()

    @cached_property
    def groups(self) -> dict[str, Mapping[str, Any]]:
        """The groups at the top, by name."""
        return {row["name"]: row for row in self.admin.pages("/groups")}

    @cached_property
    def clients(self) -> dict[str, Mapping[str, Any]]:
        return {client.client_id: client.representation for client in self.admin.clients()}

    @cached_property
    def scopes(self) -> dict[str, str]:
        """The ids of the client scopes, by name."""
        return {row["name"]: row["id"] for row in self.admin.get("/client-scopes")}

    @cached_property
    def providers(self) -> dict[str, Mapping[str, Any]]:
        """The identity providers, by alias."""
        return {row["alias"]: row for row in self.admin.get("/identity-provider/instances")}

    def provider_mappers(self, alias: str) -> list[Mapping[str, Any]]:
        return list(self.admin.get(f"/identity-provider/instances/{alias}/mappers"))

    @cached_property
    def directories(self) -> dict[str, Mapping[str, Any]]:
        """The components that keep people, by name: LDAP directories, and others that somebody made."""
        return {row["name"]: row for row in self.admin.get("/components", type=STORAGE)}

    def inner(self, component: str) -> list[Mapping[str, Any]]:
        """The components inside of one, by its id."""
        return list(self.admin.get("/components", parent=component))

    @cached_property
    def flows(self) -> dict[str, Mapping[str, Any]]:
        """The login flows at the top, by alias."""
        return {row["alias"]: row for row in self.admin.get("/authentication/flows")}

    def flow(self, identifier: str) -> dict[str, Any]:
        """A login flow, by its id."""
        return dict(self.admin.get(f"/authentication/flows/{identifier}"))

    def executions(self, flow: str) -> list[dict[str, Any]]:
        """The steps of a login flow, by its alias, in their order, and with them those of the flows in it."""
        return list(self.admin.get(f"/authentication/flows/{quote(flow, safe='')}/executions"))

    def flow_config(self, identifier: str) -> dict[str, str]:
        """The configuration of a step, by its id; nothing for none."""
        return dict(self.admin.get(f"/authentication/config/{identifier}").get("config", {})) if identifier else {}

    @cached_property
    def actions(self) -> dict[str, Mapping[str, Any]]:
        """What people can be asked to do at a login, by alias."""
        return {row["alias"]: row for row in self.admin.get("/authentication/required-actions")}

    def texts(self, language: str) -> dict[str, str]:
        """What pages and mails say in a language as somebody set it, by the keys of the messages."""
        return dict(self.admin.get(f"/localization/{language}"))

    def members(self, group: str) -> list[str]:
        """The user names of a group's members."""
        return [row["username"] for row in self.admin.pages(f"/groups/{self.groups[group]['id']}/members")]

    def person(self, username: str) -> dict[str, Any] | None:
        """The whole representation of a person; None where there is none of that name."""
        rows = self.admin.get("/users", username=username, exact="true", briefRepresentation="false")
        return dict(rows[0]) if rows else None

    def of_address(self, email: str) -> str | None:
        """The name of whoever has an address; None where nobody has it."""
        rows = self.admin.get("/users", email=email, exact="true")
        return str(rows[0]["username"]) if rows else None

    def links(self, user: str) -> list[Mapping[str, Any]]:
        """The other identity providers that a person, by id, comes from."""
        return list(self.admin.get(f"/users/{user}/federated-identity"))

    def account(self, client_id: str) -> dict[str, Any]:
        """The user behind a client with a service account."""
        path = f"/clients/{self.clients[client_id]['id']}/service-account-user"
        return dict(self.admin.get(path, what=f"service account of {client_id}"))

    def roles(self, client: str) -> dict[str, Mapping[str, Any]]:
        """The roles of a client, by name."""
        found = self.clients.get(client)
        return {row["name"]: row for row in self.admin.get(f"/clients/{found['id']}/roles")} if found else {}

    def named_roles(self, client: str, names: list[str]) -> list[Mapping[str, Any]]:
        """Some of them, as Keycloak wants them told."""
        there = self.roles(client)
        return [there[name] for name in names]

    def of_group(self, group: str, client: str) -> set[str]:
        """The roles of a client that a group has itself."""
        found, owner = self.groups.get(group), self.clients.get(client)
        if found is None or owner is None:
            return set()
        rows = self.admin.get(f"/groups/{found['id']}/role-mappings/clients/{owner['id']}")
        return {row["name"] for row in rows}

    def of_account(self, client: str, owner: str) -> set[str]:
        """The roles of an owner's that a client's service account has itself."""
        other = self.clients.get(owner)
        if client not in self.clients or other is None:
            return set()
        path = f"/users/{self.account(client)['id']}/role-mappings/clients/{other['id']}"
        return {row["name"] for row in self.admin.get(path)}

    def in_scope(self, client: str, owner: str) -> set[str]:
        """The roles of an owner's that tokens of a client may name."""
        found, other = self.clients.get(client), self.clients.get(owner)
        if found is None or other is None:
            return set()
        return {row["name"] for row in self.admin.get(f"/clients/{found['id']}/scope-mappings/clients/{other['id']}")}

    def send(self, method: str, path: str, document: Any = None, *, what: str = "") -> None:
        more = {} if document is None else {"json": document}
        self.admin.request(method, path, what=what, **more)
