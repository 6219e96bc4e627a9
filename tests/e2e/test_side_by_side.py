"""Several logins of one person at once: right passwords are all let in, wrong ones are judged one after the other."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.access.somebody import Somebody
from tests.e2e.harness import Client, Stack, eventually
from tests.e2e.keycloak import KeycloakAdmin

# One that is judged, and as many as wait for it (images/keycloak/logins/Queue.java).
MANY = 11
# Seconds that each waits for its turn at most (images/keycloak/logins/QueuedLogins.java).
PATIENCE = 15
# How many wrong passwords are judged before nobody of that name is for a while (`BruteForce` of the realm).
JUDGED = 10
# invalid_grant (RFC 6749, section 5.2).
REFUSED = 400


def at_once(one: Somebody, passwords: Iterable[str]) -> list[int]:
    """The answers to password grants that are sent side by side."""
    outputs = one.client.outputs
    form = {"grant_type": "password", "client_id": outputs["client_id"], "username": one.name}

    def grant(password: str) -> int:
        return one.client.grant(client_secret=outputs["client_secret"], password=password, **form).status_code

    def ask(password: str) -> int:
        start = time.monotonic()
        status = grant(password)
        # A busy machine judges fewer than wait before their patience ends.
        waited = status == REFUSED and time.monotonic() - start >= PATIENCE
        return grant(password) if waited else status

    sent = list(passwords)
    with ThreadPoolExecutor(len(sent)) as pool:
        return list(pool.map(ask, sent))


def judged(stack: Stack, one: Somebody) -> Counter[str]:
    """Why Keycloak says that it refused somebody, and how often."""
    words = ("docker", "logs", stack.container("keycloak"))
    told = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    mine = [line for line in told.splitlines() if one.id in line and "LOGIN_ERROR" in line]
    return Counter(line.partition('error="')[2].partition('"')[0] for line in mine)


def test_right_passwords_are_all_let_in(client: Client, keycloak: KeycloakAdmin) -> None:
    one = Somebody.person(client, keycloak, "mlflow-users")
    assert at_once(one, [one.secret] * MANY) == [200] * MANY


def test_a_right_one_is_let_in_beside_a_wrong_one(client: Client, keycloak: KeycloakAdmin) -> None:
    one = Somebody.person(client, keycloak, "mlflow-users")
    assert sorted(at_once(one, [one.secret, "wrong", one.secret])) == [200, 200, REFUSED]


def test_wrong_ones_are_counted_before_the_next_is_judged(
    stack: Stack, client: Client, keycloak: KeycloakAdmin
) -> None:
    one = Somebody.person(client, keycloak, "mlflow-users")
    assert at_once(one, ["wrong"] * 3 * MANY) == [REFUSED] * 3 * MANY
    found = keycloak.get(f"/{keycloak.realm}/attack-detection/brute-force/users/{one.id}")
    assert found["disabled"]
    why = eventually(
        lambda: judged(stack, one)["invalid_user_credentials"], found["numFailures"].__eq__, "as many words in the log"
    )
    assert why <= JUDGED
    assert at_once(one, [one.secret]) == [REFUSED], "nobody of that name is judged for a while"
    other = Somebody.person(client, keycloak, "mlflow-users")
    assert at_once(other, [other.secret]) == [200]
