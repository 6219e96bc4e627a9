"""What ends when something happens to somebody in Keycloak, and what is meant to stay: see the guide on identity."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest

from tests.e2e.access.happening import (
    ADMINS,
    BEFORE,
    EVENTS,
    LIFETIME,
    USERS,
    alice,
    client,
    keycloak,
    some,
)
from tests.e2e.access.somebody import REFUSED, Somebody
from tests.e2e.keycloak import KeycloakAdmin, claims
from tests.e2e.waits import lasted

# One worker of pytest-xdist, and so one stack, with those of test_groups_count.
pytestmark = pytest.mark.xdist_group("groups")
__all__ = ["alice", "client", "keycloak", "some"]


@pytest.mark.parametrize("event", EVENTS)
def test_an_offline_token_says_what_its_owner_is_now(some: Callable[..., Somebody], event: str) -> None:
    happen, group, after = EVENTS[event]
    one = some(group)
    ask = one.offline()
    assert ask() == BEFORE[group]
    time.sleep(1.1)
    happen(one)
    assert ask() == after


def test_another_password_ends_nothing_that_was_given_out(
    some: Callable[..., Somebody], keycloak: KeycloakAdmin
) -> None:
    one = some(ADMINS)
    browser, offline, personal = one.browser(), one.offline(), one.personal_token()
    body = {"type": "password", "value": secrets.token_hex(8), "temporary": False}
    keycloak.call("PUT", f"/{keycloak.realm}/users/{one.id}/reset-password", json=body)
    before = one.shown
    # The session of the pages is renewed within this.
    time.sleep(LIFETIME + 2)
    found = one.pages(browser), offline(), one.personal(personal)
    assert found == (BEFORE[ADMINS],) * 3
    assert one.token() == before, "the password of before gives no token"


def test_the_end_of_a_session_ends_what_came_from_it(some: Callable[..., Somebody], keycloak: KeycloakAdmin) -> None:
    one = some()
    browser, offline, personal = one.browser(), one.offline(), one.personal_token()
    token = _outlives_its_session(one, keycloak)
    start = time.monotonic()
    assert (offline(), one.personal(personal)) == (USERS, USERS)

    def left() -> set[str]:
        return {one.pages(browser), one.bearer(token)}

    spent = lasted(left, lambda found: found == {REFUSED}, "the end of the pages and of the token", start)
    assert spent <= LIFETIME + 2


def _outlives_its_session(one: Somebody, keycloak: KeycloakAdmin) -> str:
    """A token that was good without its session. One that ended before its answer came says nothing of that."""
    for _ in range(5):
        token = one.token()
        for session in keycloak.get(f"/{keycloak.realm}/users/{one.id}/sessions"):
            keycloak.remove(f"/{keycloak.realm}/sessions/{session['id']}")
        found = one.bearer(token)
        if time.time() < claims(token)["exp"]:
            assert found == USERS, "it is good until it ends"
            return token
    raise AssertionError(f"no answer within {LIFETIME} s")
