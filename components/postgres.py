"""Postgres: one database and one least-privileged role for each program that stores data."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from components.identity import JOBS
from components.secret import given_secret
from platforms.secrets import Change, Secret, SecretText, UrlQuoted
from platforms.workload import Databases, ExecCheck, Outside, Port, Probe, Resources, Service, Volume, Workload
from settings import CONNECTIONS, Settings, postgres_has_certificates
from settings.model import DatabaseLogin
from settings.versions import image

PORT = 5432
# A number that no account of a host has (docs/decisions/0008-docker-isolation.md).
UID = 60901
SERVER = "postgres"
KEYCLOAK_SERVER = "postgres-keycloak"
DATA_VOLUME = "data"
DATA_PATH = "/var/lib/postgresql/data"
# Agreed with images/postgres: the cluster's own directory, and the file in it that says which databases and passwords
# the cluster was last told. Without that file the next start tells it again.
DATA_DIRECTORY = f"{DATA_PATH}/pgdata"
ROLES_FILE = "stack-roles.sha256"
# Agreed with images/postgres as well: the databases to make, and the superuser's password.
DATABASES_VARIABLE = "STACK_DATABASES"
SUPERUSER_VARIABLE = "POSTGRES_PASSWORD"
# Where an external server's private CA is found in the containers that connect to it.
CA_BUNDLE_PATH = "/etc/stack-ca/ca.pem"
# What every image of the stack trusts by itself.
SYSTEM_CA_PATH = "/etc/ssl/certs/ca-certificates.crt"
PARAMETERS = {"shared_buffers": "32MB", "max_connections": str(CONNECTIONS), "password_encryption": "scram-sha-256"}


@dataclass(frozen=True)
class Database:
    """How a program reaches its database.

    authority: the workload whose certificates are signed by a CA of its target's making.
    """

    host: str
    port: int
    name: str
    role: str
    password: Secret
    ssl_mode: str
    root_certificate: str
    external: bool = False
    authority: str = ""

    @property
    def authorities(self) -> dict[str, str]:
        return {self.root_certificate: self.authority} if self.authority else {}

    @property
    def outside(self) -> tuple[Outside, ...]:
        """What a program connects to outside the stack for it."""
        return (Outside(self.host, self.port),) if self.external else ()

    @property
    def sqlalchemy_url(self) -> SecretText:
        """SQLAlchemy 2.1 reads a plain postgresql:// as psycopg 3; the driver is named for that reason."""
        end = f"@{self.host}:{self.port}/{self.name}{self._options}"
        return SecretText.of(f"postgresql+psycopg2://{quote(self.role)}:", UrlQuoted(self.password), end)

    @property
    def jdbc_url(self) -> str:
        return f"jdbc:postgresql://{self.host}:{self.port}/{self.name}{self._options}"

    @property
    def _options(self) -> str:
        """libpq and the JDBC driver spell these alike."""
        if self.ssl_mode == "disable":
            return ""
        query = {"sslmode": self.ssl_mode}
        if self.ssl_mode.startswith("verify"):
            query["sslrootcert"] = self.root_certificate
        return "?" + urlencode(query, safe="/")


def keycloak_database(settings: Settings) -> Database:
    external = settings.postgres.external
    if external and external.keycloak:
        return _external(settings, "keycloak", external.keycloak)
    return _own(settings, "keycloak", KEYCLOAK_SERVER if settings.postgres.separate_keycloak else SERVER)


def mlflow_database(settings: Settings) -> Database:
    external = settings.postgres.external
    return _external(settings, "mlflow", external.mlflow) if external else _own(settings, "mlflow", SERVER)


def oidc_database(settings: Settings) -> Database:
    """The plugin's own database: two Alembic histories in one need care, in two they need none."""
    external = settings.postgres.external
    return _external(settings, "oidc", external.oidc) if external else _own(settings, "oidc", SERVER)


def _password(role: str) -> Secret:
    return Secret(f"postgres-{role}-password", change=Change.COORDINATED)


def password_variable(role: str) -> str:
    """The variable that tells a server of the stack the password of a role (images/postgres)."""
    return f"{role.upper()}_PASSWORD"


def _own(settings: Settings, role: str, server: str) -> Database:
    password = _password(role)
    if not postgres_has_certificates(settings):
        return Database(server, PORT, role, role, password, "disable", "")
    roots = f"/etc/{server}-ca/ca.crt"
    return Database(server, PORT, role, role, password, "verify-full", roots, authority=server)


def _external(settings: Settings, part: str, login: DatabaseLogin) -> Database:
    external = settings.postgres.external
    assert external is not None
    password = given_secret(_password(part), login.password or login.existing_secret)
    roots = CA_BUNDLE_PATH if settings.ca_bundle else SYSTEM_CA_PATH
    return Database(
        external.host, external.port, login.database, login.username, password, external.ssl_mode, roots, external=True
    )


def postgres_workloads(settings: Settings) -> tuple[Workload, ...]:
    """The servers the stack runs itself: none when an external one is used."""
    if settings.postgres.external:
        return ()
    own_keycloak = settings.keycloak.existing is None
    if own_keycloak and settings.postgres.separate_keycloak:
        return (
            _server(settings, SERVER, {"mlflow": "mlflow", "oidc": "mlflow"}),
            _server(settings, KEYCLOAK_SERVER, {"keycloak": "keycloak"}),
        )
    roles = {"mlflow": "mlflow", "oidc": "mlflow"}
    if own_keycloak:
        roles["keycloak"] = "keycloak"
    return (_server(settings, SERVER, roles),)


def _server(settings: Settings, name: str, callers: dict[str, str]) -> Workload:
    """One server. `callers` maps each role, and so each database, to the workload that logs in with it."""
    roles = sorted(callers)
    programs = {*callers.values(), *((JOBS,) if settings.mlflow.jobs and "mlflow" in roles else ())}
    return Workload(
        name=name,
        image=image(settings, "postgres-seeded"),
        uid=UID,
        resources=Resources(memory_mib=settings.postgres.memory_mib, cpus=1.0),
        args=tuple(word for name, value in PARAMETERS.items() for word in ("-c", f"{name}={value}")),
        env={
            DATABASES_VARIABLE: ",".join(roles),
            "POSTGRES_INITDB_ARGS": "--data-checksums",
        },
        secret_env={
            SUPERUSER_VARIABLE: SecretText.of(Secret(f"{name}-superuser-password", change=Change.COORDINATED)),
            **{password_variable(role): SecretText.of(_password(role)) for role in roles},
        },
        ports=(Port("postgres", PORT, callers=tuple(sorted(programs))),),
        volumes=(Volume(DATA_VOLUME, DATA_PATH),),
        writable=("/tmp", "/run/postgresql"),
        # A TCP check: while the databases are made, the server listens on its socket alone.
        runs=Service(Probe(local=ExecCheck(("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(PORT))))),
        databases=Databases({role: _password(role) for role in roles}, PARAMETERS),
    )
