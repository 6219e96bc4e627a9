"""The versions a stack may choose from, and its images by component."""

from __future__ import annotations

from dataclasses import dataclass

from settings.catalogue import image_ref, load_versions
from settings.model import Settings


@dataclass(frozen=True)
class KnownVersions:
    """Versions by component, as versions.yaml names them."""

    postgres: tuple[str, ...]
    redis: tuple[str, ...]
    keycloak: tuple[str, ...]
    mlflow: tuple[str, ...]


def versions() -> KnownVersions:
    known = load_versions()
    return KnownVersions(
        postgres=tuple(known.postgres.versions),
        redis=tuple(known.redis.versions),
        keycloak=tuple(known.keycloak.versions),
        mlflow=tuple(known.mlflow.versions),
    )


def unsupported_plugin(version: str) -> str | None:
    """Why a version of mlflow-oidc-auth cannot be used, or None when it can."""
    known = versions().mlflow
    if version in known:
        return None
    major = version.partition(".")[0]
    if major == "6":
        return f"6.x has neither the Redis session store of 5.x nor the Redis cache of 7+; expected {', '.join(known)}"
    if major.isdigit() and int(major) < 5:
        return f"older than 5 and without the settings this stack relies on; expected {', '.join(known)}"
    return f"expected one of {', '.join(known)}"


def selection(settings: Settings) -> dict[str, str | None]:
    """The version of each image the settings ask for; None is the default of versions.yaml."""
    return {
        "postgres": settings.postgres.version,
        "redis": settings.redis.version,
        "keycloak": settings.keycloak.version,
        "mlflow": settings.mlflow.plugin_version,
    }


def image(settings: Settings, component: str) -> str:
    chosen = selection(settings)
    return image_ref(component, chosen.get(component), chosen)
