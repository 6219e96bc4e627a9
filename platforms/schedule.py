"""Times at which something runs, as every target understands them alike.

Five fields in UTC: minute, hour, day of the month, month, day of the week (POSIX, crontab). Programs that read such
lines differ in what they add to it, and in what two restricted day fields mean together, so both are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Of no more digits than anybody writes: Python makes no number of thousands.
_PART = r"(\*|[0-9]{1,4}(-[0-9]{1,4})?)(/[1-9][0-9]{0,3})?"
_FIELD = re.compile(f"{_PART}(,{_PART})*")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6))


class ScheduleError(ValueError):
    """A line is no schedule. The text says what was expected."""


@dataclass(frozen=True)
class Schedule:
    """The values that each field allows, in order. Weekdays are 0, Sunday, to 6."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]


def parse(cron: str) -> Schedule:
    """The times that a line names. Raises ScheduleError."""
    words = cron.split()
    if len(words) != len(_FIELDS):
        raise ScheduleError("expected five fields in UTC: minute, hour, day of the month, month, day of the week")
    minutes, hours, days, months, weekdays = (_values(word, *field) for word, field in zip(words, _FIELDS, strict=True))
    if words[2] != "*" and words[4] != "*":
        raise ScheduleError("expected * as day of the month or as day of the week: both together mean different things")
    if not any(_exists(day, month) for day in days for month in months):
        raise ScheduleError("expected a day that one of its months has")
    return Schedule(minutes, hours, days, months, weekdays)


def _values(word: str, name: str, lowest: int, highest: int) -> tuple[int, ...]:
    expected = f"expected a {name} from {lowest} to {highest}, as numbers with * , - and /, not {word[:40]}"
    if not _FIELD.fullmatch(word):
        raise ScheduleError(expected)
    values: set[int] = set()
    for part in word.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            low, high = lowest, highest
        else:
            # A step without an end goes on to the highest value.
            low = int(first)
            high = int(last or (highest if step else first))
        if not lowest <= low <= high <= highest:
            raise ScheduleError(expected)
        values |= set(range(low, high + 1, int(step or 1)))
    return tuple(sorted(values))


def _exists(day: int, month: int) -> bool:
    return day <= {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}.get(month, 31)
