"""What is taken from somebody counts at the very next request, whatever the server remembers of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.asking import V2, V3, Person, person
from tests.e2e.harness import TIMEOUT, Client
from tests.e2e.login import ui_session

ASKED = f"{V2}/experiments/get?experiment_id=0"
Call = Callable[[], int]


def _by_bearer(client: Client, name: str) -> Call:
    somebody = person(client, name)
    return lambda: somebody.ask("GET", ASKED).status_code


def _by_token(client: Client, name: str) -> Call:
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = person(client, name).ask(
        "POST", f"{V2}/users/current/tokens", {"name": f"t-{secrets.token_hex(4)}", "expiration": expires}
    )
    assert made.status_code in (200, 201), made.text
    return lambda: _status(client, auth=(name, made.json()["token"]))


def _by_session(client: Client, name: str) -> Call:
    cookies = ui_session(client, name).cookies
    return lambda: _status(client, cookies=cookies)


def _status(client: Client, **credentials: object) -> int:
    url = f"{client.outputs['mlflow_url']}{ASKED}"
    return requests.get(url, timeout=TIMEOUT, allow_redirects=False, **credentials).status_code  # type: ignore[arg-type]


WAYS = {"bearer": _by_bearer, "token": _by_token, "session": _by_session}


@pytest.fixture
def switched(alice: Person) -> Iterator[Callable[[bool], None]]:
    """Switches bob's account on or off; on again afterwards."""

    def switch(active: bool) -> None:
        answer = alice.ask("PATCH", f"{V2}/users/bob/active", {"active": active})
        assert answer.status_code == 200, answer.text

    yield switch
    switch(True)


@pytest.mark.parametrize("way", WAYS)
def test_an_account_that_is_switched_off_is_refused_at_its_next_request(
    client: Client, switched: Callable[[bool], None], way: str
) -> None:
    call = WAYS[way](client, "bob")
    # Twice, so that whatever may be remembered of a call is.
    assert {call(), call()} <= {200, 403}
    switched(False)
    assert call() == 401
    switched(True)
    # Switching an account off ends its sessions and tokens for good.
    assert (call() in (200, 403)) == (way == "bearer")


def test_a_token_that_is_deleted_is_refused_at_its_next_request(client: Client) -> None:
    call = _by_token(client, "bob")
    assert {call(), call()} <= {200, 403}
    bob = person(client, "bob")
    for token in bob.must("GET", f"{V2}/users/current/tokens")["tokens"]:
        bob.ask("DELETE", f"{V2}/users/current/tokens/{token['id']}")
    assert call() == 401


def test_a_session_that_is_revoked_is_refused_at_its_next_request(client: Client, alice: Person) -> None:
    call = _by_session(client, "bob")
    assert {call(), call()} <= {200, 403}
    assert alice.ask("DELETE", f"{V2}/users/bob/sessions").status_code in (200, 204)
    assert call() == 401


def test_a_grant_that_is_taken_lets_nobody_write_to_a_run_that_was_written_to(alice: Person, bob: Person) -> None:
    experiment = alice.experiment()
    run = alice.run(experiment)
    metric = {"run_id": run, "key": "m", "value": 1, "timestamp": 1}
    grant = f"{V2}/permissions/users/bob/experiments/{experiment}"
    alice.must("POST", grant, {"permission": "EDIT"})
    for _ in range(2):
        bob.must("POST", f"{V2}/runs/log-metric", metric)
    assert alice.ask("DELETE", grant).status_code == 200
    assert bob.ask("POST", f"{V2}/runs/log-metric", metric).status_code == 403


def test_a_connection_that_people_share_keeps_nothing_of_them(client: Client, alice: Person, bob: Person) -> None:
    """A proxy's connections serve everybody in turn. asyncio keeps the context of a large request for the next ones."""
    name = f"shared/server-{secrets.token_hex(6)}"
    assert alice.ask("POST", f"{V3}/mcp-servers", {"name": name}).status_code in (200, 201)
    connection = HTTPConnection(urlsplit(client.outputs["mlflow_url"]).netloc, timeout=TIMEOUT)

    def ask(somebody: Person, method: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Authorization": somebody.authorization, "Content-Type": "application/json"}
        connection.request(method, f"{V3}/mcp-servers", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    assert ask(bob, "POST", b'{"name": "' + b"x" * 900_000 + b'"}')[0] >= 400
    seen = [ask(alice, "GET") for _ in range(3)]
    connection.close()
    assert all(name.encode() in text for _, text in seen), seen
