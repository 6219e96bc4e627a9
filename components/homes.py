"""Where the stack's data are by its settings: what a change of them must not leave behind or remove."""

from __future__ import annotations

from urllib.parse import urlsplit

from components.artifacts import artifact_store
from components.mlflow import SERVER
from components.postgres import DATA_VOLUME, Database, keycloak_database, mlflow_database, oidc_database
from components.redis import DATA_VOLUME as CACHE_VOLUME
from components.redis import SERVER as REDIS
from platforms.places import Home, Moves, OnVolume
from settings import PROJECT, Platform, Settings
from settings.catalogue import load_versions
from settings.versions import versions

_OWN = "postgres"
_ELSEWHERE = "the data of the stack are there, and no engine takes them elsewhere"
_NO_RENAME = "people and their groups are in that realm, and no engine renames one"
_NO_UPGRADE = "a server of another major version does not read these data"


def moves(settings: Settings) -> Moves:
    """Where each kind of data is, and the places of before that the settings give up."""
    homes = {
        **_target(settings),
        "artifacts": _artifacts(settings),
        "MLflow's database": _database(mlflow_database(settings)),
        "the plugin's database": _database(oidc_database(settings)),
        **_keycloak(settings),
    }
    if settings.redis.persistent and settings.redis.external is None:
        homes["the cache"] = Home(f"{PROJECT}:redis.persistent", OnVolume(REDIS, CACHE_VOLUME))
    ours = settings.postgres.external is None and settings.kubernetes.cloud_native_pg is None
    major = f"Postgres {versions(settings)[_OWN] or load_versions().image(_OWN).default}" if ours else ""
    homes["Postgres version"] = Home(f"{PROJECT}:postgres.version", major, fixed=_NO_UPGRADE)
    return Moves(homes, settings.moved_from, f"{PROJECT}:movedFrom")


def _target(settings: Settings) -> dict[str, Home]:
    """What everything else is on."""
    options, on_cluster = settings.kubernetes, settings.platform is Platform.KUBERNETES
    return {
        "platform": Home(f"{PROJECT}:platform", settings.platform.value, fixed=_ELSEWHERE, target=True),
        "cluster": Home(
            f"{PROJECT}:kubernetes.context",
            f"context {options.context}" if on_cluster and options.context else "",
            fixed=_ELSEWHERE,
            target=True,
        ),
        "namespace": Home(
            f"{PROJECT}:kubernetes.namespace",
            f"namespace {options.namespace or '(the default one)'}" if on_cluster else "",
            fixed=_ELSEWHERE,
            target=True,
        ),
    }


def _artifacts(settings: Settings) -> Home:
    store, mlflow = artifact_store(settings), settings.mlflow
    if store.volumes:
        (volume,) = store.volumes
        return Home(f"{PROJECT}:mlflow", OnVolume(SERVER, volume.name))
    part, chosen = next((n, s) for n in ("s3", "gcs", "azure") if (s := getattr(mlflow, n)))
    # A bucket's name is its own within one server alone.
    server = urlsplit(chosen.endpoint_url).netloc if chosen.endpoint_url else ""
    return Home(f"{PROJECT}:mlflow.{part}", f"{store.destination} at {server}" if server else store.destination)


def _database(database: Database) -> Home:
    key = f"{PROJECT}:postgres"
    if database.external:
        return Home(key, f"postgres://{database.host}:{database.port}/{database.name}")
    return Home(key, OnVolume(database.host, DATA_VOLUME), part=f"database {database.name}")


def _keycloak(settings: Settings) -> dict[str, Home]:
    existing = settings.keycloak.existing
    ours = existing is None or existing.create_realm
    place = Home(f"{PROJECT}:keycloak.existing", f"Keycloak {settings.keycloak.url}")
    return {
        "Keycloak's data": _database(keycloak_database(settings)) if existing is None else place,
        "realm": Home(f"{PROJECT}:realm.name", f"realm {settings.realm.name}" if ours else "", fixed=_NO_RENAME),
    }
