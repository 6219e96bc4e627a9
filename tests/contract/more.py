"""A stack that somebody has added components to: workloads of every kind, which use every word of the seam."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from components import stack
from components.mlflow import mlflow_workloads
from components.postgres import postgres_workloads
from platforms.workload import Workload
from settings import Settings
from tests.contract import engine, kubernetes_samples
from tests.contract.seam import SWEEP, WORKLOADS

# What was made of such stacks, kept apart from what was made of the project's own.
_RUNS: list[tuple[Settings, str, engine.Run]] = []
_every = cache(kubernetes_samples.made_once.__wrapped__)


def called_by_one_more(workload: Workload) -> Workload:
    """Whoever adds a component that calls another one writes its name there."""
    ports = (replace(port, callers=(*port.callers, SWEEP.name)) for port in workload.ports)
    return replace(workload, ports=tuple(ports))


def add_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every stack an entrance of its own, metrics, a client, a job at set times and one on demand."""
    called = lambda settings: tuple(map(called_by_one_more, postgres_workloads(settings)))  # noqa: E731
    monkeypatch.setattr(stack, "postgres_workloads", called)
    monkeypatch.setattr(stack, "mlflow_workloads", lambda settings: (*mlflow_workloads(settings), *WORKLOADS))
    monkeypatch.setattr(engine, "_RUNS", _RUNS)
    monkeypatch.setattr(kubernetes_samples, "made_once", _every)
