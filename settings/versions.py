"""The versions a stack may choose from, and its images by component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic.alias_generators import to_snake

from settings.catalogue import image_ref, load_versions
from settings.model import Settings

# The stores of artifacts, by their groups in mlflow, whose clients are in a variant of MLflow's image.
_PACKAGED = ("gcs", "azure")


def known_versions(component: str) -> tuple[str, ...]:
    """The versions of an image, as versions.yaml names them."""
    return tuple(load_versions().image(component).versions)


def choosers() -> dict[str, str]:
    """The setting that chooses the version of an image, by the image; versions.yaml names them."""
    return {name: image.setting for name, image in load_versions().images.items() if image.setting is not None}


def versions(settings: Settings) -> dict[str, str | None]:
    """The version of each image the settings ask for; None is the default of versions.yaml."""
    return {name: _value(settings, key) for name, key in choosers().items()}


def selection(settings: Settings) -> dict[str, str | None]:
    """The same with the variant of each, as a build is told of it. Raises VersionsError for what there is not."""
    chosen = versions(settings)
    store = next((name for name in _PACKAGED if getattr(settings.mlflow, name)), None)
    if store is None:
        return chosen
    return {**chosen, "mlflow": load_versions().key("mlflow", f"{chosen['mlflow']}-{store}")}


def image(settings: Settings, component: str) -> str:
    """The local tag of a component, in the version that the settings ask for."""
    chosen = selection(settings)
    return image_ref(component, chosen.get(component), chosen)


def unsupported(component: str, version: str) -> str | None:
    """Why a version of an image cannot be used, or None when it can."""
    known = known_versions(component)
    if version in known:
        return None
    reason = _REASONS[component](version) if component in _REASONS else None
    return f"{f'{reason}; ' if reason else ''}expected one of {', '.join(known)}"


def _value(settings: Settings, key: str) -> str | None:
    """The text at a key that is among the settings; None where it, or a group above it, is not set."""
    found: Any = settings
    for name in key.split("."):
        found = getattr(found, to_snake(name), None)
    return found if isinstance(found, str) else None


def _why_no_plugin(version: str) -> str | None:
    """Why a line of mlflow-oidc-auth that guides name is none of those that can be chosen."""
    major = version.partition(".")[0]
    if major == "6":
        return "6.x has neither the Redis session store of 5.x nor the Redis cache of 7+"
    if major.isdigit() and int(major) < 5:
        return "older than 5 and without the settings this stack relies on"
    return None


_REASONS: Mapping[str, Callable[[str], str | None]] = {"mlflow": _why_no_plugin}
