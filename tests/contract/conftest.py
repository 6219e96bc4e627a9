"""An engine that is always fit, and each target under contract in turn."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms.kubernetes.plan import Manifest
from platforms.kubernetes.stores import KubernetesStores
from settings import Settings
from settings.catalogue import refs
from tests.contract.more import MORE
from tests.contract.targets import TARGETS, Target
from tests.fakes import FakeDocker
from tests.samples import elsewhere, everything, settings

SAMPLES = ("default", "everything", "elsewhere")


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Docker engine that has every image and runs what it is asked to."""
    # An Output in an f-string raises, in place of writing its class name into a resource.
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    fake = FakeDocker(tmp_path / "docker", monkeypatch)
    fake.engine()
    fake.images(*refs().values(), *(workload.image for workload in MORE))
    fake.container("running")
    # Held by the stack itself, so that whatever else this machine runs is of no matter.
    fake.publishes(5000, 8080, 5443, 8443, 18080)
    return fake


@pytest.fixture(autouse=True)
def claims(monkeypatch: pytest.MonkeyPatch) -> list[Manifest]:
    """What a cluster holds of a stack's data: nothing, until a test adds something."""
    found: list[Manifest] = []
    monkeypatch.setattr(KubernetesStores, "_found", lambda _: found)
    monkeypatch.setattr(KubernetesStores, "cluster", "the cluster with uid 1")
    return found


@pytest.fixture(params=sorted(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """Settings of a plain stack, of one that uses everything, and of one that uses what is there already."""
    pem = tmp_path_factory.mktemp("pem")
    return {"default": settings(), "everything": settings(everything(pem)), "elsewhere": settings(elsewhere())}


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest, samples: dict[str, Settings]) -> Settings:
    return samples[request.param]


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Futures that nobody asked write a traceback as they go, and must not in the middle of another test.

    Python's parser, which the traceback asks, fails where it is asked within itself (python/cpython#106905).
    """
    yield
    for one in gc.get_objects():
        if isinstance(one, asyncio.Future) and one.done() and not one.cancelled():
            one.exception()
