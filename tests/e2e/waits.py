"""Waits that hold a server to its own clock, however long a busy machine takes to ask it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from settings.derived import KEYCLOAKS_CONNECTIONS
from tests.e2e.harness import Client, Found, eventually

# Seconds until something has to be so at all. What bounds it is asserted of what `lasted` returns.
PATIENCE = 300


def lasted(ask: Callable[[], Found], good: Callable[[Found], bool], what: str, since: float) -> float:
    """Wait for a good answer; how long after `since` (time.monotonic) the last question was sent that got another.

    A question that waits for its turn or for its answer counts for when it was sent.
    """
    last = since

    def noted() -> Found:
        nonlocal last
        sent = time.monotonic()
        answer = ask()
        if not good(answer):
            last = sent
        return answer

    eventually(noted, good, what, PATIENCE)
    return last - since


def renew_connections(client: Client) -> None:
    """Have Keycloak use all its connections to a database that was away: one that broke fails once, and is renewed.

    It looks up in the database names that nobody has, and keeps none of them waiting for another.
    """
    login = {"client_id": client.outputs["client_id"], "client_secret": client.outputs["client_secret"]}

    def refused(name: str) -> bool:
        return "invalid_grant" in client.grant(grant_type="password", username=name, password="of nobody", **login).text

    def all_at_once() -> list[bool]:
        names = [f"nobody-{secrets.token_hex(8)}" for _ in range(KEYCLOAKS_CONNECTIONS)]
        with ThreadPoolExecutor(len(names)) as pool:
            return list(pool.map(refused, names))

    eventually(all_at_once, all, "Keycloak has all its connections again", PATIENCE)
