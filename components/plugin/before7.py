"""mlflow-oidc-auth before 7, which no stack runs: what the doctor has to know of one that somebody else brought up.

Source: the plugin's configuration module, 5.7.0. Sessions are in Redis or in files, and there is no shared cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.plugin.profile import Fault, MlflowView
from components.plugin.since7 import Since7


class Before7(Since7):
    """Its variables for OpenID Connect are those of later versions."""

    def store_faults(self, view: MlflowView) -> Iterator[Fault]:
        if view.session_type == "redis" and "host" not in view.redis_parts:
            cause = "sessions are to be kept in Redis, and REDIS_HOST does not say where that is"
            yield Fault("SESSION_TYPE=redis without REDIS_HOST", cause)


BEFORE_7 = Before7(
    recipe="",
    app_name="oidc-auth",
    live_path="/health",
    ready_path="/health",
    abilities=frozenset(),
    ignored={},
)
