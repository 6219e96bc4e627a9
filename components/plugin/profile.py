"""What depends on the version of mlflow-oidc-auth, as values: the rest of the tree asks these, and never a version.

Each line of versions has a file of its own in this room, and a row in `components.plugin.lines`. It spells the plugin's
variables, writes them and reads them back; a variable that a version does not read is ignored by it without a word,
so nothing outside this room may spell one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from components.connection import Login
from platforms.secrets import SecretText


@dataclass(frozen=True)
class PluginInputs:
    """What the stack knows and the plugin must be told."""

    client_id: str
    client_secret: SecretText
    discovery_url: str
    issuer: str
    audience: str
    redirect_uri: str
    scope: str
    groups_claim: str
    admin_groups: tuple[str, ...]
    user_groups: tuple[str, ...]
    username_claim: str
    provision_on_bearer: bool
    default_permission: str
    secret_key: SecretText
    session_key: SecretText
    users_db: SecretText
    redis_url: SecretText
    redis_host: str
    redis_port: int
    redis_db: int
    secure_cookies: bool
    session_seconds: int
    trusted_proxies: tuple[str, ...]


class Ability(StrEnum):
    """What a line of versions can do. The values are what people call it."""

    # Sessions and permissions survive a second worker or replica.
    SHARED_CACHE = "a cache that several servers share"
    PERSONAL_TOKENS = "personal access tokens"
    PAGE_SESSIONS = "sessions of its pages that can be listed and ended"
    TRACE_INTAKE = "an intake of OpenTelemetry traces"


@dataclass(frozen=True)
class MlflowView:
    """What a running MLflow was told. Empty text where a variable is not set.

    named: the variable that holds a field, by the field's name, for messages to people.
    redis_parts: what stands beside the cache's URL and means the same, by the part of the URL: host, port and database.
    """

    named: Mapping[str, str]

    client_id: str
    client_secret: str = field(repr=False)
    discovery_url: str
    redirect_uri: str
    scope: str
    audience: str
    issuer: str
    groups_claim: str
    user_groups: tuple[str, ...]
    admin_groups: tuple[str, ...]
    cache: str
    session_type: str
    redis: Login | None
    redis_parts: Mapping[str, str]
    allowed_hosts: tuple[str, ...]
    mlflow_database: Login | None
    users_database: Login | None
    misspelt: Mapping[str, str]
    variables: frozenset[str]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with what a running server was told: what was seen, and what follows from it."""

    evidence: str
    cause: str


@dataclass(frozen=True)
class PluginProfile:
    """How one line of plugin versions is run.

    recipe: the folder below images/ that makes its image.
    app_name: the entry point of the group `mlflow.app` that is served.
    ready_path, live_path: its health endpoints.
    abilities: what it can do; what is not among them is refused by name.
    ignored: variables of other versions, known from many guides, which these do not read; by each, what counts.
    """

    recipe: str
    app_name: str
    live_path: str
    ready_path: str
    abilities: frozenset[Ability]
    ignored: Mapping[str, str]

    def env(self, inputs: PluginInputs) -> Mapping[str, str]:
        raise NotImplementedError

    def secret_env(self, inputs: PluginInputs) -> Mapping[str, SecretText]:
        raise NotImplementedError

    def read(self, env: Mapping[str, str]) -> MlflowView:
        """What a running server was told, from its variables; the inverse of the two above."""
        raise NotImplementedError

    def store_faults(self, view: MlflowView) -> Iterator[Fault]:
        """What is wrong with where a running server keeps its sessions and its cache."""
        for name in sorted(set(self.ignored) & set(view.variables)):
            cause = f"this version of the plugin does not read it; what counts: {self.ignored[name]}"
            yield Fault(f"{name} is set", cause)
