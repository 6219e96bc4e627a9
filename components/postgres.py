"""Postgres: one database and one least-privileged role for each program that stores data."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from components.secret import own_secret
from platforms.workload import ExecCheck, Port, Probe, Resources, Secret, SecretText, UrlQuoted, Volume, Workload
from settings import Settings
from settings.model import DatabaseLogin
from settings.versions import image

PORT = 5432
UID = 999
SERVER = "postgres"
KEYCLOAK_SERVER = "postgres-keycloak"
DATA_VOLUME = "data"
# Where an external server's private CA is found in the containers that connect to it.
CA_BUNDLE_PATH = "/etc/stack-ca/ca.pem"
# What every image of the stack trusts by itself.
SYSTEM_CA_PATH = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Database:
    """How a program reaches its database."""

    host: str
    port: int
    name: str
    role: str
    password: Secret
    ssl_mode: str
    root_certificate: str
    external: bool = False

    @property
    def outside(self) -> tuple[tuple[str, int], ...]:
        """What a program connects to outside the stack for it."""
        return ((self.host, self.port),) if self.external else ()

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
    return _own("keycloak", KEYCLOAK_SERVER if settings.postgres.separate_keycloak else SERVER)


def mlflow_database(settings: Settings) -> Database:
    external = settings.postgres.external
    return _external(settings, "mlflow", external.mlflow) if external else _own("mlflow", SERVER)


def oidc_database(settings: Settings) -> Database:
    """The plugin's own database: two Alembic histories in one need care, in two they need none."""
    external = settings.postgres.external
    return _external(settings, "oidc", external.oidc) if external else _own("oidc", SERVER)


def _own(role: str, server: str) -> Database:
    return Database(server, PORT, role, role, Secret(f"postgres-{role}-password"), "disable", "")


def _external(settings: Settings, part: str, login: DatabaseLogin) -> Database:
    external = settings.postgres.external
    assert external is not None
    password = own_secret(f"postgres-{part}-password", login.password or login.existing_secret)
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
    return Workload(
        name=name,
        image=image(settings, "postgres-seeded"),
        uid=UID,
        resources=Resources(memory_mib=settings.postgres.memory_mib, cpus=1.0),
        args=(
            "-c", "shared_buffers=32MB",
            "-c", "max_connections=100",
            "-c", "password_encryption=scram-sha-256",
        ),
        env={
            "STACK_DATABASES": ",".join(roles),
            "POSTGRES_INITDB_ARGS": "--data-checksums",
        },
        secret_env={
            "POSTGRES_PASSWORD": SecretText.of(Secret(f"{name}-superuser-password")),
            **{f"{role.upper()}_PASSWORD": SecretText.of(Secret(f"postgres-{role}-password")) for role in roles},
        },
        ports=(Port("postgres", PORT),),
        volumes=(Volume(DATA_VOLUME, "/var/lib/postgresql/data"),),
        writable=("/tmp", "/run/postgresql"),
        # A TCP check: while the databases are made, the server listens on its socket alone.
        probe=Probe(local=ExecCheck(("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(PORT)))),
        callers=tuple(sorted(set(callers.values()))),
    )  # fmt: skip
