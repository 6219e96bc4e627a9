"""People and service accounts of a realm, and the groups that they are in.

They are made once: what is done to them in Keycloak stays, and a step follows from a change of their declaration alone.
So somebody who was taken out of a group, disabled or deleted there stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from problems import Problem
from stackctl.realm.actual import Actual
from stackctl.realm.step import Step, Tree, by, make, noted, remove, said

# What is declared of a person, beside groups and a first password.
FIELDS = ("email", "emailVerified", "firstName", "lastName")


def steps(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    yield from _people(wanted, before, actual)
    yield from _accounts(wanted, before, actual)


def removals(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    """People who are declared no more."""
    for name in sorted(by("username", _persons(before)).keys() - by("username", _persons(wanted)).keys()):
        found = _ours(actual, name)
        if found is not None:
            yield Step(f"user {name}", ("is removed",), partial(remove, actual, f"/users/{found['id']}", name))


def strangers(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Problem]:
    """People of other providers and directories who have a name that is declared anew, for somebody or for a client."""
    known = {user["username"] for user in before.get("users", ())}
    for user in wanted["users"]:
        name, client = user["username"], user.get("serviceAccountClientId")
        if name in known or client in actual.clients:
            continue
        found = actual.person(name)
        if found is not None and (client or found.get("federationLink") or actual.links(found["id"])):
            key = f"realm.serviceAccounts: {client}" if client else f"realm.users: {name}"
            expected = "expected another name, or that account removed in Keycloak: it was not made by these settings"
            yield Problem(key, f"user {name}, who is there", expected)
        other = actual.of_address(user["email"]) if found is None and user.get("email") else None
        if other is not None and other not in known:
            expected = f"expected an address that nobody has in Keycloak: it is that of {other}"
            yield Problem(f"realm.users: {name}: email", user["email"], expected)


def _people(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    known = by("username", before.get("users", ()))
    for user in _persons(wanted):
        name = user["username"]
        then = known.get(name)
        if then is None:
            found = actual.person(name)
            if found is None:
                document = {key: value for key, value in user.items() if key != "realmRoles"}
                made = partial(make, actual, "/users", document)
                yield Step(f"user {name}", ("is made",), made, partial(noted, "users", "username", name))
                continue
            then = {}
        fields = [key for key in FIELDS if user.get(key) != then.get(key)]
        if fields:
            told = {key: user.get(key, False if key == "emailVerified" else "") for key in fields}
            changes = tuple(said(key, then.get(key), user.get(key)) for key in fields)
            yield Step(f"user {name}", changes, partial(_tell, actual, name, told), partial(_noted, user, _renamed))
        yield from _memberships(f"user {name}", user, then, actual, partial(_ours, actual, name))


def _ours(actual: Actual, name: str) -> dict[str, Any] | None:
    """A person of Keycloak's own. One of a directory is that one's, which Keycloak may write to, and delete from."""
    found = actual.person(name)
    return found if found is None or not found.get("federationLink") else None


def _tell(actual: Actual, name: str, fields: Tree) -> None:
    found = _ours(actual, name)
    if found is not None:
        actual.send("PUT", f"/users/{found['id']}", {**found, **fields}, what=f"user {name}")


def _accounts(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    known = by("serviceAccountClientId", before.get("users", ()))
    for user in wanted["users"]:
        client = user.get("serviceAccountClientId")
        if client:
            where = f"service account {client}"
            yield from _memberships(where, user, known.get(client, {}), actual, partial(actual.account, client))
            for owner, names in user.get("clientRoles", {}).items():
                missing = sorted(set(names) - actual.of_account(client, owner))
                if missing:
                    words = f"has the role {', '.join(missing)} of client {owner}"
                    yield Step(where, (words,), partial(_give, actual, client, owner, missing))


def _give(actual: Actual, client: str, owner: str, names: list[str]) -> None:
    path = f"/users/{actual.account(client)['id']}/role-mappings/clients/{actual.clients[owner]['id']}"
    actual.send("POST", path, actual.named_roles(owner, names))


def _memberships(where: str, user: Tree, then: Tree, actual: Actual, find: Callable[[], Tree | None]) -> Iterator[Step]:
    """Steps into groups that were not declared for somebody before, and out of those that are no longer."""
    declared, earlier = set(user.get("groups", ())), set(then.get("groups", ()))
    joins = [(path, "joins", "PUT") for path in sorted(declared - earlier)]
    leaves = [(path, "leaves", "DELETE") for path in sorted(earlier - declared) if path[1:] in actual.groups]
    for path, word, method in (*joins, *leaves):
        noted = partial(_noted, user, partial(_moved, path))
        yield Step(where, (f"{word} {path[1:]}",), partial(_join, actual, find, path[1:], method), noted)


def _noted(user: Tree, change: Callable[[Tree, Tree], Tree], before: Tree, declared: Tree) -> Tree:
    """A declaration with somebody as a step left them. change: of what was declared of them to what is, a part."""
    people, name = by("username", before.get("users", ())), user["username"]
    now = by("username", declared["users"])[name]
    then = people.get(name) or {key: now[key] for key in ("username", "serviceAccountClientId") if key in now}
    return {**before, "users": list({**people, name: change(then, now)}.values())}


def _renamed(then: Tree, now: Tree) -> Tree:
    rest = {key: value for key, value in then.items() if key not in FIELDS}
    return {**rest, **{key: now[key] for key in FIELDS if key in now}}


def _moved(path: str, then: Tree, now: Tree) -> Tree:
    """Into a group, or out of it."""
    others = {*then.get("groups", ())} - {path}
    return {**then, "groups": sorted(others | ({path} & {*now.get("groups", ())}))}


def _join(actual: Actual, find: Callable[[], Tree | None], group: str, method: str) -> None:
    found = find()
    if found is not None:
        path = f"/users/{found['id']}/groups/{actual.groups[group]['id']}"
        actual.send(method, path, what=f"group {group}")


def _persons(tree: Tree) -> list[Tree]:
    return [user for user in tree.get("users", ()) if not user.get("serviceAccountClientId")]
