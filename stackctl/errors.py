"""What can go wrong with images. What can go wrong with Keycloak and MLflow is in `mlflow_sso_client.errors`."""

from __future__ import annotations


class ImageError(Exception):
    """An image cannot be made: which, why, and what to do."""
