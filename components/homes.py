"""Where the stack's data are by its settings: what a change of them must not leave behind or remove."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from components.artifacts import artifact_store
from components.mlflow import SERVER
from components.postgres import DATA_VOLUME, Database, keycloak_database, mlflow_database, oidc_database
from components.postgres import SERVER as POSTGRES
from components.redis import DATA_VOLUME as CACHE_VOLUME
from components.redis import SERVER as REDIS
from platforms.places import Home, Moves, OnVolume
from settings import PROJECT, Settings
from settings.catalogue import load_versions
from settings.versions import versions

_ARTIFACTS, _DATABASE, _KEYCLOAK = "artifacts", "MLflow's database", "Keycloak"
_NO_RENAME = "people and their groups are in that realm, and no engine renames one"
_NO_UPGRADE = "a server of another major version does not read these data"
_NO_OTHER_KEYCLOAK = "people and their groups are there, and no engine takes them to another Keycloak"


def moves(settings: Settings) -> Moves:
    """Where each kind of data is, and the places of before that the settings give up."""
    cache = settings.redis.persistent and settings.redis.external is None
    ours = settings.postgres.external is None and settings.kubernetes.cloud_native_pg is None
    major = versions(settings)[POSTGRES] or load_versions().image(POSTGRES).default
    homes = {
        _ARTIFACTS: _artifacts(settings),
        _DATABASE: _database(mlflow_database(settings)),
        "the plugin's database": _database(oidc_database(settings)),
        **_keycloak(settings),
        "Redis": Home(f"{PROJECT}:redis", OnVolume(REDIS, CACHE_VOLUME) if cache else ""),
        "Postgres version": Home(f"{PROJECT}:postgres.version", major if ours else "", fixed=_NO_UPGRADE, of=_DATABASE),
    }
    return Moves(homes, settings.moved_from, f"{PROJECT}:movedFrom")


def _artifacts(settings: Settings) -> Home:
    store, mlflow = artifact_store(settings), settings.mlflow
    if store.volumes:
        (volume,) = store.volumes
        return Home(f"{PROJECT}:mlflow", OnVolume(SERVER, volume.name))
    part, chosen = next((n, s) for n in ("s3", "gcs", "azure") if (s := getattr(mlflow, n)))
    # A bucket's name is its own within one server alone.
    parts = urlsplit(chosen.endpoint_url or "")
    server = f"{parts.netloc}{parts.path.rstrip('/')}"
    return Home(f"{PROJECT}:mlflow.{part}", f"{store.destination} at {server}" if server else store.destination)


def _database(database: Database) -> Home:
    key = f"{PROJECT}:postgres"
    if database.external:
        return Home(key, f"postgres://{database.host}:{database.port}/{database.name}")
    return Home(key, OnVolume(database.host, DATA_VOLUME), database=database.name)


def _keycloak(settings: Settings) -> dict[str, Home]:
    existing, key = settings.keycloak.existing, f"{PROJECT}:keycloak.existing"
    # Its URL may change, and the server be the same.
    whose = "the stack's own" if existing is None else "one that is there"
    ours = existing is None or existing.create_realm
    database = Home("") if existing else _database(keycloak_database(settings))
    return {
        _KEYCLOAK: Home(key, whose, fixed=_NO_OTHER_KEYCLOAK),
        "Keycloak's database": replace(database, key=f"{PROJECT}:postgres", of=_KEYCLOAK),
        "realm": Home(f"{PROJECT}:realm.name", settings.realm.name if ours else "", fixed=_NO_RENAME, of=_KEYCLOAK),
    }
