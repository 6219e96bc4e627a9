"""Groups count at the next token, in both directions, with every kind of credentials."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import requests

from components.realm.spec import GROUPS_MAPPER
from tests.e2e.access.happening import (
    ADMINISTRATOR,
    ADMINS,
    BEFORE,
    EVENTS,
    LIFETIME,
    LOOKS,
    OTHERS,
    SILENT,
    USERS,
    alice,
    client,
    demoted,
    keycloak,
    lasting,
    left,
    moved,
    promoted,
    some,
)
from tests.e2e.access.somebody import REFUSED, Somebody
from tests.e2e.asking import V2, Person
from tests.e2e.harness import Client, Stack, eventually
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.keycloak import claims as claims_of
from tests.e2e.waits import lasted, looks

# One worker of pytest-xdist, and so one stack, for all of these.
pytestmark = pytest.mark.xdist_group("groups")
__all__ = ["alice", "client", "keycloak", "lasting", "some"]


def _bearer(one: Somebody) -> Callable[[], str]:
    return one.bearer


def _page(one: Somebody) -> Callable[[], str]:
    browser = one.browser()
    return lambda: one.pages(browser)


def _personal_after_bearer(one: Somebody) -> Callable[[], str]:
    token = one.personal_token()

    def ask() -> str:
        one.bearer()
        return one.personal(token)

    return ask


def _personal_after_page(one: Somebody) -> Callable[[], str]:
    token, browser = one.personal_token(), one.browser()

    def ask() -> str:
        one.pages(browser)
        return one.personal(token)

    return ask


WAYS = {
    "bearer": ("person", _bearer),
    "page": ("person", _page),
    "personal token after a bearer": ("person", _personal_after_bearer),
    "personal token after a page": ("person", _personal_after_page),
    "service account": ("account", _bearer),
    "service account's personal token": ("account", _personal_after_bearer),
}


# Nobody's token says it then, and a personal token ends as MLflow asks Keycloak: see below.
CELLS = [(event, way) for event in EVENTS for way in WAYS if not (event in SILENT and "personal" in way)]


@pytest.mark.parametrize(("event", "way"), CELLS)
def test_groups_count_at_the_next_token(some: Callable[..., Somebody], event: str, way: str) -> None:
    happen, group, after = EVENTS[event]
    kind, credentials = WAYS[way]
    one = some(group, kind)
    assert one.bearer() == BEFORE[group]
    ask = credentials(one)
    assert ask() == BEFORE[group]
    # Two tokens of one second are not told apart.
    time.sleep(1.1)
    happen(one)
    start = time.monotonic()
    if "page" in way or event in SILENT:
        # What was given out before says it until it ends.
        spent = lasted(ask, lambda found: found == after, f"{event} by {way}", start)
        assert spent <= LIFETIME + 2, f"{event} by {way} counted after {spent:.0f} s"
    else:
        assert after in (ask(), ask())
    assert ask() == after


def test_a_personal_token_counts_though_its_owner_never_comes(
    some: Callable[..., Somebody], short_lived: Stack
) -> None:
    """All events and kinds of owners at once, as each waits for the same look at Keycloak."""
    asked: dict[str, tuple[Callable[[], str], str]] = {}
    for event, (happen, group, after) in EVENTS.items():
        for kind in ("person", "account"):
            one = some(group, kind)
            token = one.personal_token()
            assert one.personal(token) == BEFORE[group]
            # A client that is disabled is still one, with its account: only its right to a new token is gone.
            stays = event == "disabled" and kind == "account"
            asked[f"{event} {kind}"] = partial(one.personal, token), BEFORE[group] if stays else after
            happen(one)
    expected = {what: after for what, (_, after) in asked.items()}
    spent = looks(
        short_lived, lambda: {what: ask() for what, (ask, _) in asked.items()}, expected.__eq__, "what MLflow has seen"
    )
    assert spent <= LOOKS


def test_who_is_enabled_again_comes_in_again(some: Callable[..., Somebody], short_lived: Stack, client: Client) -> None:
    one = some()
    token = one.personal_token()
    time.sleep(1.1)
    one.disable()
    assert looks(short_lived, lambda: one.personal(token), REFUSED.__eq__, "the end") <= LOOKS
    url = f"{client.outputs['mlflow_url']}{V2}/users/current"
    assert "disabled or gone" in requests.get(url, auth=(one.name, token), timeout=30).text
    one.enable()
    assert looks(short_lived, lambda: one.personal(token), USERS.__eq__, "the return") <= LOOKS


@pytest.mark.usefixtures("lasting")
def test_the_account_that_looks_sees_people_and_nothing_else(client: Client, keycloak: KeycloakAdmin) -> None:
    known = client.outputs["people"]
    login = {"client_id": known["client_id"], "client_secret": known["client_secret"]}
    token = client.grant(grant_type="client_credentials", **login).json()["access_token"]
    assert client.mlflow(f"{V2}/users/current", token).status_code == 401
    base = f"{client.outputs['keycloak_url']}/admin/realms"
    realm = f"{base}/{keycloak.realm}"
    found = {}
    for path in ("/users", "/groups", "/clients", "/roles", "/events", "/identity-provider/instances", "/components"):
        answer = requests.get(f"{realm}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        found[path] = answer.status_code if answer.status_code != 200 or answer.json() else "nothing"
    assert (found.pop("/users"), found.pop("/groups")) == (200, 200)
    assert set(found.values()) <= {403, "nothing"}, found
    body = {"username": "made", "enabled": True}
    made = requests.post(f"{realm}/users", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert made.status_code == 403


def test_a_refusal_says_why(some: Callable[..., Somebody], client: Client) -> None:
    one = some()
    one.bearer()
    left(one)
    answer = client.mlflow(f"{V2}/users/current", one.token())
    assert (answer.status_code, "none of the groups" in answer.text) == (401, True)


def test_who_is_in_again_comes_in_again(some: Callable[..., Somebody]) -> None:
    one = some()
    personal, browser = one.personal_token(), one.browser()
    time.sleep(1.1)
    left(one)
    assert one.bearer() == REFUSED
    assert (one.personal(personal), one.pages(browser)) == (REFUSED, REFUSED)
    one.join(USERS)
    time.sleep(1.1)
    assert one.bearer() == USERS
    assert one.personal(personal) == USERS
    assert one.pages(browser) == REFUSED, "a session that has ended is there again"
    assert one.pages(one.browser()) == USERS


def test_a_login_says_it_for_the_other_credentials(some: Callable[..., Somebody]) -> None:
    one = some()
    personal = one.personal_token()
    time.sleep(1.1)
    left(one)
    with pytest.raises(AssertionError):
        assert one.pages(one.browser()) == USERS
    assert one.personal(personal) == REFUSED
    one.join(OTHERS)
    time.sleep(1.1)
    assert one.pages(one.browser()) == OTHERS
    assert one.personal(personal) == OTHERS


@pytest.mark.usefixtures("lasting")
def test_an_older_token_undoes_nothing(some: Callable[..., Somebody]) -> None:
    """Two processes, each of which hears both tokens by turns."""
    one = some(ADMINS)
    older = one.token()
    assert one.bearer(older) == ADMINISTRATOR
    time.sleep(1.1)
    demoted(one)
    newer = one.token()
    found: dict[str, set[str]] = {older: set(), newer: set()}
    assert one.bearer(newer) == USERS

    def ask(token: str) -> None:
        for _ in range(15):
            found[token].add(one.bearer(token))

    threads = [threading.Thread(target=ask, args=(token,)) for token in (older, newer) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {older: {USERS}, newer: {USERS}}


@pytest.mark.usefixtures("lasting")
def test_the_newest_of_many_tokens_wins_in_all_processes(some: Callable[..., Somebody]) -> None:
    """Tokens of which one says another thing than the next, heard at once and out of order."""
    one = some()
    one.bearer()
    tokens = []
    for happen in (left, promoted, demoted, moved):
        time.sleep(1.1)
        happen(one)
        tokens.append(one.token())
    threads = [threading.Thread(target=one.bearer, args=(token,)) for token in tokens[::-1] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(claims_of(token)["exp"] > time.time() for token in tokens), "a token ended before it was heard"
    assert [claims_of(token).get("groups") for token in tokens] == [None, [ADMINS], [USERS], [OTHERS]]
    assert {one.bearer(tokens[-1]) for _ in range(6)} == {OTHERS}


@pytest.mark.usefixtures("lasting")
def test_the_last_administrator_is_kept_and_not_let_in(some: Callable[..., Somebody], alice: Person) -> None:
    helper = some(ADMINS)
    assert helper.bearer() == ADMINISTRATOR
    personal = helper.personal_token()
    (found,) = helper.keycloak.get(f"/{helper.keycloak.realm}/users?username=alice&exact=true")
    password = helper.client.outputs["users"]["alice"]["password"]
    her = Somebody(helper.client, helper.keycloak, "alice", found["id"], password)
    time.sleep(1.1)
    demoted(her)
    try:
        assert her.bearer() == USERS
        demoted(helper)
        answer = helper.client.mlflow(f"{V2}/users/current", helper.token())
        assert (answer.status_code, "only administrator" in answer.text) == (401, True)
        assert helper.personal(personal) == REFUSED
    finally:
        time.sleep(1.1)
        her.leave(USERS)
        her.join(ADMINS)
        assert her.bearer() == ADMINISTRATOR
    # The same token, as soon as there is another administrator.
    token = helper.shown
    eventually(lambda: helper.bearer(token), lambda found: found == USERS, "the demotion")
    assert helper.personal(personal) == USERS


def _made_by_hand(one: Somebody, alice: Person) -> None:
    """Makes the account of a client in MLflow, as an administrator does it."""
    subject = {"subject": claims_of(one.token())["sub"], "service_account_source": "default"}
    body = {"username": one.name, "display_name": one.name, "is_admin": False, "is_service_account": True, **subject}
    assert alice.ask("POST", f"{V2}/users", body).status_code in (200, 201)


def test_an_account_made_by_hand_goes_on_where_its_tokens_tell_of_no_groups(
    some: Callable[..., Somebody], alice: Person, keycloak: KeycloakAdmin
) -> None:
    one = some(OTHERS, "account")
    client = f"/{keycloak.realm}/clients/{one.service}"
    (mapper,) = [each for each in keycloak.get(client)["protocolMappers"] if each["name"] == GROUPS_MAPPER]
    keycloak.remove(f"{client}/protocol-mappers/models/{mapper['id']}")
    assert "groups" not in claims_of(one.token())
    assert one.bearer() == REFUSED
    _made_by_hand(one, alice)
    assert one.bearer() == ""


def test_an_account_made_by_hand_is_held_to_the_groups_that_its_tokens_tell_of(
    some: Callable[..., Somebody], alice: Person
) -> None:
    one = some(OTHERS, "account")
    _made_by_hand(one, alice)
    assert one.bearer() == OTHERS
    time.sleep(1.1)
    one.join(ADMINS)
    # Promoting it takes an administrator of MLflow's, who has to name its subject.
    assert one.bearer() == f"{ADMINS} {OTHERS}"
    time.sleep(1.1)
    one.leave(ADMINS)
    one.leave(OTHERS)
    # Keycloak leaves the claim out where there is no group.
    assert "groups" not in claims_of(one.token())
    assert one.bearer() == REFUSED


def test_an_account_of_mlflows_own_goes_on(alice: Person, client: Client) -> None:
    """One without any client: it has personal tokens alone."""
    name = f"own-{secrets.token_hex(4)}"
    body = {"username": name, "display_name": name, "is_admin": False, "is_service_account": True}
    assert alice.ask("POST", f"{V2}/users", body).status_code in (200, 201)
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = alice.ask("POST", f"{V2}/users/{name}/tokens", {"name": "t", "expiration": expires})
    one = Somebody(client, KeycloakAdmin(client.outputs), name, "", "")
    assert one.personal(str(made.json()["token"])) == ""
    alice.ask("DELETE", f"{V2}/users", {"username": name})


def test_an_account_that_was_switched_off_stays_off(some: Callable[..., Somebody], alice: Person) -> None:
    one = some()
    one.bearer()
    assert alice.ask("PATCH", f"{V2}/users/{one.name}/active", {"active": False}).status_code == 200
    time.sleep(1.1)
    promoted(one)
    assert one.bearer() == REFUSED
    assert alice.ask("PATCH", f"{V2}/users/{one.name}/active", {"active": True}).status_code == 200
    assert one.bearer() == ADMINISTRATOR
