"""Secrets that are the operator's own: given in the settings, or kept by the target already."""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from platforms.secrets import Kept, Secret
from settings import reveal
from settings.kubernetes import ExistingSecret


def given_secret(secret: Secret, given: SecretStr | ExistingSecret | None) -> Secret:
    """That secret with the operator's value, or with the place where the target has it."""
    if isinstance(given, ExistingSecret):
        return replace(secret, kept=Kept(given.name, given.key))
    return replace(secret, value=reveal(given))
