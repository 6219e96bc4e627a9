"""What rules about other identity providers and about directories have in common: people who come from elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from settings import Environment, Settings
from settings.known import Known
from settings.wrong import Wrong


def is_for_others(settings: Settings, known: Known) -> bool:
    """Whether the stack is known to be for more than its maker's own machine."""
    return known.values("environment") and settings.environment is not Environment.DEV


def declared_groups(settings: Settings, known: Known) -> set[str] | None:
    """The groups of the realm; None where one of them was refused."""
    groups = settings.realm.groups
    return {*groups.admins, *groups.users} if known.values("realm.groups.admins", "realm.groups.users") else None


def named_groups(
    where: str, named: Mapping[str, Collection[str]], declared: Collection[str], known: Known
) -> Iterator[Wrong]:
    """Groups that people would come into, by the settings below `where` that name them, are declared ones."""
    for key, groups in named.items():
        unknown = sorted({group for group in groups if group not in declared})
        if unknown and known.values(f"{where}.{key}"):
            yield Wrong((f"{where}.{key}",), ", ".join(unknown), f"expected some of {', '.join(sorted(declared))}")


def each_once(key: str, part: str, names: Sequence[str], known: Known) -> Iterator[Wrong]:
    """No two entries of the list at `key` have one name, which is the part of theirs called so."""
    for i, name in enumerate(names):
        first = names.index(name)
        keys = (f"{key}[{first}].{part}", f"{key}[{i}].{part}")
        if first < i and known.values(*keys):
            yield Wrong(keys, name, f"expected each {part} once")
