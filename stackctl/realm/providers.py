"""Other identity providers of a realm, and what leads their people to groups."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from problems import Problem
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import inner
from stackctl.realm.mappers import steps as each_mapper
from stackctl.realm.step import Step, Tree, by, gone, make, noted, put, remove, said, same

_PROVIDERS, _MAPPERS = "identityProviders", "identityProviderMappers"


def others(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Problem]:
    """Providers that somebody made in Keycloak under an alias that is declared anew, and those of another kind."""
    known = by("alias", before.get(_PROVIDERS, ()))
    for i, one in enumerate(wanted.get(_PROVIDERS, ())):
        there = actual.providers.get(one["alias"])
        if there and one["alias"] not in known:
            expected = "expected another alias, or that provider removed in Keycloak: it was not made by these settings"
            yield Problem(f"realm.identityProviders[{i}].alias", one["alias"], expected)
        elif there and there["providerId"] != one["providerId"]:
            expected = f"expected another alias: the people of this one are known by {there['providerId']}"
            yield Problem(f"realm.identityProviders[{i}].alias", one["alias"], expected)


def steps(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    known = by("alias", before.get(_PROVIDERS, ()))
    for one in wanted.get(_PROVIDERS, ()):
        alias = one["alias"]
        where, now = f"identity provider {alias}", actual.providers.get(alias)
        if now is None:
            made = partial(make, actual, "/identity-provider/instances", one)
            yield Step(where, ("is made",), made, partial(noted, _PROVIDERS, "alias", alias))
        else:
            # One that was switched off stays so.
            one = {key: value for key, value in one.items() if key != "enabled"}  # noqa: PLW2901
            changes = [
                said(key, now.get(key), one[key])
                for key in sorted(one)
                if key != "config" and not same(now.get(key), one[key])
            ]
            then = known.get(alias, {}).get("config", {})
            config, words = inner("config", now.get("config", {}), one["config"], then, wanted["realm"])
            if changes or words:
                document = {**now, **one, "config": config}
                yield Step(
                    where, (*changes, *words), partial(put, actual, f"/identity-provider/instances/{alias}", document)
                )
        yield from _mappers(alias, wanted, before, actual)


def removals(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    """Providers that are declared no more. Their people stay, and cannot log in by them."""
    for alias in gone(_PROVIDERS, "alias", {_PROVIDERS: (), **wanted}, before):
        if alias in actual.providers:
            path = f"/identity-provider/instances/{alias}"
            yield Step(f"identity provider {alias}", ("is removed",), partial(remove, actual, path, alias))


def _mappers(alias: str, wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    path = f"/identity-provider/instances/{alias}/mappers"
    declared, earlier = (
        [one for one in tree.get(_MAPPERS, ()) if one["identityProviderAlias"] == alias] for tree in (wanted, before)
    )
    now = actual.provider_mappers(alias) if alias in actual.providers else []
    yield from each_mapper(f"identity provider {alias}", "identityProviderMapper", path, declared, earlier, now, actual)
