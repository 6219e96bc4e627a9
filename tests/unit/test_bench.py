"""How the bench judges what it measured, and what of it runs."""

from __future__ import annotations

import json

import pytest
from mlflow_sso.guard.spans import has_many_fields

from tests.bench.figures import Count, Figure, percentile
from tests.bench.parts import Part, chosen
from tests.bench.streams import size_mib
from tests.bench.worst import BODY, FIELDS, SPANS, VALUES, filled, spans


def test_a_figure_beyond_its_bound_is_missed_and_marked() -> None:
    for measured, missed in (([2.0], False), ([2.1], True), ([9.0, 1.0, 2.0], False)):
        figure = Figure("f", measured, "s", [1.0, 1.0, 5.0], 2.0)
        assert figure.missed is missed
        assert ("ABOVE" in str(figure)) is missed


@pytest.mark.parametrize(("value", "limit", "missed"), [(0, 0, False), (1, 0, True), (9, None, False)])
def test_a_number_beyond_its_bound_is_missed_and_marked(value: float, limit: float | None, missed: bool) -> None:
    count = Count("c", value, "calls", limit)
    assert count.missed is missed
    assert ("ABOVE" in str(count)) is missed


def test_the_slowest_of_a_hundred_is_one_of_them() -> None:
    assert percentile([5.0], 99) == 5.0
    assert percentile([float(n) for n in range(1, 101)], 99) == 99.0
    assert percentile([float(n) for n in range(1, 102)], 99) == 100.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


def test_parts_are_chosen_by_name_and_all_of_them_by_none() -> None:
    assert chosen("") == chosen(" , ") == frozenset(Part)
    assert chosen("calls, sweep") == {Part.CALLS, Part.SWEEP}
    with pytest.raises(ValueError, match=r"names nothing, none; the parts are starts, .*bucket"):
        chosen("calls,nothing,none")


@pytest.mark.parametrize(("text", "mib"), [("1", 1024), ("10", 10240), ("0.25", 256)])
def test_the_size_of_an_artifact_is_told_in_gib(monkeypatch: pytest.MonkeyPatch, text: str, mib: int) -> None:
    monkeypatch.setenv("BENCH_GIB", text)
    assert size_mib() == mib


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_a_size_that_is_none_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BENCH_GIB", text)
    with pytest.raises(ValueError, match="BENCH_GIB"):
        size_mib()


def test_the_worst_is_as_large_as_the_limits_let_it_be() -> None:
    body = filled({"run_id": "r"}, "metrics", BODY, VALUES - 10)
    assert 0.98 * BODY < len(body) <= BODY
    assert len(json.loads(body)["metrics"]) == VALUES - 10
    traced = spans(SPANS, FIELDS // SPANS - 10)
    assert len(traced) < 32 * 1024 * 1024
    assert not has_many_fields(traced)
    assert has_many_fields(traced, FIELDS * 9 // 10)
