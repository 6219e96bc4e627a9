"""What takes differences between people and their declaration away, and what is left to a person."""

from __future__ import annotations

from typing import cast

import pytest
from mlflow_sso_client.errors import RefusedError

from components.realm.spec import RealmSpec
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.clients.mlflow_api import MlflowApi, PluginUser
from stackctl.people import drift, mending
from stackctl.people.drift import Actual
from tests.unit.test_drift import ADMINS, USERS, spec


class Servers:
    """Both servers in memory. held: the groups of each person, by path."""

    def __init__(self, **held: tuple[str, ...]) -> None:
        self.held: dict[str, set[str]] = {name: set(paths) for name, paths in held.items()}
        self.disabled: set[str] = set()
        self.deactivated: list[str] = []
        self.groups = [ADMINS, USERS]
        # Who comes after everybody was listed.
        self.newcomers: list[str] = []

    # As KeycloakAdmin and MlflowApi have them: an id is the name again.

    def pages(self, path: str) -> list[dict[str, str]]:
        assert path == "/groups"
        return [{"name": group, "id": group} for group in self.groups]

    def memberships(self, user: str) -> dict[str, str]:
        return {path: path for path in self.held[user]}

    def join(self, user: str, group: str) -> None:
        self.held[user].add(group)

    def leave(self, user: str, group: str) -> None:
        self.held[user].remove(group)

    def set_active(self, name: str, *, active: bool) -> None:
        assert not active
        self.deactivated.append(name)

    @property
    def actual(self) -> dict[str, Actual]:
        return {name: Actual(name not in self.disabled, tuple(paths), name) for name, paths in self.held.items()}

    def rows(self, *accounts: PluginUser) -> list[drift.Row]:
        return drift.user_rows(spec(), self.actual, {one.username: one for one in accounts})

    def get(self, path: str, **asked: str) -> list[str]:
        assert path == "/users"
        return [name for name in (*self.held, *self.newcomers) if name in asked.values()]

    def mends(self, *accounts: PluginUser, asked: tuple[str, ...] = ()) -> list[mending.Mend]:
        keycloak, mlflow = cast(KeycloakAdmin, self), cast(MlflowApi, self)
        return mending.mends(self.rows(*accounts), self.actual, keycloak, mlflow, asked)

    def mended(self, *accounts: PluginUser, asked: tuple[str, ...] = ()) -> list[str]:
        """What is said of each change; all are done."""
        found = self.mends(*accounts, asked=asked)
        for one in found:
            one.take()
        return [f"{one.name}: {one.words}" for one in found if one.action]


def account(name: str, *, admin: bool = False) -> PluginUser:
    return PluginUser(name, admin, False, True)


def test_declared_people_are_in_their_groups_again_and_then_nothing_differs() -> None:
    servers = Servers(alice=(ADMINS,), bob=(f"{ADMINS}/team", ADMINS, "others"))
    assert servers.mended() == [
        f"bob: joins {USERS}", f"bob: leaves {ADMINS}", f"bob: leaves {ADMINS}/team",
    ]  # fmt: skip
    assert servers.held["bob"] == {USERS, "others"}
    assert servers.mends() == []


def test_a_group_elsewhere_with_the_same_last_part_is_no_difference() -> None:
    assert Servers(alice=(ADMINS,), bob=(USERS, f"customers/{ADMINS}")).mends() == []


def test_who_is_in_a_group_below_the_declared_one_is_in_it() -> None:
    assert Servers(alice=(f"{ADMINS}/leads",), bob=(f"{USERS}/team",)).mends() == []


def test_an_account_of_somebody_who_is_gone_ends_if_that_is_said() -> None:
    servers, accounts = Servers(alice=(ADMINS,), bob=(USERS,)), (account("alice", admin=True), account("carol"))
    (left,) = servers.mends(*accounts)
    assert (left.action, left.words.endswith("--gone ends that")) == (None, True)
    said = servers.mended(*accounts, asked=("--gone",))
    assert said == ["carol: is deactivated in MLflow; sessions end, and personal tokens are deleted"]
    assert servers.deactivated == ["carol"]


def test_who_came_meanwhile_keeps_the_account() -> None:
    servers = Servers(alice=(ADMINS,), bob=(USERS,))
    (found,) = servers.mends(account("carol"), asked=("--gone",))
    servers.newcomers = ["carol"]
    with pytest.raises(RefusedError, match="carol"):
        found.take()
    assert servers.deactivated == []


@pytest.mark.parametrize(
    "one",
    [
        PluginUser("ci-bot", False, True, True),
        PluginUser("x", False, False, None),
        PluginUser("bob", False, False, True),
    ],
    ids=["of MLflow's own", "of a plugin without states", "declared"],
)
def test_an_account_that_may_be_meant_is_left(one: PluginUser) -> None:
    servers = Servers(alice=(ADMINS,))
    assert servers.mended(one, asked=("--gone", "--undeclared")) == []
    assert servers.deactivated == []
    assert one.username in {mend.name for mend in servers.mends(one)}


def test_people_whom_nobody_declared_leave_only_if_that_is_said() -> None:
    servers = Servers(alice=(ADMINS,), bob=(USERS,), mallory=(f"{ADMINS}/x", "others"))
    (left,) = servers.mends()
    assert (left.name, left.action) == ("mallory", None)
    assert "--undeclared" in left.words
    assert servers.mended(asked=("--undeclared",)) == [f"mallory: leaves {ADMINS}/x"]
    assert servers.held["mallory"] == {"others"}


def test_what_a_person_has_to_decide_is_told_and_left() -> None:
    servers = Servers(alice=(ADMINS,), bob=(USERS,))
    servers.disabled = {"bob"}
    (left,) = servers.mends()
    assert (left.action, left.words) == (None, "disabled in Keycloak: `stackctl users enable bob`")
    del servers.held["bob"]
    (left,) = servers.mends()
    assert left.action is None


def test_what_ends_at_the_next_token_is_left_to_that() -> None:
    servers = Servers(alice=(ADMINS,), bob=(USERS,))
    assert servers.mends(account("alice"), account("bob", admin=True)) == []


def test_a_group_that_is_not_there_is_made_by_up() -> None:
    servers = Servers(alice=(ADMINS,), bob=())
    servers.groups = [ADMINS]
    (left,) = servers.mends()
    assert (left.action, left.words) == (None, f"not in {USERS}: `stackctl up` makes the group")


@pytest.mark.parametrize(
    ("held", "disabled", "refused"),
    [
        ({"alice": (USERS,), "bob": (USERS, ADMINS)}, "", False),
        ({"bob": (USERS, ADMINS)}, "", True),
        ({"alice": (ADMINS,), "bob": (USERS, ADMINS)}, "alice", True),
        ({"alice": (ADMINS,), "bob": (USERS, ADMINS)}, "", False),
        ({"bob": (USERS,), "mallory": (ADMINS,)}, "", True),
        ({"bob": ()}, "", False),
        ({"bob": (f"{ADMINS}/a", f"{ADMINS}/b")}, "", True),
    ],
)
def test_the_last_administrator_stays(held: dict[str, tuple[str, ...]], disabled: str, refused: bool) -> None:
    servers = Servers(**held)
    servers.disabled = {disabled}
    taken = [one for one in servers.mends(asked=("--undeclared",)) if one.action]
    realm: RealmSpec = spec()
    if refused:
        with pytest.raises(RefusedError, match=ADMINS):
            mending.refuse_none_left(realm, servers.actual, taken)
    else:
        mending.refuse_none_left(realm, servers.actual, taken)
