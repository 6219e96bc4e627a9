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


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_server() as fake:
        fake.routes[TOKEN] = 200, {"access_token": "token", "expires_in": 60}
        for name in GROUPS:
            fake.routes[f"GET {REALM}/group-by-path/{name}"] = 200, {"id": f"id-{name}"}
            fake.routes[f"GET {REALM}/groups/id-{name}/children"] = 200, []
            fake.routes[f"GET {REALM}/groups/id-{name}/members"] = 200, []
            roles = {"clientMappings": {"mlflow-groups": {"id": "owner", "mappings": [{"name": name}]}}}
            fake.routes[f"GET {REALM}/groups/id-{name}/role-mappings"] = 200, roles
        yield fake


@pytest.fixture
def people(server: Fake) -> Directory:
    return Directory(Account(server.url, "acme", "mlflow-people", SECRET, "mlflow-groups"))


def one(number: int, *, enabled: bool = True) -> dict[str, object]:
    return {"id": f"p-{number}", "username": f"u{number}", "enabled": enabled}


def test_members_of_groups_and_of_those_within_and_none_who_is_disabled(server: Fake, people: Directory) -> None:
    server.routes[f"GET {REALM}/groups/id-users/members"] = 200, [one(1), one(2, enabled=False)]
    server.routes[f"GET {REALM}/groups/id-users/children"] = 200, [{"id": "interns"}]
    server.routes[f"GET {REALM}/groups/interns/children"] = 200, []
    server.routes[f"GET {REALM}/groups/interns/members"] = 200, [one(3)]
    server.routes[f"GET {REALM}/groups/id-admins/members"] = 200, [one(1)]
    assert people.members(GROUPS) == {"p-1": {"admins", "users"}, "p-3": {"users"}}
    assert server.times(TOKEN) == 1


def test_all_pages_are_read(server: Fake, people: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_PAGE", 3)
    rows = [one(number) for number in range(7)]

    def page(asked: Asked) -> tuple[int, object]:
        first, most = int(asked.query["first"]), int(asked.query["max"])
        return 200, rows[first : first + most]

    server.routes[f"GET {REALM}/groups/id-users/members"] = page
    assert len(people.members(GROUPS)) == 7


COMPOSITE = f"GET {REALM}/users/p-1/role-mappings/clients/owner/composite"


def test_somebody_is_in_the_groups_that_their_tokens_would_name(server: Fake, people: Directory) -> None:
    people.members(GROUPS)
    server.routes[f"GET {REALM}/users/p-1"] = 200, one(1)
    server.routes[COMPOSITE] = 200, []
    assert people.person("p-1", GROUPS) == Person(True, frozenset())
    server.routes[COMPOSITE] = 200, [{"name": "admins"}, {"name": "x"}]
    assert people.person("p-1", GROUPS) == Person(True, frozenset({"admins"}))


def test_who_is_disabled_and_who_is_gone(server: Fake, people: Directory) -> None:
    people.members(GROUPS)
    server.routes[f"GET {REALM}/users/p-1"] = 200, one(1, enabled=False)
    server.routes[COMPOSITE] = 200, [{"name": "users"}]
    assert people.person("p-1", GROUPS) == Person(False, frozenset({"users"}))
    assert people.person("p-2", GROUPS) is None
    server.routes[f"GET {REALM}/users/p-1"] = 200, {**one(1, enabled=False), "federationLink": "ldap"}
    assert people.person("p-1", GROUPS) == Person(False, frozenset({"users"}), elsewhere=True)


def test_a_realm_without_the_roles_is_another_one(server: Fake, people: Directory) -> None:
    for name in GROUPS:
        server.routes[f"GET {REALM}/groups/id-{name}/role-mappings"] = 200, {}
    with pytest.raises(DirectoryError, match="no group has a role of mlflow-groups"):
        people.members(GROUPS)


def test_roles_that_were_made_anew_are_found_again(server: Fake, people: Directory) -> None:
    people.members(GROUPS)
    server.routes[f"GET {REALM}/users/p-1"] = 200, one(1)
    with pytest.raises(DirectoryError, match="no client mlflow-groups"):
        people.person("p-1", GROUPS)
    server.routes[f"GET {REALM}/groups/id-admins/role-mappings"] = (
        200,
        {"clientMappings": {"mlflow-groups": {"id": "n"}}},
    )
    people.members(GROUPS)
    server.routes[COMPOSITE.replace("owner", "n")] = 200, [{"name": "users"}]
    assert people.person("p-1", GROUPS) == Person(True, frozenset({"users"}))


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
