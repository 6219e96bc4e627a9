"""The doctor on a stack of each engine that nothing is wrong with."""

from __future__ import annotations

import json

from tests.e2e.harness import Stack


def test_a_healthy_stack_raises_no_alarm(stack: Stack) -> None:
    done = stack.stackctl("doctor", "--output", "json", check=False)
    assert json.loads(done.stdout) == {"stack": stack.name, "healthy": True, "findings": [], "unchecked": []}
    assert done.returncode == 0
