"""Stacks on Kubernetes to look at: a plain one, and ones that use everything."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from components.importing import importing_workloads
from components.stack import stack_spec
from platforms.kubernetes.kinds import controller_kinds, kind_of, value_at
from platforms.kubernetes.objects.render import Rendered, render
from platforms.kubernetes.plan import NAME_KEY, KubernetesPlan, Manifest
from settings import PROJECT, Settings, parse

STACK = "test"
HIDDEN = "hidden-value-of"

SCALED: dict[str, Any] = {
    "environment": "prod",
    "mlflow": {"url": "https://mlflow.example.com", "replicas": 2, "maxReplicas": 5},
    "keycloak": {"url": "https://sso.example.com", "replicas": 2},
    "postgres": {"separateKeycloak": True},
    "redis": {"persistent": True},
    "realm": {"serviceAccounts": [{"clientId": "pipelines", "groups": ["mlflow-users"]}]},
    "kubernetes": {
        "quota": {"limits.memory": "16Gi"},
        "storage": {"className": "fast", "sharedClassName": "nfs", "sharedAccess": "ReadWriteMany"},
        "gateway": {"name": "public", "namespace": "gateways", "section": "https"},
        "registry": "registry.example.com/ml",
        "imagePullSecrets": ["pull"],
    },
}
OUTSIDE: dict[str, Any] = {
    "environment": "prod",
    "mlflow": {
        "url": "https://mlflow.example.com",
        "replicas": 3,
        "s3": {"bucket": "artifacts", "endpointUrl": "https://s3.example.com:9443"},
    },
    "keycloak": {"url": "https://sso.example.com"},
    "postgres": {
        "external": {
            "host": "db.example.com",
            **{
                part: {"database": part, "username": part, "password": f"{part}-password"}
                for part in ("keycloak", "mlflow", "oidc")
            },
        }
    },
    "redis": {"external": {"host": "cache.example.com", "port": 6380, "password": "redis-password"}},
    "kubernetes": {
        "namespace": "shared",
        "createNamespace": False,
        "ingress": {"className": "nginx", "clusterIssuer": "letsencrypt"},
    },
}
# The same, with every credential in a Secret that is there already.
KEPT: dict[str, Any] = {
    **OUTSIDE,
    "mlflow": {
        "url": "https://mlflow.example.com",
        "s3": {"bucket": "artifacts", "existingSecret": {"name": "s3.artifacts", "idKey": "id", "secretKey": "secret"}},
    },
    "postgres": {
        "external": {
            "host": "db.example.com",
            **{
                part: {"database": part, "username": part, "existingSecret": {"name": f"db-{part}"}}
                for part in ("keycloak", "mlflow", "oidc")
            },
        }
    },
    "redis": {"external": {"host": "cache.example.com", "existingSecret": {"name": "cache", "key": "redis.password"}}},
}
# Every secret comes from a store outside the cluster.
FETCHED: dict[str, Any] = {
    "mlflow": {"secretEnv": {"MODEL_API_KEY": {"name": "models", "key": "api-key"}}},
    "realm": {"users": [{"username": "carol@example.com"}]},
    "kubernetes": {
        "externalSecrets": {"store": "vault", "prefix": "mlflow-sso/test/", "property": "value", "refresh": "15m"}
    },
}
# An operator runs Postgres.
OPERATED: dict[str, Any] = {
    "postgres": {"separateKeycloak": True},
    "kubernetes": {
        "storage": {"className": "slow"},
        "cloudNativePg": {"instances": 2, "storageGib": 20, "className": "fast", "operatorNamespace": "databases"},
        "registry": "registry.example.com/ml",
        "imagePullSecrets": ["pull"],
    },
}
WITHOUT_MESH: dict[str, Any] = {"kubernetes": {"mesh": {"enabled": False}}}
SAMPLES = {"plain": {}, "scaled": SCALED, "outside": OUTSIDE, "kept": KEPT, "without mesh": WITHOUT_MESH}


def settings(config: dict[str, Any]) -> Settings:
    given = {"platform": "kubernetes", **config}
    return parse({f"{PROJECT}:{key}": value for key, value in given.items()}, STACK)


def plan(config: dict[str, Any], kept: str = "") -> KubernetesPlan:
    """kept: the realm that was imported."""
    chosen = settings(config)
    return KubernetesPlan(
        PROJECT, STACK, importing_workloads(stack_spec(chosen), kept, imported=True), chosen.kubernetes
    )


def values(config: dict[str, Any]) -> dict[str, str]:
    secrets = (*stack_spec(settings(config)).secrets, NAME_KEY)
    return {secret.name: f"{HIDDEN}-{secret.name}" for secret in secrets}


def rendered(config: dict[str, Any], changed: dict[str, str] | None = None, kept: str = "") -> Rendered:
    stack = plan(config, kept)
    return render(stack, {**values(config), **(changed or {})}, stack_spec(settings(config)).shared(stack.inside))


def every(config: dict[str, Any], kept: str = "") -> list[Manifest]:
    """Every object of a stack, made once for equal settings."""
    return list(made_once(json.dumps(config), kept))


@cache
def made_once(config: str, kept: str) -> list[Manifest]:
    made = rendered(json.loads(config), kept=kept)
    return [*made.namespace, *made.secrets, *made.objects]


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def controllers(manifests: list[Manifest]) -> dict[str, Manifest]:
    """What keeps pods that serve, by the workload."""
    return {n: m for n, m in keepers(manifests).items() if not kind_of(m).scheduled}


def keepers(manifests: list[Manifest]) -> dict[str, Manifest]:
    """What keeps pods by a template that the stack writes, however they run, by the workload."""
    return {m["metadata"]["name"]: m for m in manifests if kind_of(m) in controller_kinds()}


def template(keeper: Manifest) -> Manifest:
    """The template of the pods that it keeps."""
    found: Manifest = value_at(keeper, kind_of(keeper).template)
    return found


def pod(keeper: Manifest) -> Manifest:
    """What its pods are."""
    return dict(template(keeper)["spec"])


def container(keeper: Manifest) -> Manifest:
    """The one container of its pods; lists that it does not need are empty."""
    (only,) = pod(keeper)["containers"]
    return {"env": [], "ports": [], "args": [], "volumeMounts": [], **only}


def labels_of_pods(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """The labels of the pods of every workload, however it runs."""
    return {name: template(keeper)["metadata"]["labels"] for name, keeper in keepers(manifests).items()}
