"""Which accounts a look at Keycloak changes, and which it leaves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest
from mlflow_sso.groups.directory import Directory, DirectoryError, Person
from mlflow_sso.groups.looks import Known, Looks
from mlflow_sso.groups.words import GONE, LAST, STRANGER, Kept, Rank, Words

ADMINS, USERS = "admins", "users"
NAMES = (ADMINS, USERS)
NOW = 1_000_000
RANKS = {ADMINS: Rank.ADMINISTRATOR, USERS: Rank.USER}


def rank(groups: Iterable[str]) -> Rank:
    return max((RANKS[group] for group in groups), default=Rank.STRANGER)


class People:
    """A directory in memory. hidden: whose groups the lists do not show; asked: whom somebody asked about."""

    def __init__(self, **people: Person | Exception | None) -> None:
        self.people, self.asked = people, list[str]()
        self.hidden = set[str]()

    def members(self, names: tuple[str, ...]) -> dict[str, set[str]]:
        here = {key: one for key, one in self.people.items() if isinstance(one, Person) and key not in self.hidden}
        return {key: set(one.groups) for key, one in here.items() if one.enabled and one.groups}

    def person(self, subject: str, names: tuple[str, ...]) -> Person | None:
        self.asked.append(subject)
        one = self.people.get(subject)
        if isinstance(one, Exception):
            raise one
        return one


def person(*groups: str, enabled: bool = True, elsewhere: bool = False) -> Person:
    return Person(enabled, frozenset(groups), elsewhere)


def kept(*groups: str, refusal: str = "", issued: int = NOW - 60) -> Kept:
    words = Words(groups, rank(groups), issued, NOW)
    return Kept(issued, words.rank, words.digest, refusal or ("" if groups else STRANGER))


def known(name: str, kept: Kept, *subjects: str, service: bool = False) -> Known:
    return Known(hash(name), name, service, subjects or (name,), kept)


def looks(people: People) -> Looks:
    return Looks(cast(Directory, people), NAMES, rank)


def due(people: People, *accounts: Known, began: int = NOW) -> dict[str, tuple[tuple[str, ...], Rank, str]]:
    found, _ = looks(people).due(accounts, began)
    return {account.username: (said.groups, said.rank, said.refusal) for account, said in found}


def test_who_is_as_tokens_said_is_left_and_not_even_asked_about() -> None:
    people = People(ann=person(USERS), bob=person(ADMINS, USERS))
    assert due(people, known("ann", kept(USERS)), known("bob", kept(ADMINS, USERS))) == {}
    assert people.asked == []


def test_whoever_left_or_is_disabled_or_gone_is_out_and_the_others_change() -> None:
    people = People(left=person(), off=person(USERS, enabled=False), down=person(USERS), up=person(ADMINS))
    names = {"left": USERS, "off": USERS, "gone": ADMINS, "down": ADMINS, "up": USERS}
    assert due(people, *(known(name, kept(group)) for name, group in names.items())) == {
        "left": ((), Rank.STRANGER, STRANGER),
        "off": ((USERS,), Rank.STRANGER, GONE),
        "gone": ((), Rank.STRANGER, GONE),
        "down": ((USERS,), Rank.USER, ""),
        "up": ((ADMINS,), Rank.ADMINISTRATOR, ""),
    }


@pytest.mark.parametrize("refusal", [STRANGER, GONE])
def test_who_is_out_costs_no_question_and_comes_back_with_a_group(refusal: str) -> None:
    people = People()
    account = known("ann", kept(USERS, refusal=refusal))
    assert due(people, account) == {}
    assert people.asked == []
    people.people["ann"] = person(USERS)
    assert due(people, account) == {"ann": ((USERS,), Rank.USER, "")}


def test_a_role_that_was_given_besides_counts_as_it_does_in_tokens() -> None:
    people = People(role=person(USERS), more=person(ADMINS, USERS))
    # Lists of members show neither.
    people.hidden = {"role"}
    people.members = lambda names: {"more": {USERS}}  # type: ignore[method-assign]
    assert due(people, known("role", kept(USERS)), known("more", kept(ADMINS, USERS))) == {}
    assert sorted(people.asked) == ["more", "role"]


def test_somebody_who_was_made_anew_is_there_by_the_newer_subject() -> None:
    people = People(new=person(USERS))
    for subjects in (("old", "new"), ("new", "old")):
        assert due(people, known("ann", kept(USERS), *subjects)) == {}
    people.people = {}
    assert due(people, known("ann", kept(USERS), "old", "new"))["ann"][2] == GONE


def test_a_directory_that_is_away_turns_nobody_out_for_a_while() -> None:
    people = People(ann=person(USERS, enabled=False, elsewhere=True))
    looking, account = looks(people), known("ann", kept(USERS))
    assert looking.due([account], NOW)[0] == []
    assert looking.due([account], NOW + 299)[0] == []
    people.people["ann"] = person(USERS, elsewhere=True)
    assert looking.due([account], NOW + 310)[0] == []
    people.people["ann"] = person(USERS, enabled=False, elsewhere=True)
    assert looking.due([account], NOW + 320)[0] == [], "it counts from anew"
    ((_, said),) = looking.due([account], NOW + 620)[0]
    assert said.refusal == GONE


def test_an_account_made_by_hand_that_no_token_told_of_is_left() -> None:
    people = People()
    assert due(people, known("robot", Kept(), service=True)) == {}
    assert people.asked == []
    assert due(people, known("robot", kept(USERS), service=True))["robot"][2] == GONE


def test_the_last_administrator_is_tried_again_until_another_one_has_come() -> None:
    assert due(People(ann=person(USERS)), known("ann", kept(USERS, refusal=LAST))) == {"ann": ((USERS,), Rank.USER, "")}


def test_one_question_without_an_answer_keeps_nobody_else() -> None:
    people = People(ann=DirectoryError("Keycloak answers 403"))
    found, trouble = looks(people).due([known("ann", kept(USERS)), known("bob", kept(USERS))], NOW)
    assert [account.username for account, _ in found] == ["bob"]
    assert trouble == "Keycloak answers 403"


def test_a_keycloak_that_went_away_meanwhile_changes_nothing() -> None:
    people = People(**{f"p{number}": DirectoryError("does not answer") for number in range(9)})
    with pytest.raises(DirectoryError, match="does not answer"):
        looks(people).due([known(f"p{number}", kept(USERS)) for number in range(9)], NOW)
    assert len(people.asked) == 3


def test_all_at_once_are_not_turned_out() -> None:
    accounts = [known(f"p{number}", kept(USERS)) for number in range(5)]
    with pytest.raises(DirectoryError, match="none of 5"):
        looks(People()).due(accounts, NOW)
    assert len(due(People(p0=person(USERS)), *accounts)) == 4
    assert len(due(People(), *accounts[:4])) == 4


def test_all_whom_another_directory_disabled_are_turned_out_in_the_end() -> None:
    """Keycloak says so of everybody there while that one does not answer: it is no sign of another realm."""
    accounts = [known(f"p{number}", kept(USERS)) for number in range(5)]
    looking = looks(People(**{f"p{number}": person(enabled=False, elsewhere=True) for number in range(5)}))
    assert looking.due(accounts, NOW) == ([], "")
    assert len(looking.due(accounts, NOW + 301)[0]) == 5


def test_what_was_seen_counts_as_of_the_begin_and_is_news_when_it_is_said() -> None:
    ((_, said),), _ = looks(People()).due([known("ann", kept(USERS))], NOW)
    assert said.issued == NOW
    assert said.is_due(kept(USERS), NOW)
    assert not said.is_due(kept(ADMINS, issued=NOW + 1), NOW), "a token of later says more"
