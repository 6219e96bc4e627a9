"""Dumps the empty schemas that Keycloak, MLflow and the plugin make on their first start.

A new database loaded with them needs no schema changes at its first boot; any other version finds an
ordinary database of this version and migrates it as always. Only tables and the rows that say which
changes have been made are kept: no realm, no key, no user.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.keycloak import MANAGEMENT_PORT
from platforms.processes import Done, ProcessError, run
from platforms.workload import bash_http_check
from stackctl.errors import ImageError

# The tables whose rows say which changes have been made; every other table has to be empty.
CHANGE_LOGS = {
    "keycloak": ("databasechangelog",),
    "mlflow": ("alembic_version",),
    "oidc": ("alembic_version",),
}
# Keycloak compares this with its own version, and looks at the change log only where they differ. The row's id ends up
# in the addresses of its pages' files, and is each database's own.
MODEL_VERSION = "SELECT version FROM public.migration_model ORDER BY update_time DESC LIMIT 1"
SET_MODEL_VERSION = """
INSERT INTO public.migration_model (id, version, update_time)
VALUES (left(replace(gen_random_uuid()::text, '-', ''), 5), '{version}', extract(epoch FROM now())::bigint);
"""
# Rows that MLflow's own migrations insert into an empty database, and that it expects to find.
MIGRATED_ROWS = {"mlflow": ("experiments", "workspaces"), "oidc": ("workspace_permissions",), "keycloak": ()}
_COPY = re.compile(r"^COPY public\.(\S+) ", re.MULTILINE)


def dump_schemas(images: Mapping[str, str], target: Path) -> None:
    """Write keycloak.sql, mlflow.sql and oidc.sql into `target`. Raises ImageError."""
    tag = f"mlflow-sso-seed-{secrets.token_hex(4)}"
    password = secrets.token_hex(16)
    containers: list[str] = []

    def start(name: str, image: str, env: Mapping[str, str], *command: str) -> str:
        full = f"{tag}-{name}"
        containers.append(full)
        # A bare -e NAME takes the value from this process, so that no command line shows it.
        words = [word for key in env for word in ("-e", key)]
        _checked(
            "run", "-d", "--name", full, "--network", tag, "--network-alias", name, *words, image, *command,
            variables=env, hidden=(password,),
        )  # fmt: skip
        return full

    try:
        _checked("network", "create", "--internal", tag)
        # The password lives as long as these containers, on a network without a way out; but this host's users reach
        # that network, and what they wrote would be in every stack's first database.
        postgres = start(
            "postgres", images["postgres"],
            {"POSTGRES_PASSWORD": password, "PGDATA": "/var/lib/postgresql/data/pgdata",
             "STACK_DATABASES": ",".join(CHANGE_LOGS), **{f"{n.upper()}_PASSWORD": password for n in CHANGE_LOGS}},
        )  # fmt: skip
        _wait(postgres, "pg_isready", "-q", "-h", "127.0.0.1")
        base = {"WAIT_FOR": "postgres:5432"}
        url = f"postgresql+psycopg2://{{0}}:{password}@postgres:5432/{{0}}"
        keycloak = start(
            "keycloak", images["keycloak"],
            {**base, "KC_DB_URL": "jdbc:postgresql://postgres:5432/keycloak", "KC_DB_USERNAME": "keycloak",
             "KC_DB_PASSWORD": password, "KC_HTTP_ENABLED": "true", "KC_HOSTNAME_STRICT": "false"},
        )  # fmt: skip
        mlflow = start(
            "mlflow", images["mlflow"],
            {**base, "MLFLOW_BACKEND_STORE_URI": url.format("mlflow"), "OIDC_USERS_DB_URI": url.format("oidc")},
            "bash", "-c", "touch /tmp/migrated && exec sleep infinity",
        )  # fmt: skip
        # The entrypoint runs its command only when both schemas are there.
        _wait(mlflow, "test", "-e", "/tmp/migrated")
        _wait(keycloak, *bash_http_check(MANAGEMENT_PORT, "/health/ready").command)
        for name in CHANGE_LOGS:
            text = _dump(postgres, password, name, images[name if name != "oidc" else "mlflow"])
            if name == "keycloak":
                text += SET_MODEL_VERSION.format(version=_model_version(postgres, password))
            (target / f"{name}.sql").write_text(text)
    finally:
        if containers:
            _docker("rm", "-fv", *containers)
        _docker("network", "rm", tag)


def _dump(container: str, password: str, database: str, made_by: str) -> str:
    kept = (*CHANGE_LOGS[database], *MIGRATED_ROWS[database])
    common = ("pg_dump", "--no-owner", "--no-privileges")
    schema = _ask(container, password, database, *common, "--schema-only")
    tables = [word for table in kept for word in ("-t", f"public.{table}")]
    rows = _ask(container, password, database, *common, "--data-only", *tables)
    strangers = sorted(set(_COPY.findall(schema + rows)) - set(kept))
    if strangers:
        raise ImageError(f"the seed of {database} would hold rows of {', '.join(strangers)}; it was not used")
    text = f"-- The empty schema of {database}, as {made_by} makes it.\n" + schema + rows
    # Newer dumps fence themselves with a key that only psql of the same minor version knows.
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("\\restrict", "\\unrestrict", "CREATE SCHEMA public"))
    ]
    return "\n".join(lines) + "\n"


def _model_version(container: str, password: str) -> str:
    version = _ask(container, password, "keycloak", "psql", "-X", "-A", "-t", "-c", MODEL_VERSION).strip()
    if not re.fullmatch(r"\d+(\.\d+)+", version):
        raise ImageError(f"the seed of keycloak would be of version {version!r}; it was not used")
    return version


def _ask(container: str, password: str, database: str, program: str, *words: str) -> str:
    command = (program, "-h", "127.0.0.1", "-U", "postgres", "-d", database, *words)
    return _checked(
        "exec", "-e", "PGPASSWORD", container, *command, variables={"PGPASSWORD": password}, hidden=(password,)
    )


def _docker(
    *args: str, variables: Mapping[str, str] | None = None, hidden: Sequence[str] = (), merged: bool = False
) -> Done:
    try:
        return run("docker", *args, variables=variables, hidden=hidden, merged=merged)
    except ProcessError as error:
        raise ImageError(f"seed: {error}") from None


def _checked(*args: str, variables: Mapping[str, str] | None = None, hidden: Sequence[str] = ()) -> str:
    done = _docker(*args, variables=variables, hidden=hidden)
    if done.code != 0:
        raise ImageError(f"seed: {done.what} failed: {done.errors.strip()[-600:]}")
    return done.output


def _wait(container: str, *check: str, seconds: int = 180) -> None:
    deadline = time.monotonic() + seconds
    while _docker("exec", container, *check).code != 0:
        alive = _docker("inspect", "-f", "{{.State.Running}}", container)
        if time.monotonic() > deadline or alive.output.strip() != "true":
            logs = _docker("logs", "--tail", "15", container, merged=True)
            raise ImageError(f"seed: {container} did not become ready:\n{logs.output}")
        time.sleep(0.5)
