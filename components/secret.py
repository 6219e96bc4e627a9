"""Secrets that are the operator's own: given in the settings, or kept by the target already."""

from __future__ import annotations

from pydantic import SecretStr

from platforms.workload import Kept, Secret
from settings import reveal
from settings.kubernetes import ExistingSecret


def secret(name: str, given: SecretStr | None, existing: ExistingSecret | None) -> Secret:
    """The secret of that name with the operator's value, or with the place where the target has it."""
    kept = None if existing is None else Kept(existing.name, existing.key)
    return Secret(name, value=reveal(given), kept=kept)
