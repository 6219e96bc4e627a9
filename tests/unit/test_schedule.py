"""Times that every target understands alike, and lines that are no schedule."""

from __future__ import annotations

import pytest

from platforms.schedule import Schedule, ScheduleError, parse

ALL = {
    "minutes": tuple(range(60)),
    "hours": tuple(range(24)),
    "days": tuple(range(1, 32)),
    "months": tuple(range(1, 13)),
    "weekdays": tuple(range(7)),
}


@pytest.mark.parametrize(
    ("cron", "fields"),
    [
        ("* * * * *", {}),
        ("0 3 * * *", {"minutes": (0,), "hours": (3,)}),
        ("*/20 * * * *", {"minutes": (0, 20, 40)}),
        ("5-9/2,50 8-10 * * *", {"minutes": (5, 7, 9, 50), "hours": (8, 9, 10)}),
        ("0 22/1 * * *", {"minutes": (0,), "hours": (22, 23)}),
        ("0 0 1,15 */6 *", {"minutes": (0,), "hours": (0,), "days": (1, 15), "months": (1, 7)}),
        ("0 0 * * 1-5", {"minutes": (0,), "hours": (0,), "weekdays": (1, 2, 3, 4, 5)}),
        ("  0   0 29 2 *", {"minutes": (0,), "hours": (0,), "days": (29,), "months": (2,)}),
    ],
)
def test_the_values_of_each_field(cron: str, fields: dict[str, tuple[int, ...]]) -> None:
    assert parse(cron) == Schedule(**{**ALL, **fields})


@pytest.mark.parametrize(
    ("cron", "named"),
    [
        ("", "five fields"),
        ("@daily", "five fields"),
        ("0 3 * *", "five fields"),
        ("0 0 3 * * *", "five fields"),
        ("60 * * * *", "a minute from 0 to 59"),
        ("* 24 * * *", "a hour from 0 to 23"),
        ("0 0 0 * *", "a day of the month from 1 to 31"),
        ("0 0 * 13 *", "a month from 1 to 12"),
        ("0 0 * JAN *", "a month from 1 to 12"),
        ("0 0 * * 7", "a day of the week from 0 to 6"),
        ("0 0 * * MON", "a day of the week from 0 to 6"),
        ("9-5 * * * *", "a minute from 0 to 59"),
        ("*/0 * * * *", "a minute from 0 to 59"),
        ("1, * * * *", "a minute from 0 to 59"),
        ("-1 * * * *", "a minute from 0 to 59"),
        ("0 0 L * *", "a day of the month from 1 to 31"),
        ("0 0 1 * 1", "as day of the month or as day of the week"),
        ("0 0 30 2 *", "a day that one of its months has"),
        ("0 0 31 4,6,9,11 *", "a day that one of its months has"),
        ("٣ * * * *", "a minute from 0 to 59"),
    ],
)
def test_what_is_no_schedule_everywhere_is_refused_with_what_was_expected(cron: str, named: str) -> None:
    with pytest.raises(ScheduleError, match=f"expected .*{named}"):
        parse(cron)


@pytest.mark.parametrize("word", ["9" * 5000, "*/" + "9" * 5000, "1-" + "9" * 5000, "0/1" + "0" * 5000, "x" * 5000])
def test_a_number_without_end_is_no_schedule(word: str) -> None:
    with pytest.raises(ScheduleError, match="expected a minute from 0 to 59") as error:
        parse(f"{word} * * * *")
    assert len(str(error.value)) < 200
