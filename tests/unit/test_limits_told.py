"""What the settings say of limits is what the guard in the image does, and neither has defaults of its own."""

from __future__ import annotations

import os
from typing import Any

import pytest
from mlflow_sso import databases
from mlflow_sso.guard import Limits, inflation

from components.limits import limit_variables
from settings import MOST_TURNS, derived, model, server_turns
from tests.samples import settings

MIB = 1 << 20
# A setting, another value of it, and what the guard makes of a value: by its own name, or of unpacked spans.
SAID = {
    "requestMib": (17, "request_bytes", MIB),
    "traceMib": (33, "trace_bytes", MIB),
    "artifactMib": (5, "artifact_bytes", MIB),
    "idleSeconds": (61, "idle_seconds", 1),
    "requestsPerUser": (129, "places", 1),
    "statementSeconds": (62, "statement_seconds", 1),
}


def told(**limits: Any) -> dict[str, str]:
    return limit_variables(settings({"mlflow": {"limits": limits}}))


def test_every_setting_is_asked_for_here() -> None:
    assert {field.alias for field in model.Limits.model_fields.values()} == set(SAID)


def test_a_stack_without_limits_of_its_own_tells_nothing_and_has_the_same() -> None:
    assert told() == {}
    usual, guard = model.Limits(), Limits.told({})
    for key, (_, name, unit) in SAID.items():
        field = next(n for n, f in model.Limits.model_fields.items() if f.alias == key)
        value = getattr(usual, field)
        assert getattr(guard, name) == (None if value is None else value * unit), key
    assert guard.turns == MOST_TURNS
    assert 2 * usual.trace_mib * MIB == inflation.DEFAULT_BOUND


@pytest.mark.parametrize("key", sorted(SAID))
def test_a_limit_reaches_the_guard(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, name, unit = SAID[key]
    variables = told(**{key: value})
    assert getattr(Limits.told(variables), name) == value * unit
    if key == "traceMib":
        monkeypatch.setenv(inflation.BOUND, variables[inflation.BOUND])
        assert inflation.bound() == 2 * value * MIB


def test_more_processes_have_fewer_turns_each() -> None:
    many = limit_variables(settings({"mlflow": {"workers": 8}}))
    assert Limits.told(many).turns < MOST_TURNS


def test_connections_that_stay_open_are_counted_where_there_are_as_many_turns_as_there_can_be() -> None:
    """Five processes have 34 connections each: room for the eight turns of each, and not for what stays open beside."""
    assert derived._KEPT_CONNECTIONS == databases.KEPT
    assert server_turns(settings({"mlflow": {"workers": 4}})) == MOST_TURNS
    assert server_turns(settings({"mlflow": {"workers": 5}})) == MOST_TURNS - 1


@pytest.mark.parametrize("jobs", [None, *range(1, 17, 3)])
def test_no_number_of_processes_takes_more_connections_than_there_are(
    jobs: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workers in range(1, 25):
        stack = settings({"mlflow": {"workers": workers, "jobs": jobs and {"workers": jobs}}})
        others = derived.KEYCLOAKS_CONNECTIONS + derived.job_connections(stack)
        turns = server_turns(stack)
        with monkeypatch.context() as process:
            for name in (*databases._POOLS, "PGCONNECT_TIMEOUT"):
                process.setenv(name, "")
                process.delenv(name)
            process.setenv("MLFLOW_SSO_TURNS", str(turns))
            databases.size()
            pools = sum(int(os.environ[name]) for name in databases._POOLS)
        assert workers * pools + others < derived.CONNECTIONS, workers


@pytest.mark.parametrize(("turns", "more"), [(MOST_TURNS, databases.KEPT), (MOST_TURNS - 1, 0)])
def test_the_pool_has_a_connection_for_each_thread_that_keeps_one(
    turns: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*databases._POOLS, "PGCONNECT_TIMEOUT"):
        # Set first, so that what is added here is taken away afterwards.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_SSO_TURNS", str(turns))
    databases.size()
    assert os.environ["OIDC_DB_POOL_MAX_OVERFLOW"] == str(turns + more)
    assert os.environ["OIDC_DB_POOL_SIZE"] == os.environ["MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW"] == str(turns)
