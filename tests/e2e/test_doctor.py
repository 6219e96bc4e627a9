"""Every known failure is put into a real running stack, and the doctor names it; a healthy one raises no alarm.

Failures that do not hide one another are put in together: an examination costs seconds.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.postgres import password_variable
from components.realm.spec import GROUPS_MAPPER
from settings.catalogue import refs
from stackctl.clients.keycloak_admin import KeycloakAdmin
from tests.e2e.certificates import self_signed
from tests.e2e.cluster import until
from tests.e2e.harness import Stack, docker, inspect
from tests.e2e.patient import WRONG, DockerPatient, mend

# One worker runs them all: they share one stack, and come in order.
pytestmark = pytest.mark.xdist_group("doctor")
# Seconds that a busy machine may take to hear what a clock says.
ROOM = 60


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerPatient]:
    stack = Stack.make("compose", tmp_path_factory.mktemp("doctor"))
    try:
        stack.up()
        yield DockerPatient(stack)
    finally:
        stack.destroy(check=False)


def test_a_healthy_stack_raises_no_alarm(patient: DockerPatient) -> None:
    assert patient.examine() == {}


@pytest.fixture
def well_again(patient: DockerPatient, request: pytest.FixtureRequest) -> Iterator[None]:
    """Puts back what a test that fails leaves in the database and the realm, for those that come after it."""
    password = docker("exec", patient.stack.container("postgres"), "printenv", password_variable("mlflow")).strip()
    before = request.session.testsfailed
    yield
    if request.session.testsfailed > before:
        patient.sql(f"ALTER ROLE mlflow PASSWORD '{password}'")
        patient.stack.up()
        patient.settle()


@pytest.mark.usefixtures("well_again")
def test_what_is_wrong_in_the_database_and_the_realm_is_found_and_mended_as_told(patient: DockerPatient) -> None:
    url, server = patient.outputs["mlflow_url"], patient.client("mlflow")
    patient.sql(f"ALTER ROLE mlflow PASSWORD '{WRONG}'")
    patient.change_client("mlflow", secret=WRONG, redirectUris=["http://localhost:1/callback"])
    patient.drop_mapper("mlflow", GROUPS_MAPPER)
    patient.drop_mapper("mlflow-cli", "audience")
    patient.change_realm(sslRequired="external", attributes={"frontendUrl": "http://keycloak:8080"})
    group = next(g for g in patient.admin.get("/groups") if g["name"] == "mlflow-users")
    patient.admin.request("PUT", f"/groups/{group['id']}", json={"name": "mlflow-user"})
    docker("exec", patient.stack.container("mlflow"), "bash", "-c", "head -c 255M /dev/zero > /tmp/fill")
    try:
        found = patient.examine()
        assert set(found) == {
            "database-password", "client-credentials", "redirect-uri", "groups-claim", "audience", "https-required",
            "internal-hostname", "issuer", "group-names", "disk-full",
        }  # fmt: skip
        assert "mlflow@postgres:5432/mlflow" in found["database-password"][0]["evidence"]
        assert "changed in the database" in found["database-password"][0]["cause"]
        assert "changed in Keycloak" in found["client-credentials"][0]["cause"]
        assert {f["evidence"].split()[1] for f in found["groups-claim"]} == {"access", "id"}
        assert "client mlflow-cli" in found["audience"][0]["evidence"]
        assert "sslRequired of realm mlflow is external" in found["https-required"][0]["evidence"]
        assert "http://keycloak:8080" in found["internal-hostname"][0]["evidence"]
        assert "nearly the same: mlflow-user" in found["group-names"][0]["cause"]
        assert "/tmp" in found["disk-full"][0]["evidence"]
        for kind in ("client-credentials", "groups-claim"):
            mend(found[kind][0])
    finally:
        docker("exec", patient.stack.container("mlflow"), "rm", "-f", "/tmp/fill")
        patient.admin.request("PUT", f"/groups/{group['id']}", json={"name": "mlflow-users"})
        patient.change_realm(sslRequired="none", attributes={"frontendUrl": ""})
        patient.change_client("mlflow", redirectUris=[f"{url}/callback"])
        add_mapper(patient, "mlflow-cli", next(m for m in server["protocolMappers"] if m["name"] == "audience"))
    # This one starts the database anew, and so comes when nothing else needs it.
    mend(found["database-password"][0])
    patient.settle()
    assert patient.examine() == {}


def add_mapper(patient: DockerPatient, client_id: str, mapper: Mapping[str, Any]) -> None:
    body = {key: value for key, value in mapper.items() if key != "id"}
    patient.admin.request("POST", f"/clients/{patient.client(client_id)['id']}/protocol-mappers/models", json=body)


def test_users_groups_and_service_accounts_are_held_against_their_declaration(patient: DockerPatient) -> None:
    def differing(command: str) -> dict[str, list[str]]:
        done = patient.stack.stackctl(command, "--output", "json", check=False)
        found = {row["name"]: row["drift"] for row in json.loads(done.stdout) if row["drift"]}
        assert done.returncode == (1 if found else 0)
        return found

    for command in ("users", "groups", "service-accounts"):
        assert differing(command) == {}
    bob = patient.admin.find_user("bob")
    groups = {g["name"]: g["id"] for g in patient.admin.get("/groups")}
    patient.admin.request("PUT", f"/users/{bob.id}/groups/{groups['mlflow-admins']}")
    patient.change_client("mlflow", serviceAccountsEnabled=False)
    try:
        assert differing("users") == {"bob": ["also in mlflow-admins"]}
        assert differing("service-accounts") == {"mlflow": ["declared, and not in Keycloak"]}
    finally:
        patient.admin.request("DELETE", f"/users/{bob.id}/groups/{groups['mlflow-admins']}")
        patient.change_client("mlflow", serviceAccountsEnabled=True)
    account = patient.admin.service_account(patient.admin.find_client("mlflow"))
    patient.admin.request("PUT", f"/users/{account.id}/groups/{groups['mlflow-users']}")


def test_grants_that_nobody_has_are_found(patient: DockerPatient) -> None:
    patient.sql(
        """\\c oidc
        INSERT INTO groups (group_name) VALUES ('former');
        INSERT INTO experiment_group_permissions (experiment_id, group_id, permission)
        SELECT '0', id, 'READ' FROM groups WHERE group_name = 'former'"""
    )
    try:
        found = patient.examine()
        assert set(found) == {"group-grants"}
        assert "grants for former (1);" in found["group-grants"][0]["evidence"]
    finally:
        patient.sql(
            """\\c oidc
            DELETE FROM experiment_group_permissions; DELETE FROM groups WHERE group_name = 'former'"""
        )


def _failed(stack: Stack) -> Iterator[bool]:
    """Whether each container that is there to fail has failed, for which a busy machine takes its time."""
    flaps, starves, sulks = (inspect(stack.container(f"extra-{role}")) for role in ("flaps", "starves", "sulks"))
    # As often as the doctor takes for a sign, whatever the program does as it looks.
    yield flaps["RestartCount"] >= 3
    if starves["State"]["Status"] == "exited" and not starves["State"]["OOMKilled"]:
        # Docker sometimes hears from the kernel only after the container has ended, and then says nothing of it.
        docker("start", stack.container("extra-starves"))
    yield starves["State"]["OOMKilled"]
    yield sulks["State"]["Health"]["Status"] == "unhealthy"


def test_containers_that_stop_restart_starve_or_do_not_serve_are_found(patient: DockerPatient) -> None:
    image = refs()["redis"]
    shell = ("--entrypoint", "bash", image, "-c")
    patient.change_realm(sslRequired="all")
    docker("stop", "-t", "2", patient.stack.container("redis"))
    try:
        with (
            patient.beside("flaps", "--restart", "always", *shell, "exit 3"),
            patient.beside("starves", "-m", "16m", "--memory-swap", "16m", *shell, "x=$(tr '\\0' a < /dev/zero)"),
            patient.beside("sulks", "--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1",
                          *shell, "sleep 1000"),
        ):  # fmt: skip
            until(lambda: all(_failed(patient.stack)), "the containers fail", 120)
            found = patient.examine()
    finally:
        docker("start", patient.stack.container("redis"))
        patient.change_realm(sslRequired="none")
    assert set(found) == {
        "container-not-running", "container-restarting", "container-out-of-memory", "container-unhealthy",
        "redis-unreachable", "https-required",
    }  # fmt: skip
    assert "403 HTTPS required" in found["https-required"][0]["evidence"]
    assert [f["evidence"].split(":")[0] for f in found["container-not-running"]] == [patient.stack.container("redis")]
    assert "16 MiB" in found["container-out-of-memory"][0]["cause"]


def test_an_mlflow_that_was_made_with_wrong_settings_is_found(patient: DockerPatient) -> None:
    right = docker("exec", patient.stack.container("mlflow"), "printenv", "CACHE_REDIS_URL").strip()
    wrong: dict[str, str | None] = {
        "OIDC_SCOPE": "openid emails profile",
        "OIDC_GROUP_NAME": "mlflow-userz",
        "OIDC_CLIENT_SECRET": WRONG,
        "OIDC_AUDIENCE": None,
        "OIDC_ISSUER": None,
        "CACHE_REDIS_URL": right.replace("/0", "/99"),
        "REDIS_HOST": "cache",
        "SESSION_TYPE": "redis",
    }
    with patient.other_mlflow(wrong):
        found = patient.examine()
    assert set(found) == {
        "scope", "group-names", "client-credentials", "audience", "issuer", "redis-address", "cache-store",
        "container-outdated",
    }  # fmt: skip
    assert "invalid_scope" in found["scope"][0]["evidence"]
    assert "nearly the same: mlflow-users" in found["group-names"][0]["cause"]
    assert "another secret than Keycloak" in found["client-credentials"][0]["cause"]
    outdated = found["container-outdated"][0]["evidence"]
    assert "OIDC_SCOPE is 'openid emails profile', defined is 'openid email profile'" in outdated
    assert "OIDC_CLIENT_SECRET differs (secret)" in outdated
    assert "SESSION_TYPE is set, and not defined" in outdated


def test_an_mlflow_that_answers_for_another_host_is_found(patient: DockerPatient) -> None:
    """By itself: such a server refuses the login too, by which other faults are found."""
    with patient.other_mlflow({"MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.com"}):
        found = patient.examine()
    assert set(found) == {"allowed-hosts", "container-outdated"}


def test_a_stack_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    absent = Stack.make("compose", tmp_path)
    absent.write_config()
    done = absent.stackctl("doctor", "--output", "json", check=False)
    assert done.returncode == 1
    assert [f["id"] for f in json.loads(done.stdout)["findings"]] == ["stack-missing"]


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An https server with a CA of its own whose clock is ten minutes behind."""
    certificate, private = self_signed(tmp_path, "localhost")

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header(
                "Location", "https://keycloak:8443/realms/mlflow/protocol/openid-connect/auth?scope=openid"
            )
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() - 600)

        def log_message(self, *args: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}", certificate
    server.shutdown()


def _seconds(text: str, how: str) -> int:
    """By how much a clock is said to differ."""
    found = re.search(rf"\b(\d+) s {how}", text)
    assert found, text
    return int(found[1])


def test_a_foreign_certificate_a_late_clock_and_an_internal_name_are_found_from_afar(
    foreign: tuple[str, Path], tmp_path: Path
) -> None:
    url, certificate = foreign
    laptop = Stack("compose", tmp_path, {})

    def examine(*args: str) -> dict[str, str]:
        done = laptop.stackctl("doctor", "--output", "json", "--url", url, *args, check=False)
        assert done.returncode == 1
        return {f["id"]: f["evidence"] for f in json.loads(done.stdout)["findings"]}

    assert set(examine()) == {"ca-chain"}
    trusted = examine("--ca-bundle", str(certificate))
    assert set(trusted) == {"clock-skew", "internal-hostname", "keycloak-unreachable"}
    assert abs(_seconds(trusted["clock-skew"], "behind") - 600) < ROOM


def test_from_a_url_alone_what_can_be_seen_is_found(patient: DockerPatient) -> None:
    url = patient.outputs["mlflow_url"]
    assert patient.examine("--url", url) == {}
    patient.change_client("mlflow", enabled=False)
    try:
        assert set(patient.examine("--url", url)) == {"client-credentials"}
    finally:
        patient.change_client("mlflow", enabled=True)


def _free_mib(place: Path) -> int:
    """For everybody but root (statvfs(3))."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize >> 20


def test_a_data_volume_without_room_is_found(patient: DockerPatient, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file as a disk")
    image, place = tmp_path / "disk", tmp_path / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(("mkfs.ext4", "-q", image), check=True)
    subprocess.run(("mount", "-o", "loop", image, place), check=True)
    try:
        place.chmod(0o777)
        fill = ("--entrypoint", "bash", refs()["redis"], "-c", "head -c 32M /dev/zero > /data/fill; sleep 1000")
        with patient.beside("fills", "-v", f"{place}:/data", *fill):
            until(lambda: _free_mib(place) == 0, "the disk is full")
            found = patient.examine()
    finally:
        subprocess.run(("umount", place), check=True)
    assert set(found) == {"disk-full"}
    [finding] = found["disk-full"]
    assert f"{patient.stack.container('extra-fills')}: /data has 0 MiB free" in finding["evidence"]
    assert finding["fix"] == "docker system df"


# Answers nothing: who does not trust its certificate never asks it anything.
SERVE_TLS = """
import http.server, ssl
server = http.server.HTTPServer(("", 8443), http.server.BaseHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/ca.pem", "/tls/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def test_a_clock_that_is_ahead_and_an_issuer_with_a_foreign_certificate_are_found(
    patient: DockerPatient, tmp_path: Path
) -> None:
    """MLflow and all that is run in its container see another time; it is sent to a server of an unknown CA."""
    [library, *_] = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None]
    if library is None:
        pytest.skip("libfaketime is not installed; scripts/test-tools installs it")
    mlflow, host = patient.stack.container("mlflow"), patient.stack.container("extra-tls")
    self_signed(tmp_path, host)
    network = next(iter(inspect(mlflow)["NetworkSettings"]["Networks"]))
    serve = ("--user", "0", "-v", f"{tmp_path}:/tls:ro", "--network", network, "--entrypoint", "python")
    changes = {
        "LD_PRELOAD": "/faketime.so",
        "FAKETIME": "+15m",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "OIDC_DISCOVERY_URL": f"https://{host}:8443/realms/mlflow",
    }
    with patient.beside("tls", *serve, refs()["mlflow"], "-c", SERVE_TLS):
        # Nothing is put back from here on: these are the stack's last tests.
        patient.remake("mlflow", changes, "-v", f"{library}:/faketime.so:ro")
        patient.settle()
        found = patient.examine()
    assert set(found) == {"clock-skew", "ca-chain", "container-outdated"}
    clocks = [finding["evidence"] for finding in found["clock-skew"]]
    assert {text.partition(" is ")[0] for text in clocks} == {"the Date of MLflow's answer", f"the clock of {mlflow}"}
    assert all(abs(_seconds(text, "ahead of this machine's") - 900) < ROOM for text in clocks)
    assert f"from inside MLflow, {host}:8443" in found["ca-chain"][0]["evidence"]
    assert "self-signed certificate" in found["ca-chain"][0]["evidence"]


def test_an_mlflow_that_looks_for_the_others_in_the_wrong_place_is_found(patient: DockerPatient) -> None:
    outputs = patient.outputs
    right = docker("exec", patient.stack.container("mlflow"), "printenv", "CACHE_REDIS_URL").strip()
    password = right.partition("://:")[2].partition("@")[0]
    wrong: dict[str, str | None] = {
        "OIDC_DISCOVERY_URL": f"http://localhost:8080/realms/{outputs['realm']}/.well-known/openid-configuration",
        "OIDC_REDIRECT_URI": "http://mlflow:5000/callback",
        "OIDC_CLIENT_ID": "mlfow",
        "OIDC_GROUPS_ATTRIBUTE": "roles",
        "OIDC_ISSUER": f"{outputs['keycloak_url']}/realms/other",
        "CACHE_REDIS_URL": right.replace(password, WRONG),
        "OIDC_USERS_DB_URI": "postgresql+psycopg2://oidc:nothing@postgre:5432/oidc",
    }
    patient.remake("mlflow", wrong)
    found = patient.examine()
    assert {
        "localhost-in-container", "internal-hostname", "client-credentials", "issuer", "redis-password",
        "database-unreachable", "container-outdated",
    } <= set(found)  # fmt: skip
    assert "no client mlfow" in found["client-credentials"][0]["cause"]
    assert "OIDC_DISCOVERY_URL of mlflow names localhost" in found["localhost-in-container"][0]["evidence"]


def test_servers_that_are_gone_and_an_administrator_that_is_refused_are_found(patient: DockerPatient) -> None:
    master = KeycloakAdmin(patient.outputs["keycloak_url"], "master", patient.admin._provisioner)
    client = master.find_client(patient.outputs["provisioner"]["client_id"])
    master.request("PUT", f"/clients/{client.uuid}", json={"secret": WRONG})
    assert "keycloak-admin" in patient.examine()
    docker("stop", "-t", "1", patient.stack.container("mlflow"), patient.stack.container("keycloak"))
    found = patient.examine()
    assert {"container-not-running", "mlflow-unreachable", "keycloak-unreachable"} <= set(found)
