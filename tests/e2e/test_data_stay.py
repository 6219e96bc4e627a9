"""A change of settings neither removes data nor leaves them behind, on a real engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from components.program import PROTECTION
from settings import PROJECT, ROOT
from settings.catalogue import refs
from stackctl.engines import pulumi_cli
from tests.e2e.harness import Stack, docker

BUCKET = {"bucket": "b", "endpointUrl": "http://127.0.0.1:9", "accessKeyId": "a", "secretAccessKey": "s"}
MARK = "/mlflow/artifacts/mark"


def test_data_are_moved_by_name_or_not_at_all(engine: str, tmp_path: Path) -> None:
    stack = Stack.make(engine, tmp_path, redis={"persistent": True}, environment="staging")
    artifacts, cache = (f"{stack.physical}-{name}" for name in ("mlflow-artifacts", "redis-data"))
    with stack.running():
        stack.inside("mlflow", "bash", "-c", f"echo kept > {MARK}")
        before, containers = dict(stack.config), _containers(stack)
        stack.config |= {
            "mlflow": {**before["mlflow"], "s3": BUCKET},
            "redis": {},
            "postgres": {"separateKeycloak": True, "version": "15"},
            "realm": {"name": "another"},
        }
        refused = stack.up(check=False)
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert "nothing was created or changed" in said
        for place in (
            "mlflow.s3 = s3://b at 127.0.0.1:9",
            "realm.name = another",
            "postgres.version = 15",
        ):
            assert f"{PROJECT}:{place}: expected" in said, said
        assert f"{PROJECT}:postgres: expected" in said or f"{PROJECT}:postgres = database keycloak" in said, said
        assert f"volume {artifacts}" in said
        assert f"volume {cache}" in said
        assert _containers(stack) == containers

        stack.config = {
            **before,
            "mlflow": stack.config["mlflow"],
            "redis": {},
            "movedFrom": [f"volume {artifacts}", f"volume {cache}"],
        }
        stack.up()
        stack.up()
        assert _mark(artifacts) == "kept"
        assert stack.outputs()["data"]["artifacts"] == "s3://b at 127.0.0.1:9"

        # One is removed by hand, and the other is used again.
        docker("volume", "rm", cache)
        stack.config = {**before, "redis": {}, "movedFrom": ["s3://b at 127.0.0.1:9"]}
        stack.up()
        assert stack.inside("mlflow", "cat", MARK).strip() == "kept"
        assert cache not in stack.leftovers()
        _protected(stack)
    assert stack.leftovers() == []


def _protected(stack: Stack) -> None:
    """Outside development a stack goes when somebody says so, and else stays whole."""
    before, everything = _containers(stack), sorted(stack.leftovers())
    refused = stack.stackctl("destroy", check=False)
    assert refused.returncode == 2, refused.stderr
    assert f"volume     {stack.physical}-postgres-data" in refused.stdout
    assert "--yes: expected it, or a terminal to ask on" in refused.stderr
    if stack.engine == "pulumi":
        command = (pulumi_cli.find() or "pulumi", "-C", str(ROOT), "destroy", "--yes", "--skip-preview")
        words = ("--non-interactive", "--stack", stack.name, "--config-file", str(stack.config_file))
        done = subprocess.run((*command, *words), env=stack.environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert PROTECTION in done.stdout + done.stderr, "it names the way"
    assert _containers(stack) == before
    assert sorted(stack.leftovers()) == everything
    cleaned = stack.stackctl("cleanup", "--dry-run")
    assert f"docker volume rm {stack.physical}-postgres-data" in cleaned.stderr
    stack.stackctl("destroy", "--yes")


def _containers(stack: Stack) -> str:
    return docker("ps", "-q", "--no-trunc", "--filter", f"name={stack.physical}")


def _mark(volume: str) -> str:
    command = (
        "run",
        "--rm",
        "--user",
        "0",
        "-v",
        f"{volume}:/there:ro",
        "--entrypoint",
        "cat",
        refs()["redis"],
        "/there/mark",
    )
    return docker(*command).strip()
