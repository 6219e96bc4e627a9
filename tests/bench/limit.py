"""The limit: Postgres from nothing, then Keycloak alone from an empty database to ready, then the realm in one call.

No definition of the stack can go below it with plain images. Plain means without what the stack's own images add to be
faster (docs/decisions/0004 and 0011): no schemas in a new database, no archive of classes, and Java's own thresholds
for its compilers.
"""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import requests

from components.identity import PROVISIONER_CLIENT_ID
from components.keycloak import MANAGEMENT_PORT
from components.realm.document import realm_import
from components.realm.spec import realm_spec
from platforms.docker.daemon import docker, wait_ready
from platforms.workload import Workload
from settings import Settings
from settings.versions import image
from stackctl.context import load
from tests.bench.figures import timed
from tests.e2e.harness import free_ports

PLAIN_JAVA = "-XX:-UseG1GC -XX:+UseSerialGC"


class Limit:
    """Postgres and Keycloak with their plain images and one realm, in sequence only where one needs the other."""

    def __init__(self, scratch: Path) -> None:
        self._tag = f"mlflow-sso-limit-{secrets.token_hex(3)}"
        self._secret = secrets.token_hex(16)
        self._env = scratch / "limit.env"
        (self._port,) = free_ports(1)

    def _workload(self, name: str) -> Workload:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as empty:
            empty.write("config: {}\n")
            empty.flush()
            spec = load("limit", Path(empty.name)).spec
        return next(w for w in spec.workloads if w.name == name)

    def _run(self, name: str, reference: str, env: dict[str, str], *more: str) -> None:
        self._env.write_text("".join(f"{key}={value}\n" for key, value in env.items()))
        docker(
            "run", "-d", "--name", f"{self._tag}-{name}", "--network", self._tag, "--network-alias", name,
            "--env-file", str(self._env), *more, reference,
        )  # fmt: skip

    def measure(self) -> float:
        settings = Settings()
        try:
            return timed(lambda: self._bring_up(settings))
        finally:
            subprocess.run(
                ("docker", "rm", "-fv", f"{self._tag}-postgres", f"{self._tag}-keycloak"),
                capture_output=True,
                check=False,
            )
            docker("network", "rm", self._tag)

    def _bring_up(self, settings: Settings) -> None:
        docker("network", "create", self._tag)
        self._run(
            "postgres",
            image(settings, "postgres"),
            {"POSTGRES_PASSWORD": self._secret, "STACK_DATABASES": "keycloak", "KEYCLOAK_PASSWORD": self._secret},
        )
        self._run(
            "keycloak",
            image(settings, "keycloak"),
            {
                **self._workload("keycloak").env,
                "KC_HOSTNAME": f"http://localhost:{self._port}",
                "JAVA_OPTS_APPEND": PLAIN_JAVA,
                "KC_DB_PASSWORD": self._secret,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": self._secret,
                "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": self._secret,
            },
            "-p", f"127.0.0.1:{self._port}:8080", "--expose", str(MANAGEMENT_PORT),
        )  # fmt: skip
        keycloak = self._workload("keycloak")
        # It is asked where this run publishes it, or its answer would be noticed up to three seconds late.
        ports = tuple(
            replace(port, entrance=replace(entrance, host_port=self._port)) for port, entrance in keycloak.entrances
        )
        wait_ready(replace(keycloak, ports=ports), f"{self._tag}-keycloak", lambda _: None)
        base = f"http://localhost:{self._port}"
        form = {
            "grant_type": "client_credentials",
            "client_id": PROVISIONER_CLIENT_ID,
            "client_secret": self._secret,
        }
        token = requests.post(f"{base}/realms/master/protocol/openid-connect/token", data=form, timeout=60)
        token.raise_for_status()
        realm = realm_import(realm_spec(settings), lambda _: self._secret)
        headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
        requests.post(f"{base}/admin/realms", json=realm, headers=headers, timeout=60).raise_for_status()
