"""Redis: the cache that MLflow's workers share, bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass

from components.secret import given_secret
from platforms.secrets import Change, ConfigQuoted, Secret, SecretText, UrlQuoted
from platforms.workload import ExecCheck, Port, Probe, Resources, Service, Volume, Workload
from settings import Settings
from settings.versions import image

PORT = 6379
# A number that no account of a host has (docs/decisions/0008-docker-isolation.md).
UID = 60902
SERVER = "redis"
DATA_VOLUME = "data"
# The server and MLflow hold it.
PASSWORD = Secret("redis-password", change=Change.COORDINATED)


@dataclass(frozen=True)
class RedisAddress:
    """Where the cache is; every variable that names it is made from these same values."""

    host: str
    port: int
    db: int
    password: Secret | None
    tls: bool

    @property
    def url(self) -> SecretText:
        scheme = "rediss" if self.tls else "redis"
        end = f"{self.host}:{self.port}/{self.db}"
        if self.password is None:
            return SecretText.of(f"{scheme}://{end}")
        return SecretText.of(f"{scheme}://:", UrlQuoted(self.password), f"@{end}")


def redis_address(settings: Settings) -> RedisAddress:
    external = settings.redis.external
    if external is None:
        return RedisAddress(SERVER, PORT, settings.redis.db, PASSWORD, tls=False)
    given = external.password or external.existing_secret
    password = None if given is None else given_secret(PASSWORD, given)
    return RedisAddress(external.host, external.port, settings.redis.db, password, external.tls)


def redis_workloads(settings: Settings) -> tuple[Workload, ...]:
    """The server the stack runs itself: none when an external one is used."""
    if settings.redis.external:
        return ()
    limit = settings.redis.max_memory_mib
    return (
        Workload(
            name=SERVER,
            image=image(settings, "redis"),
            uid=UID,
            # Redis needs room beside its data for buffers and, with persistence, for a fork.
            resources=Resources(memory_mib=limit * 2 + 64, cpus=0.5),
            args=(
                "--maxmemory",
                f"{limit}mb",
                "--maxmemory-policy",
                "allkeys-lru",
                "--appendonly",
                "yes" if settings.redis.persistent else "no",
            ),
            secret_env={
                "REDIS_PASSWORD": SecretText.of(ConfigQuoted(PASSWORD)),
                # redis-cli reads its password here, so the probe's command line holds none.
                "REDISCLI_AUTH": SecretText.of(PASSWORD),
            },
            ports=(Port("redis", PORT, callers=("mlflow",)),),
            volumes=(Volume(DATA_VOLUME, "/data", size_gib=1),) if settings.redis.persistent else (),
            writable=("/tmp",) if settings.redis.persistent else ("/tmp", "/data"),
            runs=Service(Probe(local=ExecCheck(("redis-cli", "-e", "-h", "127.0.0.1", "ping")))),
        ),
    )
