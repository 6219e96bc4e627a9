"""Mappers of clients, of identity providers and of directories, which differ in the name of their kind alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from stackctl.realm.actual import Actual
from stackctl.realm.step import Step, Tree, by, make, put, remove, said, same


def steps(
    owner: str,
    kind: str,
    path: str,
    declared: Iterable[Tree],
    before: Iterable[Tree],
    now: Iterable[Tree],
    actual: Actual,
) -> Iterator[Step]:
    """From the mappers that an owner has now to the declared ones.

    kind: what the kind of a mapper is called. path: where the owner's mappers are. before: those that were declared.
    """
    wanted, there = by("name", declared), by("name", now)
    for name, mapper in wanted.items():
        where, found = f"{owner}, mapper {name}", there.get(name)
        if found is None:
            yield Step(where, ("is made",), partial(make, actual, path, mapper))
            continue
        config = found.get("config", {})
        changes = [
            said(key, config.get(key), value)
            for key, value in mapper["config"].items()
            if not same(config.get(key), value)
        ]
        if found[kind] != mapper[kind]:
            changes.append(said(kind, found[kind], mapper[kind]))
        if changes:
            document = {**found, **mapper, "config": {**config, **mapper["config"]}}
            yield Step(where, tuple(changes), partial(put, actual, f"{path}/{found['id']}", document))
    for name in sorted(by("name", before).keys() & there.keys() - wanted.keys()):
        where = f"{owner}, mapper {name}"
        yield Step(where, ("is removed",), partial(remove, actual, f"{path}/{there[name]['id']}", where))
