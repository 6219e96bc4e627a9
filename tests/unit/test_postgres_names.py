"""The names that a server of Postgres is told by: one home for them, and the image's scripts held to it."""

from __future__ import annotations

import re
import subprocess

import pytest

from components.postgres import (
    DATA_DIRECTORY,
    DATA_PATH,
    DATABASES_VARIABLE,
    ROLES_FILE,
    SUPERUSER_VARIABLE,
    password_variable,
)
from settings import ROOT

IMAGE = ROOT / "images" / "postgres"
ENTRYPOINT = (IMAGE / "entrypoint").read_text()


def test_the_image_keeps_its_cluster_where_the_doctor_looks_for_it() -> None:
    assert f"PGDATA=${{PGDATA:-{DATA_DIRECTORY}}}\n" in ENTRYPOINT
    assert f"ENV PGDATA={DATA_DIRECTORY} " in (IMAGE / "Dockerfile").read_text()
    assert DATA_DIRECTORY.startswith(f"{DATA_PATH}/"), "the volume itself is no directory that initdb takes"
    assert re.findall(r"^roles_file=(.+)$", ENTRYPOINT, re.MULTILINE) == [ROLES_FILE]
    assert "$PGDATA/$roles_file" in ENTRYPOINT


@pytest.mark.parametrize("role", ["mlflow", "oidc", "keycloak"])
def test_the_image_reads_a_roles_password_where_it_is_put(role: str) -> None:
    expressions = re.findall(r"^\s*variable=(.+)$", ENTRYPOINT, re.MULTILINE)
    assert expressions, "the entrypoint names no variable for the password of a role"
    for expression in expressions:
        done = subprocess.run(
            ("bash", "-c", f"name={role}; echo {expression}"), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == password_variable(role)


def test_the_image_reads_the_databases_and_the_superusers_password_where_they_are_put() -> None:
    read = set(re.findall(r"\$\{?([A-Z_]{4,})", ENTRYPOINT))
    assert {DATABASES_VARIABLE, SUPERUSER_VARIABLE} <= read
