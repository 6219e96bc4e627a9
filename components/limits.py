"""What MLflow's guard is told (images/mlflow/app): limits of requests, and turns for which there are connections."""

from __future__ import annotations

from settings import MOST_TURNS, Settings, server_turns
from settings.model import Limits

_MIB = 1 << 20


def limit_variables(settings: Settings) -> dict[str, str]:
    """The variables of what differs from the guard's own defaults (mlflow_sso.guard.limits)."""
    given = _variables(settings.mlflow.limits, server_turns(settings))
    usual = _variables(Limits(), MOST_TURNS)
    return {f"MLFLOW_SSO_{name}": str(value) for name, value in given.items() if value != usual[name]}


def _variables(limits: Limits, turns: int) -> dict[str, int]:
    return {
        "MAX_REQUEST_BYTES": limits.request_mib * _MIB,
        "MAX_TRACE_BYTES": limits.trace_mib * _MIB,
        "MAX_DECOMPRESSED_BYTES": 2 * limits.trace_mib * _MIB,
        # 0: as much as the store holds.
        "MAX_ARTIFACT_BYTES": (limits.artifact_mib or 0) * _MIB,
        "IDLE_SECONDS": limits.idle_seconds,
        "REQUESTS_PER_USER": limits.requests_per_user,
        "STATEMENT_SECONDS": limits.statement_seconds,
        "TURNS": turns,
    }
