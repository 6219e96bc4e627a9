"""Clients of a realm: their settings, scopes and mappers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from components.realm_words import BUILT_IN_CLIENTS
from stackctl.realm.actual import Actual
from stackctl.realm.mappers import steps as each_mapper
from stackctl.realm.step import Step, Tree, by, gone, make, noted, put, remove, said, same

# What has requests of its own, and what is never written over: a secret that was changed in Keycloak was changed
# because it leaked.
_APART = frozenset({"secret", "attributes", "protocolMappers", "defaultClientScopes", "optionalClientScopes"})


def steps(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    """Clients as they are declared, but for their mappers."""
    known = by("clientId", before.get("clients", ()))
    for client in wanted["clients"]:
        name = client["clientId"]
        if name in actual.clients:
            now, then = actual.clients[name], known.get(name, {})
            yield from _settings(client, now, then, actual)
            yield from _scopes(client, now, then, actual)
        else:
            made = partial(make, actual, "/clients", client)
            yield Step(f"client {name}", ("is made",), made, partial(noted, "clients", "clientId", name))


def mappers(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    """The mappers of clients that are there; what they name has to be there before."""
    known = by("clientId", before.get("clients", ()))
    for client in wanted["clients"]:
        name = client["clientId"]
        if name in actual.clients:
            yield from _mappers(client, actual.clients[name], known.get(name, {}), actual)


def removals(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    """Clients that are declared no more. Keycloak's own go with their realm."""
    for name in gone("clients", "clientId", wanted, before):
        if name in actual.clients and name not in BUILT_IN_CLIENTS:
            path = f"/clients/{actual.clients[name]['id']}"
            yield Step(f"client {name}", ("is removed",), partial(remove, actual, path, name))


def _settings(client: Tree, now: Tree, then: Tree, actual: Actual) -> Iterator[Step]:
    document, changes = dict(now), []
    for key in sorted(client.keys() - _APART):
        if not same(now.get(key), client[key]):
            changes.append(said(key, now.get(key), client[key]))
            document[key] = client[key]
    here = now.get("attributes") or {}
    dropped = dict.fromkeys((then.get("attributes") or {}).keys() - client["attributes"].keys(), "")
    attributes = {**client["attributes"], **dropped}
    differing = sorted(key for key in attributes if not same(here.get(key), attributes[key]))
    if differing:
        changes += [said(f"attributes.{key}", here.get(key), attributes[key]) for key in differing]
        document["attributes"] = {**here, **attributes}
    if changes:
        document.pop("secret", None)
        path = f"/clients/{now['id']}"
        yield Step(f"client {client['clientId']}", tuple(changes), partial(put, actual, path, document))


def _mappers(client: Tree, now: Tree, then: Tree, actual: Actual) -> Iterator[Step]:
    owner, path = f"client {client['clientId']}", f"/clients/{now['id']}/protocol-mappers/models"
    declared, earlier, there = (one.get("protocolMappers", ()) for one in (client, then, now))
    yield from each_mapper(owner, "protocolMapper", path, declared, earlier, there, actual)


def _scopes(client: Tree, now: Tree, then: Tree, actual: Actual) -> Iterator[Step]:
    for key, kind in (("defaultClientScopes", "default"), ("optionalClientScopes", "optional")):
        declared, here = set(client[key]), set(now.get(key, ()))
        dropped = set(then.get(key, ())) & here - declared
        where, path = f"client {client['clientId']}", f"/clients/{now['id']}/{kind}-client-scopes"
        for name in sorted(dropped):
            words = (f"{kind} scope {name} is removed",)
            yield Step(where, words, partial(remove, actual, f"{path}/{actual.scopes[name]}", name))
        for name in sorted(declared - here):
            if name in actual.scopes:
                words = (f"{kind} scope {name} is added",)
                yield Step(where, words, partial(put, actual, f"{path}/{actual.scopes[name]}", {}))
