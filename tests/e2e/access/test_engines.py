"""The commands work on a stack of either engine: all they need is in its outputs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.harness import Stack
from tests.e2e.people import Person


def test_an_administrator_sees_sessions_and_tokens(stack: Stack, tmp_path: Path) -> None:
    alice = Person(stack, "alice", tmp_path)
    alice.log_in()
    rows = json.loads(alice.run("sessions", "list", "--user", "alice", "--output", "json").stdout)
    assert "mlflow-cli" in {client for row in rows for client in row["clients"]}
    secret = alice.run("tokens", "create", "--name", "either-engine", "--expires", "1h").stdout.strip()
    assert alice.mlflow(auth=("alice", secret)) == 200
    alice.run("tokens", "delete", "--name", "either-engine", "--yes")
    assert alice.mlflow(auth=("alice", secret)) == 401


def test_outputs_hide_the_provisioner_s_secret(stack: Stack) -> None:
    hidden = json.loads(stack.stackctl("outputs", "--output", "json").stdout)["provisioner"]
    assert hidden["client_secret"] == "[secret]"
    shown = stack.outputs()["provisioner"]
    assert shown["client_secret"] not in (None, "", "[secret]")
