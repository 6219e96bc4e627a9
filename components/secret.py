"""Secrets that are the operator's own: given in the settings, or kept by the target already."""

from __future__ import annotations

from pydantic import SecretStr

from platforms.secrets import Kept, Secret
from settings import reveal
from settings.kubernetes import ExistingSecret


def given_secret(name: str, given: SecretStr | ExistingSecret | None) -> Secret:
    """The secret of that name with the operator's value, or with the place where the target has it."""
    if isinstance(given, ExistingSecret):
        return Secret(name, kept=Kept(given.name, given.key))
    return Secret(name, value=reveal(given))
