"""What a token says of its owner's groups, and which of several tokens is believed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from mlflow_sso.groups.words import LAST, LEEWAY, STRANGER, Kept, Rank, Words, subject

from tests.unit.fakes import token

NOW = 1000.0
CLAIMS = {"iat": 900, "exp": 1100}
USER = Words.of(CLAIMS, ["users"], Rank.USER)


def kept(words: Words, refusal: str = "") -> Kept:
    return Kept(words.issued, words.rank, words.digest, refusal)


def test_the_first_token_is_heard_and_a_second_time_it_says_nothing_new() -> None:
    assert USER.is_due(Kept(), NOW)
    assert not USER.is_due(kept(USER), NOW)


def test_a_newer_token_is_heard_whatever_it_says_and_an_older_one_is_not() -> None:
    for other in (USER, replace(USER, rank=Rank.STRANGER), replace(USER, rank=Rank.ADMINISTRATOR, groups=("a",))):
        assert replace(other, issued=901).is_due(kept(USER), NOW)
        assert not replace(other, issued=899).is_due(kept(USER), NOW)


def test_a_token_that_is_over_or_has_no_time_is_never_heard() -> None:
    assert not USER.is_due(Kept(), 1100)
    for claims in ({"exp": 1100}, {"iat": None, "exp": 1100}, {"iat": True, "exp": 1100}, {"iat": "900", "exp": 1100}):
        assert not Words.of(claims, ["users"], Rank.STRANGER).is_due(Kept(), NOW)
    assert not Words.of({"iat": 900}, [], Rank.USER).is_due(Kept(), NOW)


def test_tokens_of_one_second_end_in_one_state_whatever_their_order() -> None:
    said = [
        USER,
        replace(USER, groups=("others",)),
        replace(USER, rank=Rank.ADMINISTRATOR, groups=("admins",)),
        replace(USER, rank=Rank.STRANGER, groups=()),
    ]
    ends = set()
    for order in itertools.permutations(said * 2):
        state = Kept()
        for words in order:
            if words.is_due(state, NOW):
                state = kept(words)
        ends.add(state)
    assert ends == {kept(said[-1])}, "the one that gives least"


def test_groups_are_one_in_any_order_and_however_often_they_are_named() -> None:
    first = Words.of(CLAIMS, ["a", "b"], Rank.USER)
    assert Words.of(CLAIMS, ["b", "a", "a"], Rank.USER).digest == first.digest
    assert Words.of(CLAIMS, ["a"], Rank.USER).digest != first.digest
    assert replace(first, rank=Rank.STRANGER).digest != first.digest


def test_the_last_administrator_is_tried_again_and_a_stranger_is_not() -> None:
    assert USER.is_due(kept(USER, LAST), NOW)
    assert not USER.is_due(kept(USER, STRANGER), NOW)


def test_the_last_administrator_is_tried_again_by_a_token_of_before_the_last_look() -> None:
    """Keycloak was asked since, and said what the token says: nothing newer may come before the token ends."""
    look = kept(replace(USER, issued=USER.issued + 5), LAST)
    assert USER.is_due(look, NOW)
    assert USER.is_tried_again(look)
    assert not replace(USER, rank=Rank.ADMINISTRATOR).is_due(look, NOW), "an older token says nothing else"
    assert not USER.is_due(replace(look, refusal=""), NOW)


def test_a_record_of_a_clock_that_went_wrong_is_not_believed_for_years() -> None:
    future = kept(replace(USER, issued=int(NOW) + LEEWAY + 1))
    assert USER.is_due(future, NOW)
    assert not USER.is_due(replace(future, issued=int(NOW) + LEEWAY), NOW)


@pytest.mark.parametrize("text", [None, "", "a", "a.b.c", "a.e30.c", "a.W10.c", "a.bnVsbA.c"])
def test_what_is_no_token_is_nobodys(text: str | None) -> None:
    assert subject(text) is None


def test_the_subject_of_a_token_is_read() -> None:
    assert subject(token("bob")) == "bob"
