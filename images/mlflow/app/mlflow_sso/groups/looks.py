"""Which accounts differ from what Keycloak says of their owners, when it is asked for all of them."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mlflow_sso.groups.directory import Directory, DirectoryError, Person
from mlflow_sso.groups.words import GONE, OUT, Kept, Rank, Words

# Seconds for which what was seen is news.
_HOLDS = 120
# Seconds for which somebody whom another directory keeps has to be disabled: Keycloak says so of everybody there, too,
# while that one does not answer (`UserStorageManager`, 26).
_PATIENCE = 300
# Answers about people that may fail before nobody is asked about any more.
_FAILURES = 3
# So many accounts are not all refused at once: then it is another realm, or the subjects of tokens are no ids.
_MANY = 5


@dataclass(frozen=True)
class Known:
    """An account whose owner logs in at Keycloak. subjects: of their tokens; several where they were made anew."""

    id: int
    username: str
    is_service_account: bool
    subjects: tuple[str, ...]
    kept: Kept


@dataclass
class Looks:
    """Looks again and again. names: the groups that count; rank: what some of them make of somebody."""

    directory: Directory
    names: tuple[str, ...]
    rank: Callable[[list[str]], Rank]
    _doubted: dict[str, float] = field(default_factory=dict)

    def due(self, accounts: Sequence[Known], began: int) -> tuple[list[tuple[Known, Words]], str]:
        """The accounts that are to be brought to something, and what could not be found out, if anything.

        began: seconds since the epoch; a token of later says more. Raises DirectoryError, and then knows nothing.
        """
        present = self.directory.members(self.names)
        found: list[tuple[Known, Words]] = []
        troubles: list[str] = []
        # Whom another directory has disabled: that many of them are no sign of another realm.
        elsewhere: set[int] = set()
        for account in accounts:
            if account.is_service_account and not account.kept.issued:
                # Made by hand, for programs whose tokens never told of a group.
                continue
            groups = set().union(*(present.get(subject, ()) for subject in account.subjects))
            if groups:
                if _agrees(self._words(Person(True, frozenset(groups)), began), account.kept):
                    self._doubted.pop(account.username, None)
                    continue
            elif account.kept.refusal in OUT:
                continue
            # Whom the lists do not show, or show otherwise than tokens did, is asked about: roles may be given besides.
            try:
                said = self._asked(account, began, elsewhere)
            except DirectoryError as error:
                troubles.append(str(error))
                if len(troubles) == _FAILURES:
                    raise
                continue
            if said is not None and not _agrees(said, account.kept):
                found.append((account, said))
        _refuse_all(accounts, [each for each in found if each[0].id not in elsewhere])
        return found, troubles[0] if troubles else ""

    def _asked(self, account: Known, began: int, elsewhere: set[int]) -> Words | None:
        """What is known of the owner; None where that has to be seen for longer.

        elsewhere: where the account is noted, if another directory has disabled the owner.
        """
        people = [self.directory.person(subject, self.names) for subject in account.subjects]
        here = [person for person in people if person is not None and person.enabled]
        if here:
            self._doubted.pop(account.username, None)
            return self._words(Person(True, frozenset().union(*(person.groups for person in here))), began)
        doubted = any(person is not None and person.elsewhere for person in people)
        if doubted and began - self._doubted.setdefault(account.username, began) < _PATIENCE:
            return None
        self._doubted.pop(account.username, None)
        if doubted:
            elsewhere.add(account.id)
        return self._words(next((person for person in people if person is not None), None), began)

    def _words(self, person: Person | None, began: int) -> Words:
        groups, until = sorted(person.groups) if person else [], time.time() + _HOLDS
        if person is None or not person.enabled:
            return Words(tuple(groups), Rank.STRANGER, began, until, GONE)
        return Words(tuple(groups), self.rank(groups), began, until)


def _agrees(said: Words, kept: Kept) -> bool:
    """Whether an account is as it should be. One that the plugin keeps as the last administrator is tried again."""
    return (said.digest, said.refusal) == (kept.digest, kept.refusal)


def _refuse_all(accounts: Sequence[Known], found: Iterable[tuple[Known, Words]]) -> None:
    inside = sum(account.kept.refusal not in OUT for account in accounts if account.kept.issued)
    out = sum(bool(said.refusal) for account, said in found if account.kept.issued and account.kept.refusal not in OUT)
    if out >= _MANY and out == inside:
        raise DirectoryError(f"none of {out} accounts would be left")
