"""Keycloak: one public URL for browsers, the internal name for containers, one issuer for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.identity import PROVISIONER_CLIENT_ID, PROVISIONER_SECRET, REALM_JOB
from components.postgres import CA_BUNDLE_PATH, keycloak_database
from components.realm.ldap import servers
from components.realm.providers import ways_out as provider_places
from components.secret import given_secret
from platforms.secrets import Change, ExpressionQuoted, Secret, SecretText
from platforms.workload import (
    Entrance,
    File,
    HttpCheck,
    Outside,
    Port,
    Probe,
    Protocol,
    Resources,
    Service,
    Workload,
    bash_http_check,
)
from settings import Settings, behind_proxy, published_port
from settings.derived import KEYCLOAKS_CONNECTIONS
from settings.model import Egress, Tls
from settings.realm import Realm
from settings.versions import image

SERVER = "keycloak"
# Agreed with images/keycloak.
PROGRAM = "/usr/local/bin/keycloak-entrypoint"
# A number that no account of a host has (docs/decisions/0008-docker-isolation.md).
UID = 60903
HTTP_PORT = 8080
HTTPS_PORT = 8443
# Servers of one cluster speak JGroups to each other, and watch each other on a second port.
CLUSTER_PORT = 7800
FAILURE_PORT = 57800
MANAGEMENT_PORT = 9000
# The human administrator. Keycloak reads both at its very first start alone, so neither is a setting.
ADMIN_USERNAME = "admin"
ADMIN_PASSWORD = Secret("keycloak-admin-password", change=Change.COORDINATED)
# What browsers and clients need of Keycloak (its guide "Configuring a reverse proxy", exposed path recommendations).
PUBLIC_PATHS = ("/realms", "/resources", "/.well-known")
TLS_CERTIFICATE_PATH = "/etc/tls/tls.crt"
TLS_KEY_PATH = "/etc/tls/tls.key"


@dataclass(frozen=True)
class KeycloakAddress:
    """Where Keycloak is, for each of those who need it.

    public_url: for browsers; every token's issuer starts with it.
    internal_url: for containers of the stack.
    admin_url: for the engine, which manages the realm.
    """

    public_url: str
    internal_url: str
    realm: str
    admin_url: str

    @property
    def issuer(self) -> str:
        """The `iss` claim of every token (OpenID Connect Discovery 1.0, section 3)."""
        return f"{self.public_url}/realms/{self.realm}"

    @property
    def discovery_url(self) -> str:
        """Read by containers; with a dynamic back channel its endpoints are internal, its issuer public."""
        return f"{self.internal_url}/realms/{self.realm}/.well-known/openid-configuration"


@dataclass(frozen=True)
class AdminLogin:
    """The service account the provider manages the realm with."""

    client_id: str
    client_secret: Secret
    realm: str


def keycloak_address(settings: Settings) -> KeycloakAddress:
    existing = settings.keycloak.existing
    public = settings.keycloak.url
    internal = f"http://{SERVER}:{HTTP_PORT}"
    if existing is not None:
        internal = (existing.internal_url or public).rstrip("/")
    return KeycloakAddress(public, internal, settings.realm.name, settings.keycloak.admin_url or public)


def admin_login(settings: Settings) -> AdminLogin:
    existing = settings.keycloak.existing
    if existing is None:
        return AdminLogin(PROVISIONER_CLIENT_ID, PROVISIONER_SECRET, "master")
    secret = given_secret(PROVISIONER_SECRET, existing.admin_client_secret)
    return AdminLogin(existing.admin_client_id, secret, existing.admin_realm)


def tls_files(settings: Settings, tls: Tls) -> tuple[File, ...]:
    """The certificate and key as files in the container; none when TLS ends elsewhere."""
    if tls.certificate_file is None or tls.key_file is None:
        return ()
    return (
        File(TLS_CERTIFICATE_PATH, settings.file(tls.certificate_file).read_text()),
        File(TLS_KEY_PATH, settings.file(tls.key_file).read_text(), secret=True),
    )


def ca_files(settings: Settings) -> tuple[File, ...]:
    if settings.ca_bundle is None:
        return ()
    return (File(CA_BUNDLE_PATH, settings.file(settings.ca_bundle).read_text()),)


def ways_out(declared: Sequence[Egress]) -> tuple[Outside, ...]:
    """The servers that the settings let a program connect to."""
    return tuple(Outside(egress.host, egress.port) for egress in declared)


def keycloak_workloads(settings: Settings) -> tuple[Workload, ...]:
    """The server the stack runs itself: none when one is there already."""
    if settings.keycloak.existing is not None:
        return ()
    database = keycloak_database(settings)
    tls = settings.keycloak.tls
    return (
        Workload(
            name=SERVER,
            image=image(settings, "keycloak"),
            uid=UID,
            resources=Resources(memory_mib=settings.keycloak.memory_mib, cpus=2.0),
            program=PROGRAM,
            env=_variables(settings),
            secret_env={
                "KC_DB_PASSWORD": SecretText.of(ExpressionQuoted(database.password)),
                "KC_BOOTSTRAP_ADMIN_PASSWORD": SecretText.of(ExpressionQuoted(ADMIN_PASSWORD)),
                "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": SecretText.of(ExpressionQuoted(PROVISIONER_SECRET)),
            },
            files=(*tls_files(settings, tls), *ca_files(settings)),
            ports=_ports(settings),
            writable=("/tmp", "/opt/keycloak/data"),
            runs=Service(
                Probe(
                    local=bash_http_check(MANAGEMENT_PORT, "/health/ready"),
                    http=HttpCheck(MANAGEMENT_PORT, "/health/ready"),
                    live=HttpCheck(MANAGEMENT_PORT, "/health/live"),
                    start_seconds=120,
                ),
                replicas=settings.keycloak.replicas,
            ),
            outside=(*database.outside, *_others(settings.realm), *ways_out(settings.keycloak.egress)),
            authorities=database.authorities,
        ),
    )


def _others(realm: Realm) -> tuple[Outside, ...]:
    """The mail server, the identity providers and the directories that a realm asks."""
    asked = [(realm.mail.host, realm.mail.port)] if realm.mail else []
    asked += [place for one in realm.identity_providers for place in provider_places(one)]
    asked += [place for one in realm.ldap for place in servers(one)]
    return tuple(Outside(host, port) for host, port in dict.fromkeys(asked))


def _variables(settings: Settings) -> dict[str, str]:
    database, tls = keycloak_database(settings), settings.keycloak.tls
    env = {
        "KC_DB_URL": database.jdbc_url,
        "KC_DB_USERNAME": database.role,
        # A few connections are plenty for one server and keep its memory small. Logins that wait hold up to 15.
        "KC_DB_POOL_MAX_SIZE": str(KEYCLOAKS_CONNECTIONS),
        "KC_HOSTNAME": settings.keycloak.url,
        "KC_HOSTNAME_BACKCHANNEL_DYNAMIC": "true",
        # Containers of the stack speak plain HTTP on their own network; people never see that port
        # unless the public URL is http, which the settings allow on loopback names alone.
        "KC_HTTP_ENABLED": "true",
        "KC_HTTP_PORT": str(HTTP_PORT),
        "KC_HTTP_MANAGEMENT_SCHEME": "http",
        # Several servers find each other through the database they share.
        "KC_CACHE": "local" if settings.keycloak.replicas == 1 else "ispn",
        # Who logged in, or was impersonated: of its events Keycloak logs the failed ones alone by default.
        "KC_LOG_LEVEL": "info,org.keycloak.events:debug",
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN_USERNAME,
        "KC_BOOTSTRAP_ADMIN_CLIENT_ID": PROVISIONER_CLIENT_ID,
        "WAIT_FOR": f"{database.host}:{database.port}",
    }
    if settings.keycloak.admin_url:
        env["KC_HOSTNAME_ADMIN"] = settings.keycloak.admin_url
    if behind_proxy(settings, tls):
        env["KC_PROXY_HEADERS"] = "xforwarded"
        if tls.trusted_proxies:
            env["KC_PROXY_TRUSTED_ADDRESSES"] = ",".join(tls.trusted_proxies)
    if tls.certificate_file is not None:
        env["KC_HTTPS_PORT"] = str(HTTPS_PORT)
        env["KC_HTTPS_CERTIFICATE_FILE"] = TLS_CERTIFICATE_PATH
        env["KC_HTTPS_CERTIFICATE_KEY_FILE"] = TLS_KEY_PATH
    if settings.ca_bundle:
        env["KC_TRUSTSTORE_PATHS"] = CA_BUNDLE_PATH
    return env


def _ports(settings: Settings) -> tuple[Port, ...]:
    own_tls = settings.keycloak.tls.certificate_file is not None
    published = published_port(settings, "keycloak")
    url = settings.keycloak.url
    # With an address of its own for administration, the public one needs no more than logins do.
    paths = PUBLIC_PATHS if settings.keycloak.admin_url else ()
    people = Entrance(url, published, paths, keycloak_address(settings).admin_url)
    callers = ("mlflow", *((REALM_JOB,) if settings.kubernetes.realm_job else ()))
    http = Port("http", HTTP_PORT, Protocol.HTTP, callers=callers, entrance=None if own_tls else people)
    https = (Port("https", HTTPS_PORT, Protocol.HTTPS, entrance=people),) if own_tls else ()
    # No program but the probes asks the management port, and only servers of the cluster speak JGroups.
    management = Port("management", MANAGEMENT_PORT, Protocol.HTTP)
    members = (Port("jgroups", CLUSTER_PORT, callers=(SERVER,)), Port("jgroups-fd", FAILURE_PORT, callers=(SERVER,)))
    cluster = members if settings.keycloak.replicas > 1 else ()
    return (http, *https, management, *cluster)
