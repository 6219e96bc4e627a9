"""One stack for each engine that is here, shared by every test that only looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl import pulumi_engine
from tests.e2e.harness import Client, Stack

ENGINES = ("compose", "pulumi")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in Path(item.path).parts:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn; the tests of one that is not here are skipped, with the reason."""
    name = str(request.param)
    if name == "pulumi":
        reason = pulumi_engine.unavailable()
        if reason:
            pytest.skip(reason)
    return name


@pytest.fixture(scope="session")
def stack(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack.make(engine, tmp_path_factory.mktemp(engine))
    try:
        made.up()
        yield made
    finally:
        made.destroy(check=False)


@pytest.fixture(scope="session")
def client(stack: Stack) -> Client:
    return Client(stack.outputs())
