"""The roles that stand for the declared groups, who has them, and in whose tokens they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from stackctl.realm.actual import Actual
from stackctl.realm.step import Step, Tree, remove


def steps(wanted: Tree, actual: Actual) -> Iterator[Step]:
    for client, roles in wanted["roles"]["client"].items():
        there = actual.roles(client)
        for role in roles:
            if role["name"] not in there:
                yield Step(f"role {role['name']}", ("is made",), partial(_make, actual, client, role))
    for group in wanted["groups"]:
        for client, names in group["clientRoles"].items():
            missing = sorted(set(names) - actual.of_group(group["name"], client))
            if missing:
                words = f"has the role {', '.join(missing)} of client {client}"
                below = actual.groups.get(group["name"], {}).get("subGroupCount", 0)
                if below:
                    words += f", and so have the {below} group(s) in it"
                take = partial(_give, actual, group["name"], client, missing)
                yield Step(f"group {group['name']}", (words,), take)
    for client, mappings in wanted["clientScopeMappings"].items():
        for mapping in mappings:
            missing = sorted(set(mapping["roles"]) - actual.in_scope(mapping["client"], client))
            if missing:
                words = f"tokens name the role {', '.join(missing)}"
                take = partial(_allow, actual, mapping["client"], client, missing)
                yield Step(f"client {mapping['client']}", (words,), take)


def removals(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    """Roles of groups that are declared no more."""
    for client, roles in before.get("roles", {}).get("client", {}).items():
        kept = {role["name"] for role in wanted["roles"]["client"].get(client, ())}
        there = actual.roles(client)
        for name in sorted(({role["name"] for role in roles} - kept) & there.keys()):
            path = f"/roles-by-id/{there[name]['id']}"
            yield Step(f"role {name}", ("is removed",), partial(remove, actual, path, f"role {name}"))


def _make(actual: Actual, client: str, role: Tree) -> None:
    actual.send("POST", f"/clients/{actual.clients[client]['id']}/roles", role)


def _give(actual: Actual, group: str, client: str, names: list[str]) -> None:
    path = f"/groups/{actual.groups[group]['id']}/role-mappings/clients/{actual.clients[client]['id']}"
    actual.send("POST", path, actual.named_roles(client, names))


def _allow(actual: Actual, client: str, owner: str, names: list[str]) -> None:
    path = f"/clients/{actual.clients[client]['id']}/scope-mappings/clients/{actual.clients[owner]['id']}"
    actual.send("POST", path, actual.named_roles(owner, names))
