"""A stack that somebody has added components to: workloads of every kind, which use every word of the seam."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from components import stack
from components.mlflow import mlflow_workloads
from components.postgres import postgres_workloads
from platforms.secrets import SecretText
from platforms.workload import Workload
from settings import Settings
from tests.contract import engine, kubernetes_samples
from tests.contract.seam import SWEEP, TOKEN, WORKLOADS

# What was made of such stacks, kept apart from what was made of the project's own.
_RUNS: list[tuple[Settings, str, engine.Run]] = []
_every = cache(kubernetes_samples.made_once.__wrapped__)


def _called(name: str) -> str:
    """A name that no component of the project takes."""
    return f"added-{name}"


def _renamed(workload: Workload) -> Workload:
    ports = (replace(port, callers=tuple(map(_called, port.callers))) for port in workload.ports)
    reserved = workload.reserved and replace(
        workload.reserved,
        senders=tuple(_called(one) if isinstance(one, str) else one for one in workload.reserved.senders),
    )
    token = SecretText.of(replace(TOKEN, name=_called(TOKEN.name)))
    return replace(
        workload,
        name=_called(workload.name),
        ports=tuple(ports),
        reserved=reserved,
        readings=tuple(replace(reading, workload=_called(reading.workload)) for reading in workload.readings),
        secret_env=dict.fromkeys(workload.secret_env, token),
    )


# An entrance, metrics, requests that few may send and protected data; a client of it; a job at set times that reads the
# data, and one on demand.
MORE = tuple(map(_renamed, WORKLOADS))


def _called_by_one_more(workload: Workload) -> Workload:
    """Whoever adds a component that calls another one writes its name there."""
    ports = (replace(port, callers=(*port.callers, _called(SWEEP.name))) for port in workload.ports)
    return replace(workload, ports=tuple(ports))


def add_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every stack four workloads more, one of which calls Postgres."""
    databases = lambda settings: tuple(map(_called_by_one_more, postgres_workloads(settings)))  # noqa: E731
    monkeypatch.setattr(stack, "postgres_workloads", databases)
    monkeypatch.setattr(stack, "mlflow_workloads", lambda settings: (*mlflow_workloads(settings), *MORE))
    monkeypatch.setattr(engine, "_RUNS", _RUNS)
    monkeypatch.setattr(kubernetes_samples, "made_once", _every)
