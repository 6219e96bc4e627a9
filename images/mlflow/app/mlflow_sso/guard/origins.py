"""Who may ask from where: the hosts that the server answers for, the pages whose scripts may ask, headers of answers.

MLflow has the same for its Flask routes alone (`mlflow.server.security`, 3.17.2), lets scripts of any page on the
local machine ask, and the plugin's routes have none of it.
"""

import fnmatch
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlflow_sso.asgi import Scope
from mlflow_sso.guard.answers import Refusal
from mlflow_sso.guard.bodies import header
from mlflow_sso.guard.routes import SAFE_METHODS

Headers = list[tuple[bytes, bytes]]

# Who asks these knows the address alone: a kubelet, a Prometheus.
_ANY_HOST = ("/health", "/metrics", "/version")
# MLflow shows it within notebooks of any origin (`mlflow.tracing.constant.TRACE_RENDERER_ASSET_PATH`, 3.17.2).
_FRAMED = "/static-files/lib/notebook-trace-renderer/"
# Their names change with their content.
_KEPT = ("/static-files/", "/oidc/static/", "/oidc/ui/")
_FOREIGN = (b"access-control-allow-origin", b"access-control-allow-credentials")


@dataclass(frozen=True)
class Origins:
    """hosts: values of Host that are answered, `*` within a name for any letters; none: every one. origins: likewise
    of Origin, beside the server's own."""

    hosts: tuple[str, ...]
    origins: tuple[str, ...]

    @classmethod
    def told(cls, env: Mapping[str, str] = os.environ) -> "Origins":
        """What MLflow's own variables say."""

        def names(variable: str) -> tuple[str, ...]:
            return tuple(name.strip().lower() for name in env.get(variable, "").split(",") if name.strip())

        return cls(names("MLFLOW_SERVER_ALLOWED_HOSTS"), names("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"))

    def check(self, scope: Scope, path: str) -> None:
        """Raises Refusal for a request to another host, or one that changes something and comes from another's page."""
        host = (header(scope, b"host") or b"").decode("latin-1").lower()
        if not path.startswith(_ANY_HOST) and self.hosts and not _among(host, self.hosts):
            raise Refusal(403, "Invalid Host header: the server does not answer for that name.")
        if scope["method"] in SAFE_METHODS:
            return
        origin = header(scope, b"origin")
        foreign = origin is not None and not self.own(origin, host)
        # A browser says so where it leaves Origin out (Fetch Metadata Request Headers, "Sec-Fetch-Site").
        if foreign or (origin is None and header(scope, b"sec-fetch-site") in (b"cross-site", b"same-site")):
            raise Refusal(403, "Cross-origin request blocked: the page that asks is not one of this server's.")

    def own(self, origin: bytes, host: str) -> bool:
        """Whether a page of this origin may ask with its user's login."""
        text = origin.decode("latin-1").lower()
        if _among(text, self.origins):
            return True
        try:
            parts = urlsplit(text)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and bool(host) and parts.netloc == host

    def answer(self, scope: Scope, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The headers of an answer, with those that each answer has to have."""
        result = list(headers)
        origin = header(scope, b"origin")
        if origin is not None and not self.own(origin, (header(scope, b"host") or b"").decode("latin-1").lower()):
            result = [(name, value) for name, value in result if name.lower() not in _FOREIGN]
        there = {name.lower() for name, _ in result}
        added = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"same-origin"}
        if not path.startswith(_FRAMED):
            added |= {b"x-frame-options": b"SAMEORIGIN", b"content-security-policy": b"frame-ancestors 'self'"}
        if not path.startswith(_KEPT):
            added |= {b"cache-control": b"no-store"}
        return result + [(name, value) for name, value in added.items() if name not in there]

    def known(self, scope: Scope, path: str) -> Scope:
        """The request of a probe or a scraper as MLflow's own check lets it in: under a name that it answers for."""
        if not self.hosts or not path.startswith(_ANY_HOST):
            return scope
        rest = [(name, value) for name, value in scope["headers"] if name != b"host"]
        return {**scope, "headers": [(b"host", self.hosts[0].encode()), *rest]}


def _among(value: str, patterns: tuple[str, ...]) -> bool:
    # As MLflow reads its variables: a pattern where there is a star.
    return any(fnmatch.fnmatchcase(value, each) if "*" in each else value == each for each in patterns)
