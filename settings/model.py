"""The typed settings of a stack: every key, its type, its default and what it means.

Keys are written in camelCase under the `mlflow-sso` namespace of `Pulumi.<stack>.yaml`. The
defaults are those people know: MLflow on port 5000, Keycloak on 8080, realm and client `mlflow`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, PrivateAttr, Tag

from settings.kubernetes import ExistingSecret, Kubernetes
from settings.realm import Realm
from settings.stores import S3, Azure, Gcs
from settings.types import (
    Address,
    Base,
    Destination,
    Group,
    Host,
    Line,
    Name,
    OptionalText,
    Origin,
    Password,
    Place,
    SecretValue,
    TcpPort,
    Url,
    VariableText,
    Version,
)

PROJECT = "mlflow-sso"


class Platform(StrEnum):
    """Where the stack runs."""

    DOCKER = "docker"
    KUBERNETES = "kubernetes"


class Environment(StrEnum):
    """What the stack is for; it moves the defaults of direct grants and sample users."""

    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class ImageSource(StrEnum):
    """Where images come from: a registry, this machine, or the registry if it answers."""

    AUTO = "auto"
    PULL = "pull"
    BUILD = "build"


def _is_existing(value: object) -> str:
    return "=existing" if isinstance(value, dict | ExistingSecret) else "=text"


# A secret's text, or the place of one that Kubernetes keeps.
GivenSecret = Annotated[
    Annotated[SecretValue, Tag("=text")] | Annotated[ExistingSecret, Tag("=existing")], Discriminator(_is_existing)
]


class Tls(Group):
    """How https is served: from certificate files, or by a TLS proxy in front."""

    certificate_file: str | None = Field(None, description="PEM certificate chain")
    key_file: str | None = Field(None, description="PEM private key")
    proxy: bool = Field(False, description="A proxy in front ends TLS and sets X-Forwarded-*")
    trusted_proxies: tuple[str, ...] = Field((), description="Addresses or networks whose X-Forwarded-* are believed")


class Egress(Group):
    """A server outside the stack that a program may connect to."""

    host: Destination = Field(
        description="Host name, IPv4 address or network; of a name a NetworkPolicy opens the port alone"
    )
    port: TcpPort = Field(description="Its TCP port")


class Limits(Group):
    """What one request and one user may ask of MLflow; what is beyond is refused with 413, 408 or 429."""

    request_mib: Annotated[int, Field(ge=1, le=256)] = Field(16, description="Largest body of a call, in MiB")
    trace_mib: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="Largest body of a call that brings spans, in MiB; of a compressed one, twice that unpacked"
    )
    artifact_mib: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Largest artifact, in MiB; none: what the store holds"
    )
    idle_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        60, description="Longest wait for the next piece of a body"
    )
    requests_per_user: Annotated[int, Field(ge=4, le=10_000)] = Field(
        128, description="Requests of one user that a server process has at once"
    )
    statement_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(60, description="Longest statement in a database")


class Jobs(Group):
    """Judges on traces, evaluations, the search for issues, started from MLflow's pages; in a container of its own."""

    workers: Annotated[int, Field(ge=1, le=16)] = Field(2, description="Jobs that run at once")
    memory_mib: Annotated[int, Field(ge=512)] | None = Field(
        None, description="Memory limit in MiB; default: 512, and 512 for each job at once"
    )
    timeout_seconds: Annotated[int, Field(ge=10, le=86_400)] = Field(3600, description="Longest time of one job")


class Mlflow(Group):
    """The MLflow server and its mlflow-oidc-auth plugin."""

    url: Base = Field(
        "http://localhost:5000",
        description="The URL people and clients use; with a path it leaves the rest of its host",
    )
    port: TcpPort | None = Field(None, description="Host port; default: that of the url, or behind a proxy 5000")
    plugin_version: Version = Field("11.0.2", description="Version of mlflow-oidc-auth")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Server processes of each replica")
    replicas: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Servers side by side")
    max_replicas: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None, description="Under load the target may add servers up to this"
    )
    memory_mib: Annotated[int, Field(ge=512)] = Field(1536, description="Memory limit in MiB")
    default_permission: Literal["NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE"] = Field(
        "NO_PERMISSIONS", description="What a user may do where nothing was granted"
    )
    username_claim: Name = Field(
        "preferred_username",
        description="Claim that names the user; not email, which people can edit in Keycloak",
    )
    automatic_login_redirect: bool = Field(
        False, description="Send a browser without a login to Keycloak at once, past the page with the button"
    )
    provision_on_bearer: bool = Field(
        True, description="A first API call with a token of an allowed group creates the user"
    )
    metrics: bool | None = Field(
        None,
        description="Prometheus metrics at a port of their own, 9464, which the url does not lead to; default: none, "
        "and on a loopback url MLflow's own at /metrics",
    )
    s3: S3 | None = Field(None, description="Artifacts in S3 in place of a volume")
    artifact_locations: tuple[Place, ...] = Field(
        (), description="Places beside its own store where artifacts of plain users may lie, such as s3://team/mlflow"
    )
    gcs: Gcs | None = Field(None, description="Artifacts in Google Cloud Storage in place of a volume")
    azure: Azure | None = Field(None, description="Artifacts in Azure Blob Storage in place of a volume")
    env: dict[str, VariableText] = Field({}, description="Further variables; never over the stack's own")
    secret_env: dict[str, GivenSecret] = Field(
        {}, description="The same, for values that are secret, or on Kubernetes in a Secret: {name, key}"
    )
    egress: tuple[Egress, ...] = Field(
        (), description="Servers that it may connect to beside those of these settings: webhooks, model APIs"
    )
    jobs: Jobs | None = Field(None, description="Run jobs, each as whoever starts it; default: none")
    limits: Limits = Limits()
    tls: Tls = Tls()


class ExistingKeycloak(Group):
    """A Keycloak that is already there. Only what the stack makes is ever changed or removed."""

    admin_client_id: Name = Field(description="Confidential client whose service account may manage the realm")
    admin_client_secret: Password = Field(description="Its secret")
    admin_realm: Name = Field("master", description="Realm of the admin client")
    internal_url: Url | None = Field(None, description="URL for containers where it is not the public one")
    create_realm: bool = Field(True, description="false: the realm exists and stays as it is")


class Keycloak(Group):
    """The identity provider."""

    url: Origin = Field("http://localhost:8080", description="The URL of browsers; the issuer")
    port: TcpPort | None = Field(None, description="Host port; default: that of the url, or behind a proxy 8080")
    version: Version | None = Field(None, description="Default: the one in versions.yaml")
    memory_mib: Annotated[int, Field(ge=512)] = Field(1024, description="Memory limit in MiB")
    replicas: Annotated[int, Field(ge=1, le=20)] = Field(1, description="Servers side by side, one cluster")
    admin_url: Origin | None = Field(
        None,
        description="URL for administration: the engine, its operators and Keycloak's console. "
        "With it a Gateway or Ingress lets in logins alone at the public one",
    )
    existing: ExistingKeycloak | None = Field(None, description="Use a Keycloak that runs already")
    egress: tuple[Egress, ...] = Field(
        (), description="Servers that it may connect to: mail, directories, other identity providers"
    )
    tls: Tls = Tls()


class DatabaseLogin(Group):
    """One database of an external server."""

    database: Name = Field(description="The database's name")
    username: Name = Field(description="The role that owns it")
    password: Password | None = Field(None, description="The role's password")
    existing_secret: ExistingSecret | None = Field(
        None, description="Where the password is on Kubernetes, in place of password"
    )


class ExternalPostgres(Group):
    """A Postgres server that is already there, with its three databases and roles."""

    host: Host = Field(description="The server's name, as containers reach it")
    port: TcpPort = Field(5432, description="The server's port")
    ssl_mode: Literal["disable", "require", "verify-ca", "verify-full"] = Field(
        "verify-full", description="TLS, as libpq's sslmode; roots: the system's, or caBundle"
    )
    keycloak: DatabaseLogin | None = None
    mlflow: DatabaseLogin
    oidc: DatabaseLogin


class Postgres(Group):
    """The database server."""

    version: Version | None = Field(None, description="Major version; default in versions.yaml")
    separate_keycloak: bool = Field(False, description="A server of its own for Keycloak")
    memory_mib: Annotated[int, Field(ge=128)] = Field(512, description="Memory limit in MiB")
    external: ExternalPostgres | None = None


class ExternalRedis(Group):
    """A Redis server that is already there."""

    host: Host = Field(description="The server's name, as containers reach it")
    port: TcpPort = Field(6379, description="The server's port")
    password: Password | None = Field(None, description="Its password, if it asks for one")
    existing_secret: ExistingSecret | None = Field(
        None, description="Where the password is on Kubernetes, in place of password"
    )
    tls: bool = Field(True, description="Whether the connection is encrypted")


class Redis(Group):
    """The permission cache shared by MLflow's workers."""

    version: Version | None = Field(None, description="Default: the one in versions.yaml")
    db: Annotated[int, Field(ge=0, le=15)] = Field(0, description="Number of the database")
    max_memory_mib: Annotated[int, Field(ge=16)] = Field(64, description="Data beyond this many MiB is evicted")
    persistent: bool = Field(False, description="Keep the data on a volume")
    external: ExternalRedis | None = None


class Docker(Group):
    """What only the Docker platform needs."""

    bind_address: Address = Field("127.0.0.1", description="Host address of published ports")


class Images(Group):
    """Where images come from."""

    source: ImageSource = Field(
        ImageSource.AUTO,
        description="Where the Debian base comes from: pull a registry, build from packages, auto either",
    )


class Settings(Group):
    """Everything a stack can be told."""

    environment: Environment = Field(Environment.DEV, description="dev, staging or prod")
    platform: Platform = Field(Platform.DOCKER, description="docker or kubernetes")
    mlflow: Mlflow = Mlflow()
    keycloak: Keycloak = Keycloak()
    realm: Realm = Realm()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    docker: Docker = Docker()
    kubernetes: Kubernetes = Kubernetes()
    images: Images = Images()
    ca_bundle: OptionalText = Field(None, description="PEM file of private CAs that all parts trust")
    moved_from: tuple[Line, ...] = Field(
        (),
        description="Places of before, as `up` names them, whose data were moved or are not needed; volumes there stay",
    )
    _root: Path = PrivateAttr(default=Path(__file__).resolve().parent.parent)

    def below(self, root: Path) -> Self:
        """The same, with the files that they name in another directory."""
        copy = self.model_copy()
        copy._root = root
        return copy

    def file(self, name: str) -> Path:
        """Where a file is that a setting names."""
        return self._root / name
