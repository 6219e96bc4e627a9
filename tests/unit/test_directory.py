"""What MLflow is told of the realm's people, and what it takes for no answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mlflow_sso.groups import directory
from mlflow_sso.groups.directory import Account, Directory, DirectoryError, Person

from tests.unit.fakes import Asked, Fake, fake_server

REALM = "/admin/realms/acme"
TOKEN = "POST /realms/acme/protocol/openid-connect/token"
GROUPS = ("admins", "users")
SECRET = "s3cret-of-people"


def group(path: str, *roles: str) -> dict[str, object]:
    return {
        "id": f"id-{path.rpartition('/')[2]}",
        "path": path,
        "clientRoles": {"mlflow-groups": list(roles), "x": ["y"]},
    }


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_server() as fake:
        fake.routes[TOKEN] = 200, {"access_token": "token", "expires_in": 60}
        for name in GROUPS:
            fake.routes[f"GET {REALM}/group-by-path/{name}"] = 200, group(f"/{name}", name)
            fake.routes[f"GET {REALM}/groups/id-{name}/children"] = 200, []
            fake.routes[f"GET {REALM}/groups/id-{name}/members"] = 200, []
        yield fake


@pytest.fixture
def people(server: Fake) -> Directory:
    return Directory(Account(server.url, "acme", "mlflow-people", SECRET, "mlflow-groups"))


def one(number: int, *, enabled: bool = True) -> dict[str, object]:
    return {"id": f"p-{number}", "username": f"u{number}", "enabled": enabled}


def test_members_of_groups_and_of_those_within_and_none_who_is_disabled(server: Fake, people: Directory) -> None:
    server.routes[f"GET {REALM}/groups/id-users/members"] = 200, [one(1), one(2, enabled=False)]
    server.routes[f"GET {REALM}/groups/id-users/children"] = 200, [group("/users/interns"), group("/users/a", "admins")]
    for name, number in (("interns", 3), ("a", 4)):
        server.routes[f"GET {REALM}/groups/id-{name}/children"] = 200, []
        server.routes[f"GET {REALM}/groups/id-{name}/members"] = 200, [one(number)]
    server.routes[f"GET {REALM}/groups/id-admins/members"] = 200, [one(1)]
    found = people.members(GROUPS)
    assert found == {"p-1": {"admins", "users"}, "p-3": {"users"}, "p-4": {"admins", "users"}}
    assert server.times(TOKEN) == 1


def test_nobody_is_fetched_from_another_directory(server: Fake, people: Directory) -> None:
    """Whoever of those has an account is asked about by name."""
    server.routes[f"GET {REALM}/groups/id-users/children"] = 200, [group("/users/there")]
    server.routes[f"GET {REALM}/groups/id-there/children"] = 200, []
    there, sizes = [{**one(number), "federationLink": "ldap"} for number in range(9)], []

    def page(asked: Asked) -> tuple[int, object]:
        sizes.append(int(asked.query["max"]))
        return 200, there[: sizes[-1]]

    server.routes[f"GET {REALM}/groups/id-there/members"] = page
    assert people.members(GROUPS) == {}
    assert sizes == [1]
    server.routes[f"GET {REALM}/users/p-1"] = 200, there[1]
    server.routes[f"GET {REALM}/users/p-1/groups"] = 200, [group("/users/there")]
    assert people.person("p-1", GROUPS) == Person(True, frozenset({"users"}), elsewhere=True)


def test_all_pages_are_read(server: Fake, people: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_PAGE", 3)
    rows = [one(number) for number in range(7)]

    def page(asked: Asked) -> tuple[int, object]:
        first, most = int(asked.query["first"]), int(asked.query["max"])
        return 200, rows[first : first + most]

    server.routes[f"GET {REALM}/groups/id-users/members"] = page
    assert len(people.members(GROUPS)) == 7


def test_somebody_is_in_the_groups_that_their_tokens_would_name(server: Fake, people: Directory) -> None:
    people.members(GROUPS)
    server.routes[f"GET {REALM}/users/p-1"] = 200, one(1)
    here = [group("/customers/admins"), group("/users-of-acme")]
    server.routes[f"GET {REALM}/users/p-1/groups"] = 200, here
    assert people.person("p-1", GROUPS) == Person(True, frozenset())
    server.routes[f"GET {REALM}/users/p-1/groups"] = 200, [*here, group("/users/interns/new")]
    assert people.person("p-1", GROUPS) == Person(True, frozenset({"users"}))
    # By another group, and by one above it.
    server.routes[f"GET {REALM}/group-by-path/staff"] = 200, group("/staff", "admins", "unknown")
    server.routes[f"GET {REALM}/users/p-1/groups"] = 200, [group("/staff/it"), group("/all", "users")]
    assert people.person("p-1", GROUPS) == Person(True, frozenset(GROUPS))


def test_a_group_that_lost_its_role_is_as_in_tokens(server: Fake, people: Directory) -> None:
    server.routes[f"GET {REALM}/group-by-path/users"] = 200, group("/users")
    server.routes[f"GET {REALM}/groups/id-users/members"] = 200, [one(1)]
    assert people.members(GROUPS) == {"p-1": set()}


def test_who_is_disabled_and_who_is_gone(server: Fake, people: Directory) -> None:
    people.members(GROUPS)
    server.routes[f"GET {REALM}/users/p-1"] = 200, one(1, enabled=False)
    server.routes[f"GET {REALM}/users/p-1/groups"] = 200, [group("/users", "users")]
    assert people.person("p-1", GROUPS) == Person(False, frozenset({"users"}))
    assert people.person("p-2", GROUPS) is None
    server.routes[f"GET {REALM}/users/p-1"] = 200, {**one(1, enabled=False), "federationLink": "ldap"}
    assert people.person("p-1", GROUPS) == Person(False, frozenset({"users"}), elsewhere=True)


def test_a_realm_without_the_roles_is_another_one(server: Fake, people: Directory) -> None:
    for name in GROUPS:
        server.routes[f"GET {REALM}/group-by-path/{name}"] = 200, group(f"/{name}")
    with pytest.raises(DirectoryError, match="no group has a role of mlflow-groups"):
        people.members(GROUPS)


@pytest.mark.parametrize("status", [301, 401, 403, 500, 503])
def test_what_is_no_answer_means_nothing(server: Fake, people: Directory, status: int) -> None:
    server.routes[f"GET {REALM}/users/p-1"] = status, {}
    with pytest.raises(DirectoryError, match=str(status)):
        people.person("p-1", GROUPS)


def test_a_realm_without_the_groups_is_another_one(server: Fake, people: Directory) -> None:
    """As where something else answers 404 to everything: nobody is gone for that."""
    del server.routes[f"GET {REALM}/group-by-path/users"]
    with pytest.raises(DirectoryError, match="no group users"):
        people.members(GROUPS)


@pytest.mark.parametrize(("status", "answer"), [(401, {}), (500, {}), (200, "<html>")])
def test_a_login_that_fails_is_told_without_the_secret(
    server: Fake, people: Directory, status: int, answer: object
) -> None:
    server.routes[TOKEN] = status, answer
    with pytest.raises(DirectoryError) as caught:
        people.members(GROUPS)
    assert SECRET not in str(caught.value) + repr(caught.value.__context__)


def test_a_server_that_is_away_is_no_answer() -> None:
    account = Account("http://127.0.0.1:9", "acme", "mlflow-people", SECRET, "mlflow-groups")
    with pytest.raises(DirectoryError, match="does not answer"):
        Directory(account).members(GROUPS)
    assert SECRET not in repr(account)


def test_an_account_is_told_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("URL", "REALM", "CLIENT", "SECRET", "ROLES")
    for name in names:
        monkeypatch.setenv(f"MLFLOW_SSO_PEOPLE_{name}", name)
    assert Account.told() == Account(*names)
    monkeypatch.delenv("MLFLOW_SSO_PEOPLE_SECRET")
    assert Account.told() is None
