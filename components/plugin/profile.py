"""What depends on the version of mlflow-oidc-auth, as values: the rest of the tree asks these, and never a version.

A line of versions is run alike. It has a file of its own in this room, and a row in `components.plugin.lines`. The
file spells the plugin's variables, writes them and reads them back, and says how the server is started, from which
recipe its image is made and what it can do. A variable that a version does not read is ignored by it without a word,
so nothing outside this room may spell one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from components.connection import Login, login_in
from components.postgres import PORT as POSTGRES_PORT
from components.redis import RedisAddress
from platforms.secrets import SecretText

# MLflow's own variables, which the same reader reads; no version of the plugin changes them.
BACKEND_STORE = "MLFLOW_BACKEND_STORE_URI"
ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"


class Ability(StrEnum):
    """What a line of versions may be able to do. Each value completes "it has no ..."."""

    # The plugin's REST endpoints for administrators and users.
    PERSONAL_TOKENS = "personal access tokens"
    PAGE_SESSIONS = "sessions that an administrator can list and end"
    ACCOUNT_STATES = "accounts that an administrator can disable"
    # What the server does with requests.
    TRACE_INTAKE = "intake of traces"
    BEARER_PROVISIONING = "accounts that are made at the first request with a bearer token"
    BEARER_CHECKS = "check of a bearer token's audience and issuer"
    GROUPS_FROM_CLAIM = "groups by a claim of the token"
    SEVERAL_ADMIN_GROUPS = "second group of administrators"
    JOBS = "login for jobs of the server"
    SHARED_CACHE = "sessions and permissions that several servers share"


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
    automatic_login: bool
    default_permission: str
    secret_key: SecretText
    session_key: SecretText
    users_db: SecretText
    redis: RedisAddress
    secure_cookies: bool
    session_seconds: int
    trusted_proxies: tuple[str, ...]


@dataclass(frozen=True)
class ServerInputs:
    """What the server's command line must say.

    artifacts: where artifacts go, a path in the container or a URL of S3.
    metrics: the directory of the metrics that are served; empty for none.
    certificate, key: paths in the container; empty when TLS ends elsewhere.
    """

    port: int
    workers: int
    artifacts: str
    metrics: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class Variables:
    """The variables that several places name, by what they say; empty for what this line does not read.

    cache: the URL of the cache; empty where its parts stand in variables of their own.
    """

    client_id: str
    client_secret: str
    discovery_url: str
    redirect_uri: str
    scope: str
    groups_claim: str
    user_groups: str
    admin_groups: str
    users_database: str
    audience: str = ""
    issuer: str = ""
    cache: str = ""


@dataclass(frozen=True)
class Fault:
    """Variables that cannot be meant so: what is seen, and what is wrong with it."""

    evidence: str
    cause: str


@dataclass(frozen=True)
class MlflowView:
    """What a running MLflow was told. Empty text where a variable is not set.

    names: the variables that say it.
    redis: where sessions or permissions are kept; None where they are kept in no Redis.
    contradictions: variables beside the address of Redis that say another one, a sentence each.
    cache_faults: what is wrong with the choice of a cache.
    misspelt: variables that are nearly of a right name, with that name.
    ignored: variables of other versions, with what counts in their place.
    """

    names: Variables
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
    redis: Login | None
    contradictions: tuple[str, ...]
    cache_faults: tuple[Fault, ...]
    allowed_hosts: tuple[str, ...]
    mlflow_database: Login | None
    users_database: Login | None
    misspelt: Mapping[str, str]
    ignored: Mapping[str, str]


@dataclass(frozen=True)
class PluginLine(ABC):
    """What one line of versions can do, and how what it was told is read back: enough to judge one that runs.

    name: as messages call the line.
    abilities: what it can do; what is not among them is refused by name.
    ignored: variables of other versions, known from many guides, which these do not read; by each, what counts.
    misspelt: near misses that the plugin ignores without a word, with what it does read.
    """

    name: str
    variables: Variables
    abilities: frozenset[Ability]
    ignored: Mapping[str, str]
    misspelt: Mapping[str, str]

    def lacks(self, *abilities: Ability) -> str:
        """Which of these it has not, in words; empty where it has all of them."""
        lacking = [ability for ability in abilities if ability not in self.abilities]
        return f"{self.name} has no {' and no '.join(lacking)}" if lacking else ""

    @abstractmethod
    def redis(self, env: Mapping[str, str]) -> Login | None:
        """The Redis that these variables name; None when they name none."""

    @abstractmethod
    def contradictions(self, env: Mapping[str, str], redis: Login) -> Iterator[str]:
        """Variables that name another Redis than the one that counts."""

    @abstractmethod
    def cache_faults(self, env: Mapping[str, str]) -> Iterator[Fault]:
        """What is wrong with the variables that choose where sessions and permissions are kept."""

    def read(self, env: Mapping[str, str]) -> MlflowView:
        """What a running server was told by its environment."""
        names, redis = self.variables, self.redis(env)
        return MlflowView(
            names=names,
            client_id=env.get(names.client_id, ""),
            client_secret=env.get(names.client_secret, ""),
            discovery_url=env.get(names.discovery_url, ""),
            redirect_uri=env.get(names.redirect_uri, ""),
            scope=env.get(names.scope, ""),
            audience=env.get(names.audience, ""),
            issuer=env.get(names.issuer, ""),
            groups_claim=env.get(names.groups_claim, ""),
            user_groups=_names(env.get(names.user_groups, "")),
            admin_groups=_names(env.get(names.admin_groups, "")),
            redis=redis,
            contradictions=tuple(self.contradictions(env, redis)) if redis else (),
            cache_faults=tuple(self.cache_faults(env)),
            allowed_hosts=_names(env.get(ALLOWED_HOSTS, "")),
            mlflow_database=login_in(env.get(BACKEND_STORE, ""), POSTGRES_PORT),
            users_database=login_in(env.get(names.users_database, ""), POSTGRES_PORT),
            misspelt={wrong: right for wrong, right in self.misspelt.items() if wrong in env},
            ignored={name: counts for name, counts in self.ignored.items() if name in env},
        )


@dataclass(frozen=True)
class PluginProfile(PluginLine):
    """How one line of versions is run.

    recipe: the image it runs in: the folder below images/ and the row of versions.yaml.
    ready_path, live_path: its health endpoints.
    """

    recipe: str
    live_path: str
    ready_path: str

    @abstractmethod
    def env(self, inputs: PluginInputs) -> Mapping[str, str]:
        """The variables that are no secret, without those of MLflow itself."""

    @abstractmethod
    def secret_env(self, inputs: PluginInputs) -> Mapping[str, SecretText]:
        """The variables that hold secrets."""

    @abstractmethod
    def command(self, server: ServerInputs) -> tuple[str, ...]:
        """The command that serves."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
