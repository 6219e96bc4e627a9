"""The typed settings of a stack: every key, its type, its default and what it means.

Keys are written in camelCase under the `mlflow-sso` namespace of `Pulumi.<stack>.yaml`. The
defaults are those people know: MLflow on port 5000, Keycloak on 8080, realm and client `mlflow`.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

PROJECT = "mlflow-sso"


class Platform(StrEnum):
    """Where the stack runs."""

    DOCKER = "docker"


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


def is_loopback(host: str) -> bool:
    """Whether a host name can only ever mean this machine (RFC 6761 section 6.3, RFC 5735)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(value: str) -> str:
    """An http(s) origin without path, query or credentials; returned without a trailing slash."""
    expected = "expected a URL such as http://localhost:5000, without path, query or credentials"
    parts: SplitResult = urlsplit(value)
    try:
        port_ok = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        port_ok = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok:
        raise ValueError(expected)
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ValueError(expected)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("expected https: http is for loopback names only (localhost, *.localhost, 127.0.0.1)")
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _scope(value: str) -> str:
    words = value.split()
    if "," in value or ";" in value or not words:
        raise ValueError("expected scopes separated by spaces (RFC 6749 section 3.3)")
    if "openid" not in words:
        raise ValueError("expected the scope openid among them (OpenID Connect Core 3.1.2.1)")
    return " ".join(words)


def _number_as_text(value: object) -> object:
    """YAML reads `version: 17` as a number; a version is text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def _none_if_empty(value: object) -> object:
    """The engine's config schema has no optional text; its default is the empty one."""
    return None if value == "" else value


Origin = Annotated[str, AfterValidator(_origin)]
Scope = Annotated[str, AfterValidator(_scope)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[A-Za-z0-9][\w.-]*$")]
# A group name may hold spaces, but neither a comma (the plugin's list separator) nor a slash
# (Keycloak's path separator).
GroupName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^,/\\]+$")]
Version = Annotated[str, BeforeValidator(_number_as_text)]
TcpPort = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, StringConstraints(min_length=1, pattern=r"^[A-Za-z0-9._:-]+$")]
Seconds = Annotated[int, Field(ge=1)]


class Group(BaseModel):
    """Base of every settings group: camelCase keys, no unknown key, no change once read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )


class Tls(Group):
    """How https is served: from certificate files, or by a TLS proxy in front."""

    certificate_file: str | None = Field(None, description="PEM certificate chain")
    key_file: str | None = Field(None, description="PEM private key")
    proxy: bool = Field(False, description="A proxy in front ends TLS and sets X-Forwarded-*")
    trusted_proxies: tuple[str, ...] = Field((), description="Addresses or networks whose X-Forwarded-* are believed")

    @model_validator(mode="after")
    def _one_way(self) -> Tls:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("expected certificateFile and keyFile together")
        if self.proxy and self.certificate_file:
            raise ValueError("expected certificate files or proxy: true, not both")
        return self


class S3(Group):
    """An S3-compatible store for artifacts; MLflow's server reads and writes it for its users."""

    bucket: Name
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None


class Mlflow(Group):
    """The MLflow server and its mlflow-oidc-auth plugin."""

    url: Origin = Field("http://localhost:5000", description="The URL people and clients use")
    port: TcpPort | None = Field(None, description="Host port; default: the port of a loopback url")
    plugin_version: Version = Field("11.0.2", description="Version of mlflow-oidc-auth")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Server processes")
    memory_mib: Annotated[int, Field(ge=512)] = Field(1536, description="Memory limit in MiB")
    default_permission: Literal["NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE"] = Field(
        "NO_PERMISSIONS", description="What a user may do where nothing was granted"
    )
    username_claim: Name = Field(
        "preferred_username",
        description="Claim that names the user; not email, which people can edit in Keycloak",
    )
    provision_on_bearer: bool = Field(
        True, description="A first API call with a token of an allowed group creates the user"
    )
    metrics: bool = Field(True, description="Serve Prometheus metrics")
    s3: S3 | None = Field(None, description="Artifacts in S3 in place of a volume")
    env: dict[str, str] = Field({}, description="Further variables; never over the stack's own")
    tls: Tls = Tls()


class ExistingKeycloak(Group):
    """A Keycloak that is already there. Only what the stack makes is ever changed or removed."""

    admin_client_id: Name
    admin_client_secret: SecretStr
    admin_realm: Name = Field("master", description="Realm of the admin client")
    internal_url: str | None = Field(None, description="URL for containers where it is not the public one")
    create_realm: bool = Field(True, description="false: the realm exists and stays as it is")


class Keycloak(Group):
    """The identity provider."""

    url: Origin = Field("http://localhost:8080", description="The URL of browsers; the issuer")
    port: TcpPort | None = Field(None, description="Host port; default: the port of a loopback url")
    version: Version | None = Field(None, description="Default: the one in versions.yaml")
    memory_mib: Annotated[int, Field(ge=512)] = Field(1024, description="Memory limit in MiB")
    existing: ExistingKeycloak | None = Field(None, description="Use a Keycloak that runs already")
    tls: Tls = Tls()


class Lifetimes(Group):
    """Token and session lifetimes of the realm, in seconds."""

    access_token_seconds: Seconds = 300
    sso_idle_seconds: Seconds = 1800
    sso_max_seconds: Seconds = 36000
    offline_idle_seconds: Seconds = 2592000

    @model_validator(mode="after")
    def _ordered(self) -> Lifetimes:
        if self.sso_idle_seconds > self.sso_max_seconds:
            raise ValueError("expected ssoIdleSeconds <= ssoMaxSeconds")
        if self.access_token_seconds > self.sso_idle_seconds:
            raise ValueError("expected accessTokenSeconds <= ssoIdleSeconds")
        if self.offline_idle_seconds < self.sso_idle_seconds:
            raise ValueError("expected offlineIdleSeconds >= ssoIdleSeconds")
        return self


class Groups(Group):
    """Group names, from here to Keycloak, the token and MLflow."""

    admins: Annotated[tuple[GroupName, ...], Field(min_length=1)] = ("mlflow-admins",)
    users: Annotated[tuple[GroupName, ...], Field(min_length=1)] = ("mlflow-users",)

    @model_validator(mode="after")
    def _distinct(self) -> Groups:
        every = [*self.admins, *self.users]
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice:
            raise ValueError(f"expected each group once; twice: {', '.join(twice)}")
        return self


class User(Group):
    """A declared user; its password is generated unless given."""

    username: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._@-]*$")]
    email: str | None = None
    first_name: str = ""
    last_name: str = ""
    groups: tuple[GroupName, ...] = ()
    password: SecretStr | None = None


class ServiceAccount(Group):
    """A declared machine identity: a confidential client with the client-credentials grant."""

    client_id: Name
    groups: tuple[GroupName, ...] = ()


class Realm(Group):
    """The Keycloak realm that MLflow trusts."""

    name: Name = "mlflow"
    client_id: Name = Field("mlflow", description="The MLflow server's confidential client")
    cli_client_id: Name = Field("mlflow-cli", description="The public client of command lines")
    scope: Scope = Field("openid email profile", description="OIDC_SCOPE: separated by spaces")
    direct_access_grants: bool | None = Field(None, description="Password grant; default: on in dev, off elsewhere")
    sample_users: bool | None = Field(None, description="alice and bob; default: in dev only")
    lifetimes: Lifetimes = Lifetimes()
    groups: Groups = Groups()
    users: tuple[User, ...] = ()
    service_accounts: tuple[ServiceAccount, ...] = ()


class DatabaseLogin(Group):
    """One database of an external server."""

    database: Name
    username: Name
    password: SecretStr


class ExternalPostgres(Group):
    """A Postgres server that is already there, with its three databases and roles."""

    host: Host
    port: TcpPort = 5432
    ssl_mode: Literal["disable", "require", "verify-ca", "verify-full"] = "verify-full"
    keycloak: DatabaseLogin | None = None
    mlflow: DatabaseLogin
    oidc: DatabaseLogin


class Postgres(Group):
    """The database server."""

    version: Version | None = Field(None, description="Major version; default in versions.yaml")
    separate_keycloak: bool = Field(False, description="A server of its own for Keycloak")
    memory_mib: Annotated[int, Field(ge=128)] = Field(512, description="Memory limit in MiB")
    external: ExternalPostgres | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Postgres:
        if self.external and self.separate_keycloak:
            raise ValueError("expected external or separateKeycloak, not both")
        return self


class ExternalRedis(Group):
    """A Redis server that is already there."""

    host: Host
    port: TcpPort = 6379
    password: SecretStr | None = None
    tls: bool = True


class Redis(Group):
    """The permission cache shared by MLflow's workers (and the session store of plugin 5.x)."""

    version: Version | None = None
    db: Annotated[int, Field(ge=0, le=15)] = 0
    max_memory_mib: Annotated[int, Field(ge=16)] = 64
    persistent: bool = Field(False, description="Keep the data on a volume")
    external: ExternalRedis | None = None


class Docker(Group):
    """What only the Docker platform needs."""

    bind_address: str = Field("127.0.0.1", description="Host address of published ports")


class Images(Group):
    """Where images come from."""

    source: ImageSource = ImageSource.AUTO


class Settings(Group):
    """Everything a stack can be told."""

    environment: Environment = Field(Environment.DEV, description="dev, staging or prod")
    platform: Platform = Field(Platform.DOCKER, description="docker")
    mlflow: Mlflow = Mlflow()
    keycloak: Keycloak = Keycloak()
    realm: Realm = Realm()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    docker: Docker = Docker()
    images: Images = Images()
    ca_bundle: Annotated[str | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="PEM file of private CAs that all parts trust"
    )
