"""People of an OpenLDAP directory log in with their passwords there, and their groups there count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.realm.ldap import directory as defined
from components.realm_words import STORAGE
from settings.realm import Ldap
from tests.e2e.access.somebody import REFUSED, Somebody
from tests.e2e.directory import GROUPS_DN, GUEST, GUESTS_DN, PASSWORD, PEOPLE_DN, READER, Directory, group_dn
from tests.e2e.harness import ASK, Client, Stack, eventually, run_in
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.people import Person as Login
from tests.e2e.waits import look_again, looks

MANY = tuple(f"p{number:03}" for number in range(500))
STRANGE = "Cleo.M+x"
PEOPLE = ("ada", "ben", STRANGE, "dan", "eve", "fay", "gus", "ida", "alice", *MANY)
ADMINS_THERE = "ML Admins (all)"
GROUPS = {
    ADMINS_THERE: ("ada", "gus"),
    "ml*users": (STRANGE, "ben", "fay", "ida", "&team", *MANY),
    "team": ("eve",),
    # Of another unit, by the name of the administrators' group.
    f"decoys/{ADMINS_THERE}": ("dan", "ben"),
    "mlflow-admins": ("dan", "ben"),
}
# Seconds after which a change in the directory counts with a new token, and MLflow's looks until it does without one.
FRESH, LOOKS = 30, 2


@pytest.fixture(scope="module")
def directory(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    made = Directory(tmp_path_factory.mktemp(f"directory-{engine}"), PEOPLE, GROUPS)
    with made.running():
        yield made


def settings(directory: Directory, **more: Any) -> dict[str, Any]:
    return {
        "name": "acme",
        "urls": [directory.secure_url],
        "bindDn": READER,
        "bindPassword": directory.password,
        "usersDn": PEOPLE_DN,
        "groupsDn": GROUPS_DN,
        # The one by its place, which no other group has; the others by name.
        "groups": {group_dn(ADMINS_THERE): "mlflow-admins", "ml*users": "mlflow-users"},
        **more,
    }


@pytest.fixture(scope="module")
def stack(engine: str, directory: Directory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    more = {"urls": [directory.url], "startTls": True} if engine == "compose" else {}
    guests = {
        "name": "guests", "usersDn": GUESTS_DN, "groups": {}, "defaultGroups": ["mlflow-users"],
        # Where the first one is nobody's.
        "urls": [directory.secure_url.replace(str(directory.ports[1]), "1"), directory.secure_url],
    }  # fmt: skip
    made = Stack.make(
        engine, tmp_path_factory.mktemp("people"), caBundle=str(directory.authority),
        realm={"ldap": [settings(directory, **more), settings(directory, **guests)]},
    )  # fmt: skip
    with made.running():
        yield made


def somebody(stack: Stack, name: str, password: str = PASSWORD) -> Somebody:
    outputs = stack.outputs()
    return Somebody(Client(outputs), KeycloakAdmin(outputs), name, "", password)


def fetched(stack: Stack) -> set[str]:
    """Those of the directory whom Keycloak keeps. Its own lists of people fetch everybody there."""
    asked = "SELECT username FROM user_entity WHERE federation_link IS NOT NULL"
    return set(run_in(stack.container("postgres"), "bash", "-c", ASK, "ask", "keycloak", asked).split())


@pytest.mark.parametrize(
    ("name", "standing"),
    [
        ("ada", "administrator"),
        ("ben", "mlflow-users"),
        (STRANGE, "mlflow-users"),
        ("dan", REFUSED),
        (GUEST, "mlflow-users"),
    ],
)
def test_people_come_in_with_the_rights_of_their_groups(stack: Stack, name: str, standing: str) -> None:
    one = somebody(stack, name)
    assert one.bearer() == standing
    if standing != REFUSED:
        assert one.pages(one.browser()) == standing
    answer = Client(stack.outputs()).grant(
        grant_type="password", client_id=stack.outputs()["client_id"], username=name, password="of nobody",
        client_secret=stack.outputs()["client_secret"],
    )  # fmt: skip
    assert answer.json() == {"error": "invalid_grant", "error_description": "Invalid user credentials"}


def test_a_group_in_a_group_of_openldap_is_none(stack: Stack) -> None:
    assert somebody(stack, "eve").bearer() == REFUSED


def test_one_of_many_comes_in_and_the_others_are_not_fetched(stack: Stack) -> None:
    assert somebody(stack, MANY[321]).bearer() == "mlflow-users"
    # MLflow looks at who is there, of whom one came.
    look_again(stack)
    kept = fetched(stack)
    assert MANY[321] in kept
    assert len(kept) < 20
    # Somebody who is here already is not somebody of the directory's who has the same name.
    assert "alice" not in kept
    assert somebody(stack, "alice").bearer() == REFUSED
    assert somebody(stack, "alice", stack.outputs()["users"]["alice"]["password"]).bearer() == "administrator"


def test_what_happens_in_the_directory_counts_within_a_stated_time(stack: Stack, directory: Directory) -> None:
    happens: dict[str, tuple[Callable[[], None], str]] = {
        "fay": (lambda: directory.leave("fay", "ml*users"), REFUSED),
        "ida": (lambda: directory.join("ida", ADMINS_THERE), "administrator"),
        "gus": (lambda: directory.remove("gus"), REFUSED),
    }
    people = {name: somebody(stack, name) for name in happens}
    given = {}
    for name, one in people.items():
        before = one.bearer()
        personal, browser = given[name] = one.personal_token(), one.browser()
        assert (one.personal(personal), one.pages(browser)) == (before, before)
    for happen, _ in happens.values():
        happen()
    time.sleep(FRESH)

    def found() -> dict[str, str]:
        """Nobody comes with a new token."""
        return {name: one.personal(given[name][0]) for name, one in people.items()}

    after_all = {name: after for name, (_, after) in happens.items()}
    assert looks(stack, found, after_all.__eq__, "what personal tokens are good for") <= LOOKS
    for name, one in people.items():
        after = happens[name][1]
        if after == REFUSED:
            assert one.pages(given[name][1]) == REFUSED
        assert one.bearer() == after


def test_a_directory_that_is_away_takes_nobody_else_along(stack: Stack, directory: Directory) -> None:
    one = somebody(stack, "ben")
    assert one.bearer() == "mlflow-users"
    personal = one.personal_token()
    directory.stop()
    try:
        assert somebody(stack, "alice", stack.outputs()["users"]["alice"]["password"]).bearer() == "administrator"
        said = stack.up(check=False)
        assert said.returncode == 0, said.stderr
        found = stack.stackctl("doctor", check=False)
        assert "directory" in found.stdout + found.stderr
        look_again(stack)
        assert one.personal(personal) == "mlflow-users"
    finally:
        directory.start()
    eventually(one.bearer, lambda found: found == "mlflow-users", "the directory is back", 300)


def test_revoke_ends_the_access_of_somebody_of_the_directory(stack: Stack, tmp_path: Path) -> None:
    one = somebody(stack, MANY[7])
    personal = one.personal_token()
    alice = Login(stack, "alice", tmp_path)
    alice.log_in()
    alice.run("revoke", MANY[7], "--everything", "--disable", "--yes")
    assert one.personal(personal) == REFUSED
    assert one.bearer() == REFUSED


def test_a_second_up_changes_nothing_and_a_wrong_password_changes_nothing(stack: Stack, directory: Directory) -> None:
    assert "directory acme" not in stack.up().stderr
    declared = stack.config["realm"]["ldap"][0]
    keycloak = KeycloakAdmin(stack.outputs())

    def component() -> dict[str, Any]:
        (found,) = keycloak.get(f"/{keycloak.realm}/components?type={STORAGE}&name=acme")
        return dict(found)

    before = component()
    right = {key: declared[key] for key in ("bindPassword", "urls")}
    nowhere = f"{declared['urls'][0].partition(':')[0]}://nowhere.invalid"
    wrong = {"bindPassword": ("of nobody", "bindDn"), "urls": ([nowhere], "urls")}
    for key, (value, named) in wrong.items():
        declared[key] = value
        said = stack.up(check=False)
        assert said.returncode != 0
        assert f"realm.ldap: acme: {named}" in said.stderr, said.stderr
        assert "of nobody" not in said.stderr
        assert component() == before
        declared |= right
    # Another password there, and here.
    directory.change(READER, "replace: userPassword", "userPassword: another-of-keycloak")
    try:
        declared["bindPassword"] = "another-of-keycloak"
        stack.up()
        assert somebody(stack, MANY[11]).bearer() == "mlflow-users"
    finally:
        directory.change(READER, "replace: userPassword", f"userPassword: {directory.password}")
        declared |= right
        stack.up()
    assert somebody(stack, MANY[12]).bearer() == "mlflow-users"


def test_both_engines_write_what_the_settings_say(stack: Stack) -> None:
    keycloak = KeycloakAdmin(stack.outputs())
    (found,) = keycloak.get(f"/{keycloak.realm}/components?type={STORAGE}&name=acme")
    declared = defined(Ldap.model_validate(stack.config["realm"]["ldap"][0]))
    assert {key: found["config"].get(key) for key in declared.config} == {k: [v] for k, v in declared.config.items()}
    assert found["config"]["bindCredential"] == ["**********"]
    mappers = keycloak.get(f"/{keycloak.realm}/components?parent={found['id']}")
    assert {one["name"]: (one["providerId"], one["config"]) for one in mappers} == {
        name: (mapper.kind, {key: [value] for key, value in mapper.config.items()})
        for name, mapper in declared.mappers.items()
    }


def test_a_directory_that_is_declared_no_more_lets_nobody_in(stack: Stack) -> None:
    one = somebody(stack, MANY[20])
    assert one.bearer() == "mlflow-users"
    personal = one.personal_token()
    stack.config["realm"]["ldap"] = []
    stack.up()
    for ask in (lambda: one.personal(personal), one.bearer):
        assert looks(stack, ask, REFUSED.__eq__, "the end of what was given out") <= LOOKS
    assert fetched(stack) == set()
