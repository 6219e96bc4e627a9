"""Where a stack has its data, and what a change of its settings would leave behind or remove.

A place is a line for people that is the same as long as the data are the same: "volume NAME", "claim NAMESPACE/NAME",
the URL of a bucket or of a database. Settings name the places of before by these lines, in `movedFrom`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from problems import Problem

GUIDE = "docs/guides/moving.md"
# Between a part and the place it is in.
_WITHIN = " in "


@dataclass(frozen=True)
class OnVolume:
    """A volume of a workload, whether or not the stack still has either."""

    workload: str
    volume: str


@dataclass(frozen=True)
class Home:
    """Where one kind of data is.

    key: the setting that decides it, for people.
    at: a volume of the stack, or the line itself; empty where there is none.
    part: what of it is meant, where more of the stack's data are there.
    fixed: set for what is said of data beside where they are, and cannot change while they are there: why.
    target: it is what all other places are on; where it changes, they follow.
    """

    key: str
    at: OnVolume | str
    part: str = ""
    fixed: str = ""
    target: bool = False


@dataclass(frozen=True)
class Held:
    """Data of a stack that were found on its target.

    place: the line for people. on: whose they are. removal: the command that removes them.
    used: whether the workloads of now have them. wrong: what these settings would change of it, which no target does
    without the loss of the data. kind: what the target calls it.
    """

    place: str
    on: OnVolume
    removal: str
    used: bool
    wrong: Problem | None = None
    kind: str = "volume"


class Stores(Protocol):
    """The data of a stack on its target."""

    def named(self, on: OnVolume) -> str:
        """The line for a volume of a workload that the stack has."""
        ...

    def held(self) -> Sequence[Held]:
        """All data of the stack that are there, in use or not. Raises InventoryError."""
        ...


@dataclass(frozen=True)
class Moves:
    """Where the data are by these settings, and what the settings say of before.

    homes: by the kind of the data. moved_from: the places of before that are given up, by their lines.
    setting: the setting that says so.
    """

    homes: Mapping[str, Home]
    moved_from: tuple[str, ...]
    setting: str

    def lines(self, stores: Stores) -> dict[str, str]:
        """Where each kind of data is, as it is kept for the next `up`."""
        lines = {kind: _line(home, stores) for kind, home in self.homes.items()}
        return {kind: line for kind, line in lines.items() if line}

    def problems(self, before: Mapping[str, str], stores: Stores, held: Sequence[Held]) -> list[Problem]:
        """What these settings would part from its data, remove or leave without a word; each place once.

        before: what `lines` said at the last `up`; empty where nobody knows. held: what the target holds.
        """
        changes = list(self._changed(before, self.lines(stores)))
        if on_target := [change for change in changes if change[0] in self.homes and self.homes[change[0]].target]:
            return [self._fixed(self.homes[kind], old, now) for kind, old, now in on_target]
        wrong = {one.wrong.where: one.wrong for one in held if one.wrong}
        named = {one.place for one in held if one.wrong}
        parted: dict[str, list[tuple[str, str]]] = {}
        for kind, old, now in changes:
            home = self.homes.get(kind)
            if home is not None and home.fixed:
                wrong[home.key] = self._fixed(home, old, now)
            elif _whole(old) not in named:
                parted.setdefault(home.key if home else kind, []).append((old, now))
        used = {one.place for one in held if one.used}
        problems = [*wrong.values(), *(self._parted(key, changes, used) for key, changes in parted.items())]
        named |= {_whole(old) for changes in parted.values() for old, _ in changes}
        unnamed = (one for one in held if not (one.used or self.given_up(one.place) or one.place in named))
        return problems + [self._unnamed(one) for one in unnamed]

    def given_up(self, line: str) -> bool:
        """Whether the settings name it, or all that it is a part of, as a place of before."""
        return line in self.moved_from or _whole(line) in self.moved_from

    def _changed(self, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
        for kind, old in before.items():
            home = self.homes.get(kind)
            fixed = home is not None and bool(home.fixed)
            # What is said of data goes with them.
            if now.get(kind) == old or (kind not in now if fixed else self.given_up(old)):
                continue
            yield kind, old, now.get(kind, "")

    def _fixed(self, home: Home, old: str, now: str) -> Problem:
        return Problem(home.key, now, f"expected {old}: {home.fixed} ({GUIDE})")

    def _parted(self, key: str, changes: Sequence[tuple[str, str]], used: Collection[str]) -> Problem:
        # Of a place that is not used any more no part need be named.
        gone = dict.fromkeys(old if _whole(old) in used else _whole(old) for old, _ in changes)
        expected = (
            f"expected what it was: the stack has data in {' and in '.join(gone)}, and nothing of them comes along. "
            f"Move them ({GUIDE}) and name that place in {self.setting}"
        )
        return Problem(key, " and ".join(dict.fromkeys(now for _, now in changes if now)), expected)

    def _unnamed(self, one: Held) -> Problem:
        expected = (
            f"expected settings that use it: it holds data of this stack. Move them ({GUIDE}) and name it in "
            f"{self.setting}, or remove it: `{one.removal}`"
        )
        return Problem(one.place, "", expected)


def _line(home: Home, stores: Stores) -> str:
    whole = stores.named(home.at) if isinstance(home.at, OnVolume) else home.at
    return f"{home.part}{_WITHIN}{whole}" if home.part else whole


def _whole(line: str) -> str:
    """The place that a line is about, whichever part of it."""
    return line.rpartition(_WITHIN)[2]
