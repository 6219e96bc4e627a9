"""The versions a stack may choose from, and its images by component."""

from __future__ import annotations

from typing import Any

from pydantic.alias_generators import to_snake

from settings.catalogue import image_ref, load_versions
from settings.model import Settings

PLUGIN_VERSION = "mlflow.pluginVersion"


def unsupported_plugin(version: str) -> str | None:
    """Why a version of mlflow-oidc-auth cannot be used, or None when it can."""
    known = tuple(load_versions().catalogue("mlflow").versions)
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
    return {name: _value(settings, row.setting) for name, row in load_versions().images.items()}


def _value(settings: Settings, path: str) -> str | None:
    """What a setting says, by its key."""
    value: Any = settings
    for part in path.split(".") if path else ():
        value = getattr(value, to_snake(part))
    return value if isinstance(value, str) else None


def image(settings: Settings, component: str) -> str:
    chosen = selection(settings)
    return image_ref(component, chosen.get(component), chosen)
