"""Which settings are known: a rule says nothing of a value that stands in for one that was refused."""

from __future__ import annotations

from collections.abc import Iterable


class Known:
    """Keys by their paths below the project, such as realm.users[0].groups."""

    def __init__(self, refused: Iterable[str] = ()) -> None:
        self._refused = set(refused)

    def values(self, *keys: str) -> bool:
        """Whether all of the keys, groups with all that is in them, are as they were written."""
        return not any(_within(key, other) or _within(other, key) for key in keys for other in self._refused)

    def presence(self, *keys: str) -> bool:
        """Whether it is known of all the keys that they were given or not; what is in them may be refused."""
        return not any(_within(key, other) for key in keys for other in self._refused)

    def refuse(self, key: str) -> None:
        """From now on nothing more is said of this key."""
        self._refused.add(key)


def _within(key: str, group: str) -> bool:
    return key == group or key.startswith((f"{group}.", f"{group}["))
