"""What follows from the settings: values that several rooms need and nobody writes down."""

from __future__ import annotations

from urllib.parse import urlsplit

from settings.model import Environment, Keycloak, Mlflow, Platform, Settings, Tls
from settings.types import is_loopback, port_of

# What a database server takes; some are left to people. Keycloak's pool is of so many for each of its servers.
CONNECTIONS = 200
_RESERVED_CONNECTIONS = 10
KEYCLOAKS_CONNECTIONS = 20
# A request of MLflow's may hold two connections to each of its two databases.
_CONNECTIONS_OF_A_TURN = 4
MOST_TURNS = 8
# With that many turns, a process keeps so many more for finding out who asks (mlflow_sso.databases).
_KEPT_CONNECTIONS = 5
# What the runner of jobs holds, and each job that runs (mlflow_sso.jobs).
JOB_CONNECTIONS = 4

# Ports inside the containers; the published ones come from the URLs.
DEFAULT_PORTS = {"mlflow": 5000, "keycloak": 8080}


def public_programs(settings: Settings) -> dict[str, Mlflow | Keycloak]:
    """The programs that people reach at a URL of their own, by the name of their group of settings."""
    return {"mlflow": settings.mlflow, "keycloak": settings.keycloak}


def run_elsewhere(settings: Settings) -> frozenset[str]:
    """Those of the public programs that run already, and are not the stack's."""
    return frozenset({"keycloak"} if settings.keycloak.existing is not None else ())


def published_port(settings: Settings, part: str) -> int:
    """The host port of a public program: its setting, else where its URL leads a browser.

    Behind a proxy the URL leads to the proxy, and the port is the one that people know the program by.
    """
    group = public_programs(settings)[part]
    if group.port is not None:
        return group.port
    if behind_proxy(settings, group.tls):
        return DEFAULT_PORTS[part]
    return port_of(group.url)


def allows_direct_access_grants(settings: Settings) -> bool:
    given = settings.realm.direct_access_grants
    return settings.environment is Environment.DEV if given is None else given


def ends_leavers(settings: Settings) -> bool:
    """Whether MLflow has an account that may see who is in the realm.

    Who manages a realm of others may not be able to give it that right; and a store outside the cluster has its secret
    only where somebody put it there.
    """
    given, existing = settings.realm.leavers, settings.keycloak.existing
    outside = settings.platform is Platform.KUBERNETES and settings.kubernetes.external_secrets is not None
    return (existing is None or existing.create_realm) and not outside if given is None else given


def people_client(client_id: str) -> str:
    """The client of that account, beside MLflow's own."""
    return f"{client_id}-people"


def groups_client(client_id: str) -> str:
    """The client whose roles stand for the declared groups, beside MLflow's own."""
    return f"{client_id}-groups"


# Of an administrators' group and of a users' group.
SAMPLE_USERS = ("alice", "bob")


def wants_sample_users(settings: Settings) -> bool:
    given = settings.realm.sample_users
    return settings.environment is Environment.DEV if given is None else given


def behind_proxy(settings: Settings, tls: Tls) -> bool:
    """Whether TLS ends in front of the programs: at a declared proxy, a Gateway or an Ingress."""
    return tls.proxy or settings.kubernetes.routed


def postgres_has_certificates(settings: Settings) -> bool:
    """Whether the stack's own Postgres has certificates: it has where an operator of the target runs it."""
    return settings.kubernetes.cloud_native_pg is not None


def server_processes(settings: Settings) -> int:
    """The most processes of MLflow's server that there are at once, with the one replica more of an update."""
    mlflow = settings.mlflow
    replicas = mlflow.max_replicas or mlflow.replicas
    surge = 1 if settings.platform is Platform.KUBERNETES else 0
    return mlflow.workers * (replicas + surge)


def shares_keycloaks_database(settings: Settings) -> bool:
    """Whether Keycloak's database is on the server of MLflow's."""
    if settings.keycloak.existing is not None:
        return False
    external = settings.postgres.external
    return bool(external.keycloak) if external else not settings.postgres.separate_keycloak


def job_connections(settings: Settings) -> int:
    """What jobs hold of the connections to MLflow's database, with the second runner of an update."""
    jobs = settings.mlflow.jobs
    return JOB_CONNECTIONS * (jobs.workers + 2) if jobs else 0


def server_turns(settings: Settings) -> int:
    """How many requests each process of MLflow's server answers at once; 0 where there are more than connections."""
    keycloak = KEYCLOAKS_CONNECTIONS * settings.keycloak.replicas if shares_keycloaks_database(settings) else 0
    others = _RESERVED_CONNECTIONS + keycloak + job_connections(settings)
    connections = (CONNECTIONS - others) // server_processes(settings)
    most = MOST_TURNS if connections >= MOST_TURNS * _CONNECTIONS_OF_A_TURN + _KEPT_CONNECTIONS else MOST_TURNS - 1
    return min(most, connections // _CONNECTIONS_OF_A_TURN)


def trace_senders(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Namespace and account of those outside the stack who may send traces."""
    mesh = settings.kubernetes.mesh
    return ((mesh.collector_namespace, mesh.collector_account),)


def serves_mlflows_own_metrics(settings: Settings) -> bool:
    """Whether MLflow's own /metrics is open to whoever reaches a loopback url, where `mlflow.metrics` says nothing."""
    return settings.mlflow.metrics is None and is_loopback(urlsplit(settings.mlflow.url).hostname or "")
