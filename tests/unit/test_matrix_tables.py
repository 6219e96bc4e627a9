"""The tables of tests/matrix say one thing of each route, can be asked, and are counted in docs/security.md."""

from __future__ import annotations

import re

import pytest

from tests.matrix import counts
from tests.matrix.asked import cells
from tests.matrix.more_makers import MAKERS
from tests.matrix.rows import ADMINISTRATOR, ANYBODY, CALLERS, LADDER, NOBODY, PLAIN, SCIM, filled
from tests.matrix.tables import CLASSIFIED, ROWS


def test_each_route_stands_in_one_row() -> None:
    assert [route for route, count in CLASSIFIED.items() if count > 1] == []


def test_each_row_can_be_asked() -> None:
    for row in ROWS:
        assert row.needs.callers, row
        assert row.good, row
        assert not set(row.fresh) - set(MAKERS), row
        # A request that succeeds is no failure of the server's, unless a reason is given.
        assert row.never or max(row.good) < 400, row


def test_whoever_holds_more_may_do_no_less() -> None:
    for row in ROWS:
        if row.needs.name.endswith("reviewer") or row.needs is SCIM:
            continue
        served = [caller in row.needs.callers for caller in LADDER]
        assert served == sorted(served), row
        assert row.needs.callers[-1] == ADMINISTRATOR or row.needs is ANYBODY, row


def test_every_row_is_asked_by_nobody_by_a_plain_user_and_on_both_sides_of_its_line() -> None:
    asked = {(cell.row.method, cell.prefix + cell.row.rule, cell.caller) for cell in cells(ROWS, every=False)}
    for row in ROWS:
        for prefix in row.prefixes:
            assert {(row.method, prefix + row.rule, caller) for caller in (NOBODY, PLAIN)} <= asked
    everybody = {cell.caller for cell in cells(ROWS, every=False)}
    assert everybody == set(CALLERS)
    assert len(list(cells(ROWS, every=True))) == len(CALLERS) * len(CLASSIFIED)


def test_a_template_is_filled_where_it_names_a_value() -> None:
    template = {"a": "{x}/{y}", "b": ["{x}", 1], "c": '{"json": {}}', "{x}": None}
    assert filled(template, {"x": "1", "y": "2"}) == {"a": "1/2", "b": ["1", 1], "c": '{"json": {}}', "1": None}
    with pytest.raises(KeyError):
        filled("{unknown}", {})


def test_the_counts_in_the_docs_are_those_of_the_tables() -> None:
    assert counts.PAGE.read_text() == counts.page(), "run `make docs`"
    assert re.search(r"Holes: 0", counts.section())
