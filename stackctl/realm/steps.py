"""What leads from a realm as Keycloak has it to the realm as it is declared, one step for each thing in it.

What the stack does not declare, no step touches. A setting, a client and a group are compared with what Keycloak has.
People are made once: what is done to them in Keycloak stays, and a step follows from a change of their declaration
alone. So somebody who was taken out of a group, disabled or deleted there stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from problems import Problem, StackError
from stackctl.realm.actual import Actual

Tree = Mapping[str, Any]
_PARTS = frozenset({"realm", "groups", "clients", "users"})
# Of a client: what has requests of its own, and what is never written over. A secret that was changed in Keycloak was
# changed because it leaked.
_APART = frozenset({"secret", "attributes", "protocolMappers", "defaultClientScopes", "optionalClientScopes"})
# Keycloak's own, which go with their realm.
_BUILT_IN = frozenset({
    "account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console",
})  # fmt: skip
_OF_PEOPLE = ("email", "emailVerified", "firstName", "lastName")
_LONGEST = 100


@dataclass(frozen=True)
class Step:
    """where: what it is about. changes: what it does to that, for people. take: does it."""

    where: str
    changes: tuple[str, ...]
    take: Callable[[], None] = field(repr=False, compare=False)


def steps(wanted: Tree, before: Tree, actual: Actual) -> list[Step]:
    """The steps, in the order in which they have to be taken.

    wanted, before: realm imports, of what is declared and of what was declared as the realm was last brought there.
    Raises StackError for what would lose something.
    """
    refuse_another_name(wanted, before)
    _refuse_losses(wanted, before, actual)
    return [
        *_realm(wanted, actual),
        *_groups(wanted, actual),
        *_clients(wanted, before, actual),
        *_people(wanted, before, actual),
        *_accounts(wanted, before, actual),
        *_removals(wanted, before, actual),
    ]


def refuse_another_name(wanted: Tree, before: Tree) -> None:
    """Raises StackError where the realm is to be another one: its users and sessions would not come along."""
    if before and wanted["realm"] != before.get("realm"):
        expected = f"expected {before.get('realm')}, as the realm is named; or `make destroy` first"
        raise StackError(
            "A realm keeps its name; nothing was changed.", [Problem("realm.name", wanted["realm"], expected)]
        )


def _refuse_losses(wanted: Tree, before: Tree, actual: Actual) -> None:
    problems = []
    for group in _gone("groups", "name", wanted, before):
        if group not in actual.groups:
            continue
        leaving = {user["username"] for user in before.get("users", ()) if f"/{group}" in user.get("groups", ())}
        members = [name for name in actual.members(group) if name not in leaving]
        inside = actual.groups[group].get("subGroupCount", 0)
        if members or inside:
            some = ", ".join(members[:3]) + (" ..." if len(members) > 3 else "")
            shown = f"{len(members)} member(s){f' ({some})' if some else ''}, {inside} group(s) in it"
            expected = "expected none: give them another group, or rename this one in Keycloak as well"
            problems.append(Problem(f"realm.groups: {group}, which is no longer declared", shown, expected))
    if problems:
        raise StackError("A group would be removed with its members; nothing was changed.", problems)


def _realm(wanted: Tree, actual: Actual) -> Iterator[Step]:
    document, changes = {}, []
    for key in sorted(wanted.keys() - _PARTS):
        now, new = actual.realm.get(key), wanted[key]
        if isinstance(new, Mapping):
            now = now or {}
            differing = sorted(inner for inner in new if not _same(now.get(inner), new[inner]))
            changes += [_said(f"{key}.{inner}", now.get(inner), new[inner]) for inner in differing]
            if differing:
                document[key] = {**now, **new}
        elif not _same(now, new):
            changes.append(_said(key, now, new))
            document[key] = new
    if document:
        yield Step("settings", tuple(changes), partial(actual.send, "PUT", "", document))


def _groups(wanted: Tree, actual: Actual) -> Iterator[Step]:
    for group in wanted["groups"]:
        if group["name"] not in actual.groups:
            yield Step(f"group {group['name']}", ("is made",), partial(_make, actual, "/groups", group))


def _make(actual: Actual, path: str, document: Tree) -> None:
    actual.send("POST", path, document)
    actual.forget()


def _remove(actual: Actual, path: str, what: str) -> None:
    actual.send("DELETE", path, what=what)
    actual.forget()


def _clients(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    known = _by("clientId", before.get("clients", ()))
    for client in wanted["clients"]:
        name = client["clientId"]
        if name not in actual.clients:
            yield Step(f"client {name}", ("is made",), partial(_make, actual, "/clients", client))
            continue
        now, then = actual.clients[name], known.get(name, {})
        yield from _settings_of(client, now, then, actual)
        yield from _mappers(client, now, then, actual)
        yield from _scopes(client, now, then, actual)


def _settings_of(client: Tree, now: Tree, then: Tree, actual: Actual) -> Iterator[Step]:
    document, changes = dict(now), []
    for key in sorted(client.keys() - _APART):
        if not _same(now.get(key), client[key]):
            changes.append(_said(key, now.get(key), client[key]))
            document[key] = client[key]
    here = now.get("attributes") or {}
    dropped = dict.fromkeys((then.get("attributes") or {}).keys() - client["attributes"].keys(), "")
    attributes = {**client["attributes"], **dropped}
    differing = sorted(key for key in attributes if not _same(here.get(key), attributes[key]))
    if differing:
        changes += [_said(f"attributes.{key}", here.get(key), attributes[key]) for key in differing]
        document["attributes"] = {**here, **attributes}
    if changes:
        document.pop("secret", None)
        path = f"/clients/{now['id']}"
        yield Step(f"client {client['clientId']}", tuple(changes), partial(_put, actual, path, document))


def _put(actual: Actual, path: str, document: Tree) -> None:
    actual.send("PUT", path, document)
    actual.forget()


def _mappers(client: Tree, now: Tree, then: Tree, actual: Actual) -> Iterator[Step]:
    there, path = _by("name", now.get("protocolMappers", ())), f"/clients/{now['id']}/protocol-mappers/models"
    declared = client.get("protocolMappers", ())
    for mapper in declared:
        where = f"client {client['clientId']}, mapper {mapper['name']}"
        found = there.get(mapper["name"])
        if found is None:
            yield Step(where, ("is made",), partial(_make, actual, path, mapper))
            continue
        config = found.get("config", {})
        changes = [
            _said(key, config.get(key), value)
            for key, value in mapper["config"].items()
            if not _same(config.get(key), value)
        ]
        if found["protocolMapper"] != mapper["protocolMapper"]:
            changes.append(_said("protocolMapper", found["protocolMapper"], mapper["protocolMapper"]))
        if changes:
            document = {**found, **mapper, "config": {**config, **mapper["config"]}}
            yield Step(where, tuple(changes), partial(_put, actual, f"{path}/{found['id']}", document))
    for name in _by("name", then.get("protocolMappers", ())).keys() & there.keys() - _by("name", declared).keys():
        where = f"client {client['clientId']}, mapper {name}"
        yield Step(where, ("is removed",), partial(_remove, actual, f"{path}/{there[name]['id']}", where))


def _scopes(client: Tree, now: Tree, then: Tree, actual: Actual) -> Iterator[Step]:
    for key, kind in (("defaultClientScopes", "default"), ("optionalClientScopes", "optional")):
        declared, here = set(client[key]), set(now.get(key, ()))
        dropped = set(then.get(key, ())) & here - declared
        where, path = f"client {client['clientId']}", f"/clients/{now['id']}/{kind}-client-scopes"
        for name in sorted(dropped):
            words = (f"{kind} scope {name} is removed",)
            yield Step(where, words, partial(_remove, actual, f"{path}/{actual.scopes[name]}", name))
        for name in sorted(declared - here):
            if name in actual.scopes:
                words = (f"{kind} scope {name} is added",)
                yield Step(where, words, partial(_put, actual, f"{path}/{actual.scopes[name]}", {}))


def _people(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    known = _by("username", before.get("users", ()))
    for user in _of_people(wanted):
        name = user["username"]
        then = known.get(name)
        if then is None:
            found = actual.person(name)
            if found is None:
                document = {key: value for key, value in user.items() if key != "realmRoles"}
                yield Step(f"user {name}", ("is made",), partial(_make, actual, "/users", document))
                continue
            then = {}
        fields = [key for key in _OF_PEOPLE if user.get(key) != then.get(key)]
        if fields:
            told = {key: user.get(key, False if key == "emailVerified" else "") for key in fields}
            changes = tuple(_said(key, then.get(key), user.get(key)) for key in fields)
            yield Step(f"user {name}", changes, partial(_tell, actual, name, told))
        yield from _memberships(f"user {name}", user, then, actual, partial(actual.person, name))


def _tell(actual: Actual, name: str, fields: Tree) -> None:
    found = actual.person(name)
    if found is not None:
        actual.send("PUT", f"/users/{found['id']}", {**found, **fields}, what=f"user {name}")


def _accounts(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    known = _by("serviceAccountClientId", before.get("users", ()))
    for user in wanted["users"]:
        client = user.get("serviceAccountClientId")
        if client:
            where = f"service account {client}"
            yield from _memberships(where, user, known.get(client, {}), actual, partial(actual.account, client))


def _memberships(where: str, user: Tree, then: Tree, actual: Actual, find: Callable[[], Tree | None]) -> Iterator[Step]:
    """Steps into groups that were not declared for somebody before, and out of those that are no longer."""
    declared, earlier = set(user.get("groups", ())), set(then.get("groups", ()))
    for path in sorted(declared - earlier):
        yield Step(where, (f"joins {path[1:]}",), partial(_join, actual, find, path[1:], "PUT"))
    for path in sorted(earlier - declared):
        if path[1:] in actual.groups:
            yield Step(where, (f"leaves {path[1:]}",), partial(_join, actual, find, path[1:], "DELETE"))


def _join(actual: Actual, find: Callable[[], Tree | None], group: str, method: str) -> None:
    found = find()
    if found is not None:
        path = f"/users/{found['id']}/groups/{actual.groups[group]['id']}"
        actual.send(method, path, what=f"group {group}")


def _removals(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    people = _by("username", _of_people(before)).keys() - _by("username", _of_people(wanted)).keys()
    for name in sorted(people):
        found = actual.person(name)
        if found is not None:
            yield Step(f"user {name}", ("is removed",), partial(_remove, actual, f"/users/{found['id']}", name))
    for name in _gone("clients", "clientId", wanted, before):
        if name in actual.clients and name not in _BUILT_IN:
            path = f"/clients/{actual.clients[name]['id']}"
            yield Step(f"client {name}", ("is removed",), partial(_remove, actual, path, name))
    for name in _gone("groups", "name", wanted, before):
        if name in actual.groups:
            path = f"/groups/{actual.groups[name]['id']}"
            yield Step(f"group {name}", ("is removed",), partial(_remove, actual, path, name))


def _of_people(tree: Tree) -> list[Tree]:
    return [user for user in tree.get("users", ()) if not user.get("serviceAccountClientId")]


def _gone(part: str, key: str, wanted: Tree, before: Tree) -> list[str]:
    """The names of what was declared before, and is no longer."""
    return sorted(_by(key, before.get(part, ())).keys() - _by(key, wanted[part]).keys())


def _by(key: str, entries: Any) -> dict[str, Any]:
    return {entry[key]: entry for entry in entries if key in entry}


def _same(now: Any, new: Any) -> bool:
    if isinstance(new, list):
        return sorted(now or ()) == sorted(new)
    return bool((now or "") == (new or "")) if isinstance(new, str) else bool(now == new)


def _said(key: str, now: Any, new: Any) -> str:
    shown = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..." for text in (_text(now), _text(new))]
    return f"{key}: {shown[0]} -> {shown[1]}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
