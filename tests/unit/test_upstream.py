"""Functions of MLflow and of the plugin that the image replaces, without either."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from mlflow_sso import upstream


def _given(number: int) -> int:
    return number


def _more(original: Callable[[int], int]) -> Callable[[int], int]:
    return lambda number: original(number) + 1


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_REPLACED", [])
    monkeypatch.setattr(upstream, "_MADE", [])
    monkeypatch.setattr(upstream, "_FACTS", [])


def _home() -> ModuleType:
    home = ModuleType("home")
    home.given = _given  # type: ignore[attr-defined]
    return home


def test_a_function_is_replaced_and_what_it_was_is_known() -> None:
    home = _home()
    upstream.replace(home, "given", upstream.digest(_given), _more)
    assert home.given(1) == 2
    assert list(upstream.changed()) == []


def test_another_text_than_a_mend_was_written_for_is_told() -> None:
    home = _home()
    upstream.replace(home, "given", "0" * 16, _more)
    assert list(upstream.changed()) == [
        f"home.given is {upstream.digest(_given)}, and its mend was written for {'0' * 16}"
    ]


def test_what_is_listed_by_keys_is_replaced_there_as_well() -> None:
    home = _home()
    home.table = {"a": _given, "b": _more, "c": _given}  # type: ignore[attr-defined]
    upstream.replace_listed(home, "table", "given", upstream.digest(_given), _more)
    assert [home.table[key] is home.given for key in "abc"] == [True, False, True]
    other = _home()
    other.table = {"b": _more}  # type: ignore[attr-defined]
    with pytest.raises(LookupError, match=r"home\.table has given no more"):
        upstream.replace_listed(other, "table", "given", upstream.digest(_given), _more)
    assert other.given is _given


def test_a_fact_that_is_another_one_is_told() -> None:
    upstream.holds("a default", 3, 3)
    upstream.holds("a table", ["a"], ["a", "b"])
    assert list(upstream.changed()) == ["a table is ['a'], and its mend was written for ['a', 'b']"]


def test_a_function_is_not_replaced_twice() -> None:
    """Also where another module has taken what stands in its place."""
    home, other = _home(), _home()
    upstream.replace(home, "given", upstream.digest(_given), _more)
    other.given = home.given  # type: ignore[attr-defined]
    for each in (home, other):
        with pytest.raises(ValueError, match=r"home\.given is replaced already"):
            upstream.replace(each, "given", upstream.digest(_given), _more)
    assert home.given(1) == 2


def test_a_replacement_stands_around_another_where_it_says_so() -> None:
    home = _home()
    with pytest.raises(ValueError, match=r"home\.given is not replaced yet"):
        upstream.replace(home, "given", upstream.digest(_given), _more, around=True)
    upstream.replace(home, "given", upstream.digest(_given), _more)
    upstream.replace(home, "given", upstream.digest(_given), _more, around=True)
    assert home.given(1) == 3


def test_one_function_is_replaced_in_each_module_that_has_it() -> None:
    homes = (_home(), _home())
    for home in homes:
        upstream.replace(home, "given", upstream.digest(_given), _more)
    assert [home.given(1) for home in homes] == [2, 2]
