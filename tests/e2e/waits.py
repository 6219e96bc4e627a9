"""Waits that hold a server to its own clock, however long a busy machine takes to ask it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from settings.derived import KEYCLOAKS_CONNECTIONS
from tests.e2e.harness import ASK, Client, Found, Stack, eventually, run_in

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


def _look(stack: Stack) -> str:
    """When MLflow last began to ask Keycloak who is there; a look that took long is noted at its end, too."""
    asked = "SELECT began_at FROM mlflow_sso_looks"
    return run_in(stack.container("postgres"), "bash", "-c", ASK, "ask", "oidc", asked)


def look_again(stack: Stack) -> None:
    """Wait until MLflow has looked from beginning to end."""
    for _ in range(2):
        before = _look(stack)
        eventually(lambda: _look(stack), before.__ne__, "the next look of MLflow's at Keycloak", PATIENCE)


def looks(stack: Stack, ask: Callable[[], Found], good: Callable[[Found], bool], what: str) -> int:
    """Wait for a good answer; how many looks had begun from now on when the last question was sent that got another."""
    known, last = [_look(stack)], 0

    def noted() -> Found:
        nonlocal last
        if (now := _look(stack)) != known[-1]:
            known.append(now)
        answer = ask()
        if not good(answer):
            last = len(known) - 1
        return answer

    eventually(noted, good, what, PATIENCE)
    return last


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
