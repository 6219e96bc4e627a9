"""MLflow with mlflow-oidc-auth: the one program of the stack that people come for."""

from __future__ import annotations

from urllib.parse import urlsplit

from components.artifacts import artifact_store
from components.identity import CALLBACK_PATH, CLIENT_SECRET, GROUPS_CLAIM, JOBS, JOBS_KEY, PEOPLE_SECRET
from components.keycloak import (
    TLS_CERTIFICATE_PATH,
    TLS_KEY_PATH,
    ca_files,
    keycloak_address,
    tls_files,
    ways_out,
)
from components.limits import limit_variables
from components.plugin.lines import plugin_profile
from components.plugin.profile import (
    ALLOWED_HOSTS,
    BACKEND_STORE,
    Ability,
    PluginInputs,
    PluginProfile,
    ServerInputs,
)
from components.postgres import CA_BUNDLE_PATH, mlflow_database, oidc_database
from components.redis import redis_address
from components.secret import given_secret
from platforms.secrets import Change, Secret, SecretText
from platforms.workload import (
    Account,
    Entrance,
    ExecCheck,
    HttpCheck,
    Outside,
    Port,
    Probe,
    Protocol,
    Reserved,
    Resources,
    Service,
    Workload,
    bash_http_check,
)
from settings import Settings, ends_leavers, port_of, published_port, serves_mlflows_own_metrics, trace_senders
from settings.derived import groups_client, people_client
from settings.versions import image

SERVER = "mlflow"
# A number that no account of a host has (docs/decisions/0008-docker-isolation.md).
UID = 60904
PORT = 5000
# Average CPU use, in percent of what is promised, above which it gets another replica.
SCALE_AT_PERCENT = 300
# Where Prometheus reads what the server did (images/mlflow/app, `mlflow_sso.metrics`).
METRICS_PORT, METRICS_PATH = 9464, "/metrics"
# Where MLflow itself keeps what it counts of Flask's requests.
_OWN_METRICS = "/tmp/metrics"
_METRICS = "MLFLOW_SSO_METRICS_PORT"
TRUSTED_CAS_PATH = "/tmp/trusted-cas.pem"
# The entrypoint makes the bundle from the system's CAs and the stack's own.
_TRUSTED = {
    "STACK_CA_FILE": CA_BUNDLE_PATH,
    "SSL_CERT_FILE": TRUSTED_CAS_PATH,
    "REQUESTS_CA_BUNDLE": TRUSTED_CAS_PATH,
}
# OTLP over HTTP (OpenTelemetry Protocol specification, "OTLP/HTTP Request").
TRACE_PATHS = ("/v1/traces", "/v1/traces/*")
# Agreed with images/mlflow/app (mlflow_sso.mends.places).
ARTIFACT_LOCATIONS = "MLFLOW_SSO_ARTIFACT_LOCATIONS"
# The path that the server is below (images/mlflow/app, `mlflow_sso.guard.below`).
_BELOW = "MLFLOW_SSO_PATH"
# The key of what jobs show the server (images/mlflow/app, `mlflow_sso.jobs`), which takes jobs where it has one.
JOBS_KEY_VARIABLE = "MLFLOW_SSO_JOBS_KEY"
# The account that may see who is in the realm (images/mlflow/app, `mlflow_sso.groups.directory`).
_PEOPLE = tuple(f"MLFLOW_SSO_PEOPLE_{part}" for part in ("URL", "REALM", "CLIENT", "ROLES", "SECRET"))
# MLflow's, 3.17.2: code that users wrote would run with the right to the whole database.
NO_CODE_OF_USERS = {"MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false"}
# By images/mlflow/serve.py, or else by MLflow's command: the address of the backend store.
SET_BY_THE_IMAGE = (
    "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI",
    # By options of the command, which win without a word.
    "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_HOST", "MLFLOW_PORT", "MLFLOW_WORKERS",
)  # fmt: skip
# Keys of Fernet are 32 bytes in URL-safe base64: 43 characters and one sign of padding.
_SESSION_KEY = SecretText.of(Secret("mlflow-session-key", length=43, change=Change.ENDS_SESSIONS), "=")
_WEBHOOK_KEY = SecretText.of(Secret("mlflow-webhook-key", length=43, change=Change.LOSES_DATA), "=")
_GATEWAY_KEY = Secret("mlflow-gateway-key", length=48, change=Change.LOSES_DATA)
# The variables of the key that the secrets of the AI gateway are encrypted with (`mlflow.server.constants`, 3.17.2).
# Version 1 is what MLflow takes without them, the passphrase in its source; images/mlflow/migrate.py moves rows on.
_GATEWAY_PASSPHRASE, _GATEWAY_VERSION = "MLFLOW_CRYPTO_KEK_PASSPHRASE", "MLFLOW_CRYPTO_KEK_VERSION"
_SECRET_KEY = Secret("mlflow-secret-key", length=48, change=Change.ENDS_SESSIONS)
_READY_TLS = (
    "import ssl,sys,urllib.request as u;"
    "sys.exit(u.urlopen('https://127.0.0.1:{port}{path}',timeout=4,"
    "context=ssl._create_unverified_context()).status!=200)"
)


def plugin_inputs(settings: Settings) -> PluginInputs:
    address = keycloak_address(settings)
    realm = settings.realm
    return PluginInputs(
        client_id=realm.client_id,
        client_secret=SecretText.of(CLIENT_SECRET),
        discovery_url=address.discovery_url,
        issuer=address.issuer,
        audience=realm.client_id,
        redirect_uri=settings.mlflow.url + CALLBACK_PATH,
        scope=realm.scope,
        groups_claim=GROUPS_CLAIM,
        admin_groups=realm.groups.admins,
        user_groups=realm.groups.users,
        username_claim=settings.mlflow.username_claim,
        provision_on_bearer=settings.mlflow.provision_on_bearer,
        automatic_login=settings.mlflow.automatic_login_redirect,
        default_permission=settings.mlflow.default_permission,
        secret_key=SecretText.of(_SECRET_KEY),
        session_key=_SESSION_KEY,
        users_db=oidc_database(settings).sqlalchemy_url,
        redis=redis_address(settings),
        secure_cookies=settings.mlflow.url.startswith("https://"),
        session_seconds=realm.lifetimes.sso_max_seconds,
        trusted_proxies=settings.mlflow.tls.trusted_proxies,
    )


def own_variables(settings: Settings, profile: PluginProfile) -> set[str]:
    """The names of all variables that the stack sets, or would set with other settings."""
    env, secret_env = _environment(settings, profile)
    return {*env, *secret_env, *SET_BY_THE_IMAGE, *_PEOPLE, _BELOW, _METRICS, JOBS_KEY_VARIABLE}


def _environment(settings: Settings, profile: PluginProfile) -> tuple[dict[str, str], dict[str, SecretText]]:
    """The variables of the stack's own: those that are no secret, and those that are."""
    inputs, store = plugin_inputs(settings), artifact_store(settings)
    return (
        {**profile.env(inputs), **_variables(settings), **store.env},
        {**profile.secret_env(inputs), **_secret_variables(settings), **store.secret_env},
    )


def mlflow_workloads(settings: Settings) -> tuple[Workload, ...]:
    """The server."""
    profile = plugin_profile(settings.mlflow.plugin_version)
    store, encrypted = artifact_store(settings), bool(settings.mlflow.tls.certificate_file)
    env, secret_env = _environment(settings, profile)
    given = settings.mlflow.secret_env.items()
    secret_env |= {name: SecretText.of(given_secret(Secret(f"mlflow-env-{name}"), value)) for name, value in given}
    traces = Reserved(("POST",), _trace_paths(settings), tuple(Account(*sender) for sender in trace_senders(settings)))
    databases = (mlflow_database(settings), oidc_database(settings))
    return (
        Workload(
            name=SERVER,
            image=image(settings, profile.recipe),
            uid=UID,
            # A login must not wait for a heavy search, nor Keycloak's start for that of MLflow, which is shorter.
            resources=Resources(memory_mib=settings.mlflow.memory_mib, cpus=2.0, weight=0.25),
            args=profile.command(_server(settings, store.destination)),
            env={**settings.mlflow.env, **env},
            secret_env=secret_env,
            files=(*tls_files(settings, settings.mlflow.tls), *ca_files(settings)),
            ports=_ports(settings, Protocol.HTTPS if encrypted else Protocol.HTTP),
            volumes=store.volumes,
            runs=Service(
                _probe(settings, profile),
                replicas=settings.mlflow.replicas,
                max_replicas=settings.mlflow.max_replicas,
                scale_at_percent=SCALE_AT_PERCENT,
            ),
            outside=_outside(settings, store.outside),
            authorities={path: name for database in databases for path, name in database.authorities.items()},
            reserved=None if profile.lacks(Ability.TRACE_INTAKE) else traces,
            identity=store.identity,
        ),
    )


def _ports(settings: Settings, protocol: Protocol) -> tuple[Port, ...]:
    callers = (JOBS,) if settings.mlflow.jobs else ()
    served = Port("http", PORT, protocol, callers=callers, entrance=_entrance(settings))
    read = Port("metrics", METRICS_PORT, Protocol.HTTP, metrics=METRICS_PATH)
    return (served, read) if settings.mlflow.metrics else (served,)


def _entrance(settings: Settings) -> Entrance:
    # The plugin appends X-Forwarded-Port to the host that a proxy tells (proxy_headers_middleware, 11.0.2), so it needs
    # that host without a port, as every Entrance has it.
    below = _path(settings)
    return Entrance(settings.mlflow.url, published_port(settings, "mlflow"), (below,) if below else (), streams=True)


def _path(settings: Settings) -> str:
    """What of its host is the server's; empty where that is all of it."""
    return urlsplit(settings.mlflow.url).path


def _trace_paths(settings: Settings) -> tuple[str, ...]:
    """Where traces come in: the server takes its own path off where it is there, and only there."""
    below = _path(settings)
    return (*TRACE_PATHS, *(below + path for path in TRACE_PATHS if below))


def _variables(settings: Settings) -> dict[str, str]:
    """What MLflow itself is told, whatever its plugin."""
    stores = (mlflow_database(settings), oidc_database(settings), redis_address(settings))
    hosts = [urlsplit(settings.mlflow.url).netloc, *(f"{name}:{PORT}" for name in (SERVER, "127.0.0.1", "localhost"))]
    return {
        ALLOWED_HOSTS: ",".join(dict.fromkeys(hosts)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": settings.mlflow.url.removesuffix(_path(settings)),
        # MLflow's own runner of jobs would add more than a gigabyte. Where there are jobs, a workload beside this one
        # runs them, and the image has the server take them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # What people do here is nobody else's business.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **({_GATEWAY_VERSION: "2"} if _has_gateway_key(settings) else {}),
        **({_BELOW: _path(settings)} if _path(settings) else {}),
        **({_METRICS: str(METRICS_PORT)} if settings.mlflow.metrics else {}),
        **(NO_CODE_OF_USERS if settings.mlflow.jobs else {}),
        **_people_variables(settings),
        **limit_variables(settings),
        **(_TRUSTED if settings.ca_bundle else {}),
        **({ARTIFACT_LOCATIONS: ",".join(locations)} if (locations := settings.mlflow.artifact_locations) else {}),
        "WAIT_FOR": ",".join(dict.fromkeys(f"{store.host}:{store.port}" for store in stores)),
    }


def _secret_variables(settings: Settings) -> dict[str, SecretText]:
    return {
        BACKEND_STORE: mlflow_database(settings).sqlalchemy_url,
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": _WEBHOOK_KEY,
        **({_PEOPLE[-1]: SecretText.of(PEOPLE_SECRET)} if ends_leavers(settings) else {}),
        **({JOBS_KEY_VARIABLE: SecretText.of(JOBS_KEY)} if settings.mlflow.jobs else {}),
        **({_GATEWAY_PASSPHRASE: SecretText.of(_GATEWAY_KEY)} if _has_gateway_key(settings) else {}),
    }


def _people_variables(settings: Settings) -> dict[str, str]:
    if not ends_leavers(settings):
        return {}
    address, client = keycloak_address(settings), settings.realm.client_id
    values = (address.internal_url, address.realm, people_client(client), groups_client(client))
    return dict(zip(_PEOPLE, values, strict=False))


def _has_gateway_key(settings: Settings) -> bool:
    """Whether the stack has a key of its own for the gateway's secrets: not where the settings bring one."""
    return _GATEWAY_PASSPHRASE not in {**settings.mlflow.env, **settings.mlflow.secret_env}


def _server(settings: Settings, artifacts: str) -> ServerInputs:
    encrypted = bool(settings.mlflow.tls.certificate_file)
    return ServerInputs(
        port=PORT,
        workers=settings.mlflow.workers,
        artifacts=artifacts,
        metrics=_OWN_METRICS if serves_mlflows_own_metrics(settings) else "",
        certificate=TLS_CERTIFICATE_PATH if encrypted else "",
        key=TLS_KEY_PATH if encrypted else "",
    )


def _probe(settings: Settings, profile: PluginProfile) -> Probe:
    encrypted = bool(settings.mlflow.tls.certificate_file)
    if encrypted:
        # The certificate names the public host, not the loopback address asked from inside.
        check = ExecCheck(("python", "-c", _READY_TLS.format(port=PORT, path=profile.ready_path)))
    else:
        check = bash_http_check(PORT, profile.ready_path)
    return Probe(
        local=check,
        http=HttpCheck(PORT, profile.ready_path, tls=encrypted),
        live=HttpCheck(PORT, profile.live_path, tls=encrypted),
        interval_seconds=15,
        start_seconds=90,
    )


def _outside(settings: Settings, store: tuple[Outside, ...]) -> tuple[Outside, ...]:
    """The servers outside the stack that MLflow connects to: stores and an identity provider it does not run."""
    found = [*mlflow_database(settings).outside, *oidc_database(settings).outside]
    if settings.redis.external:
        found.append(Outside(settings.redis.external.host, settings.redis.external.port))
    urls = [keycloak_address(settings).internal_url] if settings.keycloak.existing else []
    found += [Outside(urlsplit(url).hostname or "", port_of(url)) for url in urls]
    return tuple(dict.fromkeys((*found, *store, *ways_out(settings.mlflow.egress))))
