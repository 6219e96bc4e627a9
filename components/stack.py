"""The whole stack as data: what runs, the realm, and what its operator is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from components.homes import moves
from components.identity import CLIENT_SECRET
from components.jobs import jobs_workloads
from components.keycloak import (
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    AdminLogin,
    KeycloakAddress,
    admin_login,
    keycloak_address,
    keycloak_workloads,
)
from components.mlflow import mlflow_workloads
from components.postgres import keycloak_database, postgres_workloads
from components.realm.spec import RealmSpec, realm_spec
from components.realm_job import realm_job_workloads
from components.redis import redis_workloads
from components.rules import RULES
from platforms.places import Moves
from platforms.rules import check_secrets, check_workloads
from platforms.secrets import Secret, SecretText
from platforms.workload import Protocol, Workload
from problems import Problem, StackError
from settings import Environment, Settings, is_loopback
from settings.known import Known
from settings.rules import broken

# Below an issuer (Keycloak's guide "Securing applications and services with OpenID Connect").
_TOKENS = "/protocol/openid-connect/token"
# What is shown in the place of a secret.
HIDDEN = "[secret]"
# Stands for any name in what follows.
EACH = "*"
NO_DATA: Mapping[str, str] = {}
# The outputs by their names: True where a value may be shown to anybody. Whatever does not stand here is secret.
SHOWN: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "mlflow_url", "keycloak_url", "issuer_url", "token_url", "realm", "client_id", "cli_client_id",
            "environment", "cluster_mlflow_url", "cluster_token_url",
        ),
        True,
    ),
    "users": {EACH: {"groups": True}},
    "service_accounts": {EACH: {"groups": True}},
    "provisioner": {"client_id": True, "realm": True, "url": True},
    "people": {"client_id": True},
    "data": {EACH: True},
    "admin": {"username": True},
}  # fmt: skip


def redacted(outputs: object, shown: Any = SHOWN) -> Any:
    """Outputs with everything hidden that is not known to be no secret, whichever commit has written them."""
    if isinstance(outputs, Mapping):
        # The names of what is not known might be secrets themselves.
        known = shown if isinstance(shown, Mapping) else None
        return HIDDEN if known is None else {n: redacted(v, known.get(n, known.get(EACH))) for n, v in outputs.items()}
    if shown is not True:
        return HIDDEN
    return [redacted(value, True) for value in outputs] if isinstance(outputs, list) else outputs


@dataclass(frozen=True)
class StackSpec:
    """The stack before any platform: the one value that both engines start from.

    keycloak_data: the workload whose volume holds what a Keycloak of the stack's own knows; empty where there is none.
    """

    workloads: tuple[Workload, ...]
    realm: RealmSpec
    keycloak: KeycloakAddress
    keycloak_is_ours: bool
    admin: AdminLogin
    admin_username: str
    admin_password: Secret
    mlflow_url: str
    moves: Moves
    environment: Environment = Environment.DEV
    keycloak_data: str = ""

    @property
    def protects(self) -> bool:
        """Whether nothing removes the stack's data before somebody has confirmed it by the stack's name."""
        return self.environment is not Environment.DEV

    @property
    def token_url(self) -> str:
        return self.keycloak.issuer + _TOKENS

    def cluster_urls(self, inside: str) -> dict[str, str]:
        """MLflow, and where tokens are given, as programs beside the stack on its target reach them.

        Their issuer is the public one. inside: what follows the name of a workload there; empty where none of them
        reaches it by a name.
        """
        if not inside:
            return {}
        found = {}
        for workload in self.workloads:
            for port, entrance in workload.entrances:
                # A certificate names the public host.
                if port.protocol is Protocol.HTTP and entrance.url in (self.mlflow_url, self.keycloak.public_url):
                    found[entrance.url] = f"http://{workload.name}.{inside}:{port.number}"
        urls = {}
        if self.mlflow_url in found:
            urls["cluster_mlflow_url"] = found[self.mlflow_url]
        if self.keycloak.public_url in found:
            urls["cluster_token_url"] = f"{found[self.keycloak.public_url]}/realms/{self.realm.name}{_TOKENS}"
        return urls

    def shared(self, inside: str = "") -> dict[str, SecretText]:
        """What programs beside the stack need to get tokens as MLflow's client, by the names they know it by.

        inside: as of cluster_urls.
        """
        near = self.cluster_urls(inside).get("cluster_token_url", "")
        # A loopback URL leads each of them to itself.
        usual = near if near and is_loopback(urlsplit(self.token_url).hostname or "") else self.token_url
        return {
            "OIDC_CLIENT_ID": SecretText.of(self.realm.audience),
            "OIDC_CLIENT_SECRET": SecretText.of(CLIENT_SECRET),
            "OIDC_TOKEN_URL": SecretText.of(usual),
            **({"OIDC_CLUSTER_TOKEN_URL": SecretText.of(near)} if near else {}),
        }

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every distinct secret that the stack makes or is given, in name order; not those that its target keeps."""
        return tuple(sorted({s.name: s for s in self.every_secret if s.kept is None}.values(), key=lambda s: s.name))

    @property
    def every_secret(self) -> tuple[Secret, ...]:
        """Each secret wherever it stands, once for each place."""
        own = (s for w in self.workloads for s in w.secrets)
        return (*own, *self.realm.secrets, self.admin.client_secret)

    def outputs(self, inside: str = "", data: Mapping[str, str] = NO_DATA) -> dict[str, object]:
        """What `stackctl outputs` shows, with `Secret` where a value is secret.

        inside: as of cluster_urls. data: where each kind of the stack's data is on its target.
        """
        realm = self.realm
        shown: dict[str, object] = {
            "mlflow_url": self.mlflow_url,
            "keycloak_url": self.keycloak.public_url,
            "issuer_url": self.keycloak.issuer,
            "token_url": self.token_url,
            **self.cluster_urls(inside),
            "realm": realm.name,
            "environment": self.environment.value,
            "client_id": realm.audience,
            "client_secret": realm.server.secret,
            "cli_client_id": realm.cli.client_id,
            "users": {u.username: {"password": u.password, "groups": list(u.groups)} for u in realm.users},
            "service_accounts": {
                c.client_id: {"client_secret": c.secret, "groups": list(c.groups)} for c in realm.accounts
            },
            # The service account that manages the realm, for the operator's own commands.
            "provisioner": {
                "client_id": self.admin.client_id,
                "client_secret": self.admin.client_secret,
                "realm": self.admin.realm,
                "url": self.keycloak.admin_url,
            },
            # The next `up` compares it: data are not left behind by a change of settings.
            "data": dict(data),
        }
        if realm.people:
            # As whom MLflow asks who is in the realm.
            shown["people"] = {"client_id": realm.people.client_id, "client_secret": realm.people.secret}
        if realm.providers:
            # What each of them has to know of Keycloak.
            issuer = self.keycloak.issuer
            shown["identity_providers"] = {one.alias: one.told(issuer) for one in realm.providers}
        if self.keycloak_is_ours:
            shown["admin"] = {"username": self.admin_username, "password": self.admin_password}
        return shown


def stack_spec(settings: Settings) -> StackSpec:
    """Describe the stack. Raises StackError when settings and workloads contradict each other."""
    # Whoever read the settings may not have asked these rules.
    _refuse([wrong.problem for wrong in broken(RULES, settings, Known())])
    ours, realm = settings.keycloak.existing is None, realm_spec(settings)
    workloads = (
        *postgres_workloads(settings),
        *redis_workloads(settings),
        *keycloak_workloads(settings),
        *mlflow_workloads(settings),
        *jobs_workloads(settings),
        *realm_job_workloads(settings, realm),
    )
    spec = StackSpec(
        workloads=workloads,
        realm=realm,
        keycloak=keycloak_address(settings),
        keycloak_is_ours=ours,
        admin=admin_login(settings),
        admin_username=ADMIN_USERNAME,
        admin_password=ADMIN_PASSWORD,
        mlflow_url=settings.mlflow.url,
        moves=moves(settings),
        environment=settings.environment,
        keycloak_data=_keycloak_data(settings, workloads),
    )
    if spec.protects:
        spec = replace(spec, workloads=tuple(_protected(workload) for workload in workloads))
    _refuse([*check_workloads(workloads), *check_secrets(spec.every_secret)])
    return spec


def _keycloak_data(settings: Settings, workloads: Sequence[Workload]) -> str:
    host = keycloak_database(settings).host
    return host if settings.keycloak.existing is None and host in {w.name for w in workloads} else ""


def _protected(workload: Workload) -> Workload:
    return replace(workload, volumes=tuple(replace(volume, protected=True) for volume in workload.volumes))


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise StackError("The stack contradicts itself; nothing was created.", problems)
