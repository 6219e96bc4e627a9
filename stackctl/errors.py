"""How a command ends, and what can go wrong with images.

What can go wrong with Keycloak and MLflow is in `mlflow_sso_client.errors`, with the exit codes that say so.
"""

from __future__ import annotations

FAILED, REFUSED = 1, 2
# As shells tell of a program that SIGINT has ended.
INTERRUPTED = 130


class ImageError(Exception):
    """An image cannot be made: which, why, and what to do."""
