"""The doctor and the comparison with the declaration, on a stack of each engine that nothing is wrong with."""

from __future__ import annotations

import json

import pytest

from tests.e2e.harness import Stack


def test_a_healthy_stack_raises_no_alarm(stack: Stack) -> None:
    done = stack.stackctl("doctor", "--output", "json", check=False)
    assert json.loads(done.stdout) == {"stack": stack.name, "healthy": True, "findings": [], "unchecked": []}
    assert done.returncode == 0


@pytest.mark.parametrize("command", ["users", "groups", "service-accounts"])
def test_what_was_just_made_is_what_was_declared(stack: Stack, command: str) -> None:
    done = stack.stackctl(command, "--output", "json", check=False)
    rows = json.loads(done.stdout)
    assert rows
    assert [row for row in rows if row["drift"]] == []
    assert done.returncode == 0
