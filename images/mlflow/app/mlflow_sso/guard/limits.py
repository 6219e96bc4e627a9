"""What one request, and one user, may ask of the server; told by variables of the container."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of the server process. The defaults are those of `mlflow.limits` in the settings.

    request_bytes: the body of a call; no call of MLflow's client comes near.
    account_bytes: the body of a call about users, groups, tokens and permissions.
    query_bytes: the body of a GraphQL call: its parser makes 500 bytes of memory of a word of one letter, and takes
    40 microseconds for it; MLflow's own pages send some 5 KB.
    trace_bytes: the body of a call that brings spans, compressed or not.
    artifact_bytes: one artifact; None: whatever the store holds.
    json_values: objects and arrays in one body, since each costs some fifty times its text in memory.
    idle_seconds: the longest wait for the next piece of a body.
    held_bytes: bodies of one user that are in memory at once.
    places: requests of one user that are answered or wait for their turn.
    turns: requests that MLflow answers at once; each may hold two connections to each database.
    turns_of_one: how many of these one user may have, so that there are some for everybody else.
    wait_seconds: the longest wait for a turn. statement_seconds: the longest statement in a database.
    transfers: artifacts on their way at once; transfers_of_one: how many of these are one user's.
    """

    request_bytes: int = 16 * MIB
    account_bytes: int = MIB
    query_bytes: int = 1 << 16
    trace_bytes: int = 32 * MIB
    artifact_bytes: int | None = None
    json_values: int = 250_000
    idle_seconds: float = 60
    held_bytes: int = 64 * MIB
    places: int = 128
    turns: int = 8
    turns_of_one: int = 4
    wait_seconds: float = 30
    statement_seconds: int = 60
    transfers: int = 64
    transfers_of_one: int = 16

    @classmethod
    def told(cls, env: Mapping[str, str] = os.environ) -> "Limits":
        """What the container's variables say. Raises ValueError for a variable that is no number."""

        def number(name: str, default: int) -> int:
            return int(env.get(f"MLFLOW_SSO_{name}", default))

        turns = number("TURNS", cls.turns)
        return cls(
            request_bytes=number("MAX_REQUEST_BYTES", cls.request_bytes),
            trace_bytes=number("MAX_TRACE_BYTES", cls.trace_bytes),
            artifact_bytes=number("MAX_ARTIFACT_BYTES", 0) or None,
            idle_seconds=number("IDLE_SECONDS", int(cls.idle_seconds)),
            places=number("REQUESTS_PER_USER", cls.places),
            statement_seconds=number("STATEMENT_SECONDS", cls.statement_seconds),
            turns=turns,
            # Half of them for one user, so that there are some for everybody else.
            turns_of_one=max(1, min(cls.turns_of_one, turns // 2)),
        )
