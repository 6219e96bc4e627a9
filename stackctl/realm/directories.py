"""LDAP directories of a realm, and what their entries become."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from mlflow_sso_client.errors import AccessError

from components.realm_words import COMPONENTS, MAPPER, PROVIDER, STORAGE, failed, flat, trials
from problems import Problem
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import inner
from stackctl.realm.mappers import steps as each_mapper
from stackctl.realm.step import Step, Tree, by, put, remove

_PATH = "/components"


def others(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Problem]:
    """Directories that somebody made in Keycloak under a name that is declared anew."""
    known = _declared(before)
    for name in _declared(wanted):
        if name not in known and name in actual.directories:
            expected = "expected another name, or that one removed in Keycloak: it was not made by these settings"
            yield Problem("realm.ldap: name", name, expected)


def silent(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Problem]:
    """Directories that are to be made or changed, and do not answer Keycloak, or do not let it in.

    Raises AccessError where Keycloak itself does not answer.
    """
    for name, one in _declared(wanted).items():
        if any(True for _ in _each(name, one, wanted, before, actual)):
            config = flat(one["config"])
            for trial in trials(config, config.get("bindCredential", "")):
                reason = actual.admin.try_directory(trial)
                if reason:
                    yield Problem(*failed(name, trial["action"], config, reason))
                    break


def steps(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    for name, one in _declared(wanted).items():
        yield from _each(name, one, wanted, before, actual)


def removals(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    """Directories that are declared no more. Keycloak forgets whom it knows from there; the directory keeps them."""
    for name in sorted(_declared(before).keys() - _declared(wanted).keys()):
        if name in actual.directories:
            path = f"{_PATH}/{actual.directories[name]['id']}"
            yield Step(f"directory {name}", ("is removed",), partial(remove, actual, path, name))


def _each(name: str, one: Tree, wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    where, now = f"directory {name}", actual.directories.get(name)
    if now is None:
        place = list(_declared(wanted)).index(name)
        yield Step(where, ("is made",), partial(_make, actual, one, place), partial(_remembered, name))
        return
    then = _declared(before).get(name, {})
    config, words = inner(
        "config", flat(now.get("config", {})), flat(one["config"]), flat(then.get("config", {})), wanted["realm"]
    )
    if words:
        # What is no more is said as nothing: Keycloak keeps what it is not told of.
        gone = dict.fromkeys(flat(now.get("config", {})).keys() - config.keys(), ())
        document = {**now, "config": {key: [value] for key, value in config.items()} | {key: [] for key in gone}}
        yield Step(where, tuple(words), partial(put, actual, f"{_PATH}/{now['id']}", document))
    declared = [_inside(mapper, now["id"]) for mapper in _mappers(one)]
    yield from each_mapper(where, "providerId", _PATH, declared, _mappers(then), actual.inner(now["id"]), actual)


def _make(actual: Actual, one: Tree, place: int) -> None:
    """place: among the directories, which are asked for somebody in this order.

    One that was switched off later, or put in another order, stays so.
    """
    document = {"name": one["name"], "providerId": PROVIDER, "providerType": STORAGE}
    first = {"enabled": ["true"], "priority": [str(place)]}
    actual.send("POST", _PATH, {**document, "config": {**first, **one["config"]}})
    actual.forget()
    made = actual.directories[one["name"]]["id"]
    try:
        # Those that Keycloak makes by itself, by rules of its own, would stand beside these.
        for mapper in actual.inner(made):
            actual.send("DELETE", f"{_PATH}/{mapper['id']}", what=mapper["name"])
        for mapper in _mappers(one):
            actual.send("POST", _PATH, _inside(mapper, made))
    except AccessError:
        actual.send("DELETE", f"{_PATH}/{made}", what=one["name"])
        actual.forget()
        raise


def _remembered(name: str, before: Tree, declared: Tree) -> Tree:
    found = {**_declared(before), name: _declared(declared)[name]}
    return {**before, COMPONENTS: {STORAGE: list(found.values())}}


def _inside(mapper: Tree, parent: str) -> dict[str, Any]:
    return {**mapper, "providerType": MAPPER, "parentId": parent}


def _declared(tree: Tree) -> dict[str, Any]:
    return by("name", tree.get(COMPONENTS, {}).get(STORAGE, ()))


def _mappers(one: Tree) -> list[Tree]:
    return list(one.get("subComponents", {}).get(MAPPER, ()))
