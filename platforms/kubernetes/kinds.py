"""Every kind of object that a stack may be made of: one row each, and every list of kinds follows from the rows.

To let a stack have one more kind, add its row here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Compared(StrEnum):
    """How an object that is there is held against its definition."""

    # A rule says what it says: one more or one less is another.
    EXACT = "exact"
    # The API server fills in the defaults of the kind.
    COVERS = "covers"
    # Its name holds a digest of its content, its pods tell of it, or its content is secret.
    NO = "no"


@dataclass(frozen=True)
class Addition:
    """What brings kinds to a cluster, and the setting with which a stack has no object of them.

    One addition may bring kinds that different settings ask for: these are rows of their own, with the same name.
    """

    name: str
    without: str


@dataclass(frozen=True)
class Kind:
    """One kind of the Kubernetes API.

    api: its group and version as a manifest has them. plural: its resource as the API and `kubectl` name it.
    template: where the template of its pods is, as keys from the top; empty for kinds without one.
    runs: its pods are programs of the stack. makes_pods: so do these, whatever runs in them.
    through: the kind of what it makes its pods through, which is called after it and a hyphen; empty: it makes them.
    scheduled: its pods come at set times or at changes and go, so that it has none is no finding.
    data: what it holds is the stack's data, which goes with it.
    storage: where the name of its StorageClass is, as keys from the top; empty for kinds that claim no storage.
    awaited: Pulumi's provider waits until it is ready. It would wait for a Service's endpoints, an Ingress's address
        and a claim's volume, all of which need the pods that come after them.
    looked_for: one that is missing is a finding of its own, and not told by pods that are missing.
    finding: the finding's id (stackctl.doctor.findings) where one is missing or differs.
    addition: what brings the kind to a cluster, where that is not Kubernetes itself.
    """

    name: str
    api: str
    plural: str
    namespaced: bool = True
    template: tuple[str, ...] = ()
    runs: bool = False
    makes_pods: bool = False
    through: str = ""
    scheduled: bool = False
    data: bool = False
    storage: tuple[str, ...] = ()
    awaited: bool = False
    compared: Compared = Compared.NO
    looked_for: bool = True
    finding: str = "object-outdated"
    addition: Addition | None = None

    @property
    def group(self) -> str:
        """The API group; empty for the core one."""
        return self.api.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """The kind as `kubectl` takes it, with its group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_TEMPLATE = ("spec", "template")
_CRON_TEMPLATE = ("spec", "jobTemplate", "spec", "template")
_GATEWAY_API = "the Gateway API (its CRDs)"
# The waypoint of the mesh is a Gateway.
_WAYPOINT = Addition(_GATEWAY_API, "kubernetes.mesh.enabled: false")
_ROUTES = Addition(_GATEWAY_API, "no kubernetes.gateway")
_ISTIO = Addition("Istio (its CRDs)", "kubernetes.mesh.enabled: false")
_CNPG = Addition("CloudNativePG (its CRDs)", "no kubernetes.cloudNativePg")
_ESO = Addition("the External Secrets Operator (its CRDs)", "no kubernetes.externalSecrets")
_EXACT, _COVERS = Compared.EXACT, Compared.COVERS

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("Namespace", "v1", "namespaces", namespaced=False, awaited=True, looked_for=False),
        Kind("ResourceQuota", "v1", "resourcequotas"),
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("Secret", "v1", "secrets", looked_for=False),
        Kind("ConfigMap", "v1", "configmaps", looked_for=False),
        Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims", data=True, storage=("spec", "storageClassName")),
        Kind("Pod", "v1", "pods"),
        Kind("Service", "v1", "services", compared=_COVERS),
        Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", compared=_EXACT, finding="network-policy"),
        Kind("Ingress", "networking.k8s.io/v1", "ingresses", compared=_COVERS),
        Kind(
            "Deployment", "apps/v1", "deployments",
            template=_TEMPLATE, runs=True, makes_pods=True, through="ReplicaSet", awaited=True, looked_for=False,
        ),
        Kind(
            "StatefulSet", "apps/v1", "statefulsets",
            template=_TEMPLATE, runs=True, makes_pods=True, awaited=True, looked_for=False,
        ),
        Kind(
            "CronJob", "batch/v1", "cronjobs",
            template=_CRON_TEMPLATE, runs=True, makes_pods=True, through="Job", scheduled=True, looked_for=False,
        ),
        Kind(
            "Job", "batch/v1", "jobs",
            template=_TEMPLATE, runs=True, makes_pods=True, scheduled=True, looked_for=False,
        ),
        Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
        Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
        Kind(
            "Gateway", "gateway.networking.k8s.io/v1", "gateways",
            makes_pods=True, compared=_COVERS, finding="waypoint", addition=_WAYPOINT,
        ),
        Kind("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes", compared=_COVERS, addition=_ROUTES),
        Kind(
            "Cluster", "postgresql.cnpg.io/v1", "clusters",
            runs=True, makes_pods=True, data=True, storage=("spec", "storage", "storageClass"), addition=_CNPG,
        ),
        Kind("ExternalSecret", "external-secrets.io/v1", "externalsecrets", addition=_ESO),
        Kind(
            "PeerAuthentication", "security.istio.io/v1", "peerauthentications",
            compared=_EXACT, finding="mesh-policy", addition=_ISTIO,
        ),
        Kind(
            "AuthorizationPolicy", "security.istio.io/v1", "authorizationpolicies",
            compared=_EXACT, finding="mesh-policy", addition=_ISTIO,
        ),
    )
}  # fmt: skip


def controller_kinds() -> tuple[Kind, ...]:
    """What keeps pods of the stack by a template that the stack itself writes."""
    return tuple(kind for kind in KINDS.values() if kind.runs and kind.template)


def kind_of(manifest: Mapping[str, object]) -> Kind:
    """The row of an object's kind. Raises KeyError for one that no stack has."""
    return KINDS[str(manifest["kind"])]


def served(groups: Iterable[str]) -> tuple[Kind, ...]:
    """The kinds that a cluster with these API groups knows, and that the stack may have objects of there."""
    known = {*groups, ""}
    return tuple(kind for kind in KINDS.values() if kind.group in known)


def value_at(manifest: Mapping[str, Any], place: Iterable[str]) -> Any:
    """What stands in an object at these keys, one below the other; None where one of them is not there."""
    found: Any = manifest
    for key in place:
        found = (found or {}).get(key)
    return found


def resources(kinds: Iterable[Kind]) -> str:
    """Kinds as one word of `kubectl`."""
    return ",".join(kind.resource for kind in kinds)
