"""How pytest-xdist shares the tests out among its workers, and the stacks that tests hold for."""

from __future__ import annotations

import re
from typing import Any

import pytest

# The engine among the parameters of an end-to-end test.
_ENGINE = re.compile(r"\[(?:.*-)?(compose|pulumi)(?:-.*)?\]$")


def share(nodeid: str) -> str:
    """What one worker runs whole: the end-to-end tests of an engine, which share its stack; those of a directory
    with a stack of its own; any other file."""
    path = nodeid.partition("::")[0]
    if not path.startswith("tests/e2e/"):
        return path
    engine = _ENGINE.search(nodeid)
    return engine[1] if engine else path.rpartition("/")[0]


@pytest.fixture(params=["own components", "more components"])
def components(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack as it is, and as it is once somebody has added components: a module that uses it holds for both."""
    if request.param == "more components":
        from tests.contract.more import add_components

        add_components(monkeypatch)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByStack(LoadScopeScheduling):  # type: ignore[misc] # xdist comes without types
        def _split_scope(self, nodeid: str) -> str:
            return share(nodeid)

    return ByStack(config, log)
