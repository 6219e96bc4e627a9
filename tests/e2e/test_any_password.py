"""A stack whose every given password is hostile comes up, and its people log in with theirs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from settings.catalogue import image_ref
from tests.contract.test_any_password import HOSTILE
from tests.e2e.harness import Client, Stack, docker, eventually, free_ports, gateway

HARD = HOSTILE["all at once"]
# One for each database, so that no two are mixed up.
DATABASES = {name: f"{HARD}{name}" for name in ("keycloak", "mlflow", "oidc")}
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=10"


@contextmanager
def store(name: str, image: str, words: tuple[str, ...], asked: tuple[str, ...], **env: str) -> Iterator[None]:
    """A server beside the stack, on the host's own network, until the end. asked: what it answers once it serves."""
    variables = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
    docker("run", "-d", "--rm", "--network", "host", "--name", name, *variables, image, *words)

    def serves() -> int:
        return subprocess.run(("docker", "exec", name, *asked), capture_output=True, check=False).returncode

    try:
        eventually(serves, lambda code: code == 0, f"{name} serves")
        yield
    finally:
        docker("rm", "-fv", name)


@pytest.fixture(scope="module")
def hostile(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    postgres, redis = free_ports(2)
    host = gateway()
    logins = {name: {"database": name, "username": name, "password": value} for name, value in DATABASES.items()}
    config: dict[str, Any] = {
        "postgres": {"external": {"host": host, "port": postgres, "sslMode": "disable", **logins}},
        "redis": {"external": {"host": host, "port": redis, "password": HARD, "tls": False}},
        "realm": {
            "users": [
                {"username": f"user{number}", "password": value, "groups": ["mlflow-users"], "email": f"u{number}@x.io",
                 "firstName": "Some", "lastName": "Body"}
                for number, value in enumerate(HOSTILE.values())
            ],
        },
        "mlflow": {"secretEnv": {"HARD": HARD}},
    }  # fmt: skip
    made = Stack.make(engine, tmp_path_factory.mktemp(f"hostile-{engine}"), **config)
    passwords = {f"{name.upper()}_PASSWORD": value for name, value in DATABASES.items()}
    with (
        store(
            f"{made.physical}-pg", image_ref("postgres-seeded"), ("-c", f"port={postgres}"),
            ("psql", "-h", "127.0.0.1", "-p", str(postgres), "-U", "mlflow", "-c", "select 1"),
            POSTGRES_PASSWORD=HARD, STACK_DATABASES=",".join(DATABASES), PGPASSWORD=DATABASES["mlflow"], **passwords,
        ),
        store(
            # As the stack's own is told it.
            f"{made.physical}-cache", image_ref("redis"), ("--port", str(redis)),
            ("redis-cli", "-e", "-p", str(redis), "ping"), REDIS_PASSWORD=_configured(HARD), REDISCLI_AUTH=HARD,
        ),
        made.running(),
    ):  # fmt: skip
        yield made


def _configured(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_everybody_logs_in_with_a_password_of_any_signs(hostile: Stack) -> None:
    client = Client(hostile.outputs())
    for number, value in enumerate(HOSTILE.values()):
        name = f"user{number}"
        assert client.outputs["users"][name]["password"] == value
        login = {"client_id": client.outputs["client_id"], "client_secret": client.outputs["client_secret"]}
        answer = client.grant(grant_type="password", username=name, password=value, scope="openid", **login)
        assert answer.status_code == 200, f"{name}: {answer.text}\n{hostile.logs('keycloak')}"
        assert client.mlflow(SEARCH, answer.json()["access_token"]).status_code == 200, name


def test_mlflow_is_told_its_secrets_as_they_are(hostile: Stack) -> None:
    """All programs are up, so each has logged in at its stores; a wrong one would be refused there."""
    told = docker("exec", hostile.container("mlflow"), "printenv", "HARD")
    assert told == HARD + "\n"


def test_the_doctor_finds_each_as_it_is_defined(hostile: Stack) -> None:
    done = hostile.stackctl("doctor", check=False)
    assert done.returncode == 0, done.stdout
    for value in HOSTILE.values():
        assert len(value) < 4 or value not in done.stdout + done.stderr + hostile.said, "a password is shown"


def test_another_start_changes_nothing(hostile: Stack, tmp_path: Path) -> None:
    before = docker("ps", "-q", "--no-trunc", "--filter", f"name={hostile.physical}-")
    hostile.up()
    assert docker("ps", "-q", "--no-trunc", "--filter", f"name={hostile.physical}-") == before
