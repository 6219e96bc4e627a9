"""Every known failure is put into a real running stack, and the doctor names it; a healthy one raises no alarm.

Failures that do not hide one another are put in together: an examination costs seconds.
"""

from __future__ import annotations

import datetime
import json
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from platforms.labels import LABEL_COMPONENT, LABEL_PROJECT, LABEL_STACK
from settings import PROJECT
from settings.catalogue import refs
from stackctl.errors import AccessError
from stackctl.keycloak_admin import KeycloakAdmin, Provisioner
from tests.e2e.harness import Stack, docker

# One worker runs them all: they share one stack, and come in order.
pytestmark = pytest.mark.xdist_group("doctor")
WRONG = "not-the-secret-that-is-expected"


class Patient:
    """A stack that is made ill and well again."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.outputs = stack.outputs()
        account = self.outputs["provisioner"]
        provisioner = Provisioner(account["client_id"], account["client_secret"], account["realm"])
        self.admin = KeycloakAdmin(self.outputs["keycloak_url"], self.outputs["realm"], provisioner)

    def examine(self, *args: str) -> dict[str, list[dict[str, str]]]:
        """The findings by id; the exit code and the absence of secrets are checked on the way."""
        done = self.stack.stackctl("doctor", "--output", "json", *args, check=False)
        assert done.stderr.count("Traceback") == 0, done.stderr
        document = json.loads(done.stdout)
        assert done.returncode == (0 if document["healthy"] else 1)
        assert document["unchecked"] == []
        for secret in self.secrets():
            assert secret not in done.stdout + done.stderr
        found: dict[str, list[dict[str, str]]] = {}
        for finding in document["findings"]:
            assert all(finding[part] for part in ("what", "evidence", "cause", "fix")), finding
            found.setdefault(finding["id"], []).append(finding)
        return found

    def secrets(self) -> list[str]:
        kept = self.stack.home / "state" / PROJECT / self.stack.name / "secrets.json"
        return [*json.loads(kept.read_text()).values(), WRONG]

    def client(self, client_id: str) -> dict[str, Any]:
        return dict(self.admin.find_client(client_id).representation)

    def change_client(self, client_id: str, **change: Any) -> None:
        self.admin.request("PUT", f"/clients/{self.client(client_id)['id']}", json=change)

    def change_realm(self, **change: Any) -> None:
        self.admin.request("PUT", "", json=change)

    def drop_mapper(self, client_id: str, name: str) -> None:
        client = self.client(client_id)
        mapper = next(m for m in client["protocolMappers"] if m["name"] == name)
        self.admin.request("DELETE", f"/clients/{client['id']}/protocol-mappers/models/{mapper['id']}")

    def sql(self, statement: str) -> None:
        script = "PGPASSWORD=$POSTGRES_PASSWORD exec psql -q -h 127.0.0.1 -U postgres"
        subprocess.run(
            ("docker", "exec", "-i", self.stack.container("postgres"), "bash", "-c", script),
            input=statement, text=True, check=True, capture_output=True,
        )  # fmt: skip

    @contextmanager
    def other_mlflow(self, changes: Mapping[str, str | None]) -> Iterator[None]:
        """MLflow with other variables, and afterwards as it is defined."""
        try:
            self.remake_mlflow(changes)
            self.settle()
            yield
        finally:
            docker("rm", "-fv", self.stack.container("mlflow"))
            self.stack.up()

    def remake_mlflow(self, changes: Mapping[str, str | None]) -> None:
        """MLflow again as it was, but for these variables; None takes one away."""
        name = self.stack.container("mlflow")
        was = json.loads(docker("inspect", name))[0]
        env = dict(entry.partition("=")[::2] for entry in was["Config"]["Env"]) | dict(changes)
        words = [w for key, value in env.items() if value is not None for w in ("-e", f"{key}={value}")]
        words += [w for key, value in was["Config"]["Labels"].items() for w in ("--label", f"{key}={value}")]
        for inside, ends in was["HostConfig"]["PortBindings"].items():
            words += ["-p", f"{ends[0]['HostIp']}:{ends[0]['HostPort']}:{inside.partition('/')[0]}"]
        words += [w for bind in was["HostConfig"]["Binds"] for w in ("-v", bind)]
        words += [w for path, options in was["HostConfig"]["Tmpfs"].items() for w in ("--tmpfs", f"{path}:{options}")]
        networks = list(was["NetworkSettings"]["Networks"])
        docker("rm", "-fv", name)
        docker("create", "--name", name, "--network", networks[0], "-m", str(was["HostConfig"]["Memory"]), *words,
               was["Config"]["Image"], *was["Config"]["Cmd"])  # fmt: skip
        for network in networks[1:]:
            docker("network", "connect", network, name)
        docker("start", name)

    def settle(self) -> None:
        """Wait until Keycloak and MLflow reach their databases."""
        self.wait(lambda: bool(self.admin.realm()))
        self.wait(lambda: requests.get(f"{self.outputs['mlflow_url']}/health/ready", timeout=5).status_code == 200)

    @staticmethod
    def wait(ready: Callable[[], bool], seconds: int = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if ready():
                    return
            except (AccessError, requests.exceptions.RequestException):
                pass
            assert time.monotonic() < deadline, "the stack did not become ready"
            time.sleep(0.5)

    @contextmanager
    def beside(self, role: str, *words: str) -> Iterator[None]:
        """One more container with the stack's labels."""
        name = self.stack.container(f"extra-{role}")
        labels = {LABEL_PROJECT: PROJECT, LABEL_STACK: self.stack.name, LABEL_COMPONENT: f"extra-{role}"}
        shown = [w for key, value in labels.items() for w in ("--label", f"{key}={value}")]
        docker("run", "-d", "--name", name, *shown, *words)
        try:
            yield
        finally:
            docker("rm", "-fv", name)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    stack = Stack.make("compose", tmp_path_factory.mktemp("doctor"))
    try:
        stack.up()
        yield Patient(stack)
    finally:
        stack.destroy(check=False)


def mend(finding: Mapping[str, str]) -> None:
    """Run the command that the finding names."""
    subprocess.run(("bash", "-c", finding["fix"]), check=True, capture_output=True, timeout=120)


def test_a_healthy_stack_raises_no_alarm(patient: Patient) -> None:
    assert patient.examine() == {}


def test_what_is_wrong_in_the_database_and_the_realm_is_found_and_mended_as_told(patient: Patient) -> None:
    url, server = patient.outputs["mlflow_url"], patient.client("mlflow")
    patient.sql(f"ALTER ROLE mlflow PASSWORD '{WRONG}'")
    patient.change_client("mlflow", secret=WRONG, redirectUris=["http://localhost:1/callback"])
    patient.drop_mapper("mlflow", "groups")
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


def add_mapper(patient: Patient, client_id: str, mapper: Mapping[str, Any]) -> None:
    body = {key: value for key, value in mapper.items() if key != "id"}
    patient.admin.request("POST", f"/clients/{patient.client(client_id)['id']}/protocol-mappers/models", json=body)


def test_users_groups_and_service_accounts_are_held_against_their_declaration(patient: Patient) -> None:
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


def test_containers_that_stop_restart_starve_or_do_not_serve_are_found(patient: Patient) -> None:
    image = refs()["redis"]
    shell = ("--entrypoint", "bash", image, "-c")
    patient.change_realm(sslRequired="all")
    docker("stop", "-t", "2", patient.stack.container("redis"))
    try:
        with (
            patient.beside("flaps", "--restart", "always", *shell, "exit 3"),
            patient.beside("starves", "-m", "16m", "--memory-swap", "16m", *shell, "x=$(tr '\\0' a < /dev/zero)"),
            patient.beside("sulks", "--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1",
                          *shell, "sleep 100"),
        ):  # fmt: skip
            time.sleep(5)
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


def test_an_mlflow_that_was_made_with_wrong_settings_is_found(patient: Patient) -> None:
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
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.com",
    }
    with patient.other_mlflow(wrong):
        found = patient.examine()
    assert set(found) == {
        "scope", "group-names", "client-credentials", "audience", "issuer", "redis-address", "cache-store",
        "allowed-hosts", "container-outdated",
    }  # fmt: skip
    assert "invalid_scope" in found["scope"][0]["evidence"]
    assert "nearly the same: mlflow-users" in found["group-names"][0]["cause"]
    assert "another secret than Keycloak" in found["client-credentials"][0]["cause"]
    outdated = found["container-outdated"][0]["evidence"]
    assert "OIDC_SCOPE is 'openid emails profile', defined is 'openid email profile'" in outdated
    assert "OIDC_CLIENT_SECRET differs (secret)" in outdated
    assert "SESSION_TYPE is set, and not defined" in outdated


def test_a_stack_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    absent = Stack.make("compose", tmp_path)
    absent.write_config()
    done = absent.stackctl("doctor", "--output", "json", check=False)
    assert done.returncode == 1
    assert [f["id"] for f in json.loads(done.stdout)["findings"]] == ["stack-missing"]


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An https server with a CA of its own whose clock is ten minutes behind."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, private = tmp_path / "ca.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

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
    assert re.search(r"\b(59\d|60\d) s behind", trusted["clock-skew"])


def test_from_a_url_alone_what_can_be_seen_is_found(patient: Patient) -> None:
    url = patient.outputs["mlflow_url"]
    assert patient.examine("--url", url) == {}
    patient.change_client("mlflow", enabled=False)
    try:
        assert set(patient.examine("--url", url)) == {"client-credentials"}
    finally:
        patient.change_client("mlflow", enabled=True)


def test_an_mlflow_that_looks_for_the_others_in_the_wrong_place_is_found(patient: Patient) -> None:
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
    # Nothing is put back from here on: these are the stack's last tests.
    patient.remake_mlflow(wrong)
    found = patient.examine()
    assert {
        "localhost-in-container", "internal-hostname", "client-credentials", "issuer", "redis-password",
        "database-unreachable", "container-outdated",
    } <= set(found)  # fmt: skip
    assert "no client mlfow" in found["client-credentials"][0]["cause"]
    assert "OIDC_DISCOVERY_URL of mlflow names localhost" in found["localhost-in-container"][0]["evidence"]


def test_servers_that_are_gone_and_an_administrator_that_is_refused_are_found(patient: Patient) -> None:
    master = KeycloakAdmin(patient.outputs["keycloak_url"], "master", patient.admin._provisioner)
    client = master.find_client(patient.outputs["provisioner"]["client_id"])
    master.request("PUT", f"/clients/{client.uuid}", json={"secret": WRONG})
    assert "keycloak-admin" in patient.examine()
    docker("stop", "-t", "1", patient.stack.container("mlflow"), patient.stack.container("keycloak"))
    found = patient.examine()
    assert {"container-not-running", "mlflow-unreachable", "keycloak-unreachable"} <= set(found)
