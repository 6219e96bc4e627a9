"""Where a stack has its data, and what a change of its settings would leave behind or remove.

A place is a line for people that is the same as long as the data are the same: "volume NAME", "claim NAMESPACE/NAME",
the URL of a bucket or of a database. Settings name the places of before by these lines, in `movedFrom`. The kinds of
data and their lines are kept in the outputs of every stack: one that is renamed refuses the next `up` of each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from problems import Problem
from settings import PROJECT

GUIDE = "docs/guides/moving.md"
# A database that shares its place with others.
_DATABASE = re.compile(r"database \S+ in (.+)")


@dataclass(frozen=True)
class OnVolume:
    """A volume of a workload, whether or not the stack still has either."""

    workload: str
    volume: str


@dataclass(frozen=True)
class Home:
    """Where one kind of data is, or something else that cannot change while data are there.

    key: the setting that decides it, for people.
    at: a volume of the stack, or the line itself; empty where there is none.
    database: the one that is meant, where a place has several.
    fixed: why nobody can move it; empty where somebody can.
    of: the kind of data that a fixed one is said of. Where those have moved, it may be another.
    target: everything else is on it; where it changes, the rest follows.
    """

    key: str
    at: OnVolume | str = ""
    database: str = ""
    fixed: str = ""
    of: str = ""
    target: bool = False


_ELSEWHERE = "the data of the stack are there, and no engine takes them elsewhere"


def on_platform(name: str, **more: tuple[str, str]) -> dict[str, Home]:
    """What all data of a stack on a platform are on. more: further kinds, each with its setting and its line."""
    every = {"platform": (f"{PROJECT}:platform", name), **more}
    return {kind: Home(key, at, fixed=_ELSEWHERE, target=True) for kind, (key, at) in every.items()}


@dataclass(frozen=True)
class Held:
    """Data of a stack that were found on its target.

    place: the line for people. on: whose they are. used: whether the workloads of now have them.
    wrong: what these settings would change of it, which no target does without the loss of the data.
    kind: what the target calls it.
    """

    place: str
    on: OnVolume
    used: bool
    wrong: Problem | None = None
    kind: str = "volume"


class Stores(Protocol):
    """The data of a stack on its target."""

    def target(self) -> Mapping[str, Home]:
        """What all data are on: kinds of it that are fixed. Raises InventoryError."""
        ...

    def named(self, on: OnVolume) -> str:
        """The line for a volume of a workload that the stack has."""
        ...

    def held(self) -> Sequence[Held]:
        """All data of the stack that are there, in use or not. Raises InventoryError."""
        ...


@dataclass(frozen=True)
class Moves:
    """Where the data are by these settings, and what the settings say of before.

    homes: by the kind of the data, those that the stack does not have among them. moved_from: the places of before that
    are given up, by their lines. setting: the setting that says so.
    """

    homes: Mapping[str, Home]
    moved_from: tuple[str, ...]
    setting: str

    def lines(self, stores: Stores) -> dict[str, str]:
        """Where each kind of data is, as it is kept for the next `up`. Raises InventoryError."""
        return _lines({**stores.target(), **self.homes}, stores)

    def problems(self, before: Mapping[str, str], stores: Stores, held: Sequence[Held]) -> list[Problem]:
        """What these settings would part from its data, remove or leave without a word; each place once.

        before: what `lines` said at the last `up`; empty where nobody knows. held: what the target holds.
        Raises InventoryError.
        """
        homes = {**stores.target(), **self.homes}
        now = _lines(homes, stores)
        changed = dict(self._changed(homes, before, now))
        # What hangs on another change is named there.
        changed = {kind: home for kind, home in changed.items() if home.of not in changed}
        on_target = [kind for kind, home in changed.items() if home.target]
        fixed = on_target or [kind for kind, home in changed.items() if home.fixed]
        problems = [self._fixed(changed[kind], before[kind], now.get(kind, "")) for kind in fixed]
        if on_target:
            return problems
        parted: dict[str, list[str]] = {}
        for kind, home in changed.items():
            if not home.fixed:
                parted.setdefault(home.key, []).append(kind)
        used = {one.place for one in held if one.used}
        problems += [self._parted(key, kinds, before, now, used) for key, kinds in parted.items()]
        named = {_whole(before[kind]) for kinds in parted.values() for kind in kinds}
        unnamed = (one for one in held if not (one.used or self.given_up(one.place) or one.place in named))
        problems += [one.wrong for one in held if one.wrong] + [self._unnamed(one.place) for one in unnamed]
        return problems + list(self._in_use(now))

    def given_up(self, line: str) -> bool:
        """Whether the settings name it, or all that it is a part of, as a place of before."""
        return line in self.moved_from or _whole(line) in self.moved_from

    def _changed(
        self, homes: Mapping[str, Home], before: Mapping[str, str], now: Mapping[str, str]
    ) -> Iterator[tuple[str, Home]]:
        for kind, old in before.items():
            home = homes.get(kind)
            if home is None or now.get(kind, "") == old or (home.target and kind not in now):
                continue
            follows = home.of in before and now.get(home.of) != before[home.of] and self.given_up(before[home.of])
            if not (follows if home.fixed else self.given_up(old)):
                yield kind, home

    def _in_use(self, now: Mapping[str, str]) -> Iterator[Problem]:
        """A line that names what the stack uses: it would give up whatever is written there from now on."""
        used = {*now.values(), *map(_whole, now.values())}
        for line in self.moved_from:
            if line in used:
                yield Problem(self.setting, line, "expected a place of before: the stack uses this one now")

    def _fixed(self, home: Home, old: str, now: str) -> Problem:
        return Problem(home.key, now, f"expected {old}: {home.fixed} ({GUIDE})")

    def _parted(
        self, key: str, kinds: Sequence[str], before: Mapping[str, str], now: Mapping[str, str], used: Collection[str]
    ) -> Problem:
        # Of a place that is not used any more no part need be named.
        gone = dict.fromkeys(old if _whole(old) in used else _whole(old) for old in (before[kind] for kind in kinds))
        expected = (
            f"expected what it was: the stack has data in {' and in '.join(gone)}, and nothing of them comes along. "
            f"Move them ({GUIDE}) and name that place in {self.setting}"
        )
        return Problem(key, " and ".join(dict.fromkeys(now[kind] for kind in kinds if kind in now)), expected)

    def _unnamed(self, place: str) -> Problem:
        expected = (
            f"expected settings that use it: it holds data of this stack. Move them ({GUIDE}) and name it in "
            f"{self.setting}"
        )
        return Problem(place, "", expected)


def outside(lines: Mapping[str, str]) -> list[str]:
    """The places among them that a stack has its data in and does not own: buckets and databases of others."""
    return sorted({_whole(line) for line in lines.values() if "://" in _whole(line)})


def _lines(homes: Mapping[str, Home], stores: Stores) -> dict[str, str]:
    """Each kind of data with its line, but for those that the stack does not have."""
    lines = {kind: _line(home, stores) for kind, home in homes.items()}
    return {kind: line for kind, line in lines.items() if line}


def _line(home: Home, stores: Stores) -> str:
    whole = stores.named(home.at) if isinstance(home.at, OnVolume) else home.at
    return f"database {home.database} in {whole}" if home.database and whole else whole


def _whole(line: str) -> str:
    """The place that a line is about, whichever part of it."""
    found = _DATABASE.fullmatch(line)
    return found[1] if found else line
