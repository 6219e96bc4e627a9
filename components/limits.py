"""What MLflow's guard is told (images/mlflow/app): limits of requests, and turns for which there are connections."""

from __future__ import annotations

from settings import MOST_TURNS, Settings, server_turns
from settings.model import Limits

_MIB = 1 << 20


def limit_variables(settings: Settings) -> dict[str, str]:
    """The variables of what differs from the guard's own defaults (mlflow_sso.guard.limits)."""
    given, usual = settings.mlflow.limits, Limits()
    variables: dict[str, int] = {}
    if given.request_mib != usual.request_mib:
        variables["MAX_REQUEST_BYTES"] = given.request_mib * _MIB
    if given.trace_mib != usual.trace_mib:
        variables["MAX_TRACE_BYTES"] = given.trace_mib * _MIB
        variables["MAX_DECOMPRESSED_BYTES"] = 2 * given.trace_mib * _MIB
    if given.artifact_mib is not None:
        variables["MAX_ARTIFACT_BYTES"] = given.artifact_mib * _MIB
    if given.idle_seconds != usual.idle_seconds:
        variables["IDLE_SECONDS"] = given.idle_seconds
    if given.requests_per_user != usual.requests_per_user:
        variables["REQUESTS_PER_USER"] = given.requests_per_user
    if given.statement_seconds != usual.statement_seconds:
        variables["STATEMENT_SECONDS"] = given.statement_seconds
    if server_turns(settings) != MOST_TURNS:
        variables["TURNS"] = server_turns(settings)
    return {f"MLFLOW_SSO_{name}": str(value) for name, value in variables.items()}
