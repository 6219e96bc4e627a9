"""What only the Kubernetes platform needs to be told."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from settings.types import (
    Caller,
    DataKey,
    DnsName,
    Group,
    LabelValue,
    Network,
    ObjectName,
    QualifiedName,
    Quantity,
    Registry,
    StorageClass,
    TcpPort,
    TrustDomain,
)


class ExistingSecret(Group):
    """A Secret that is in the stack's namespace already; its pods read it, and the stack never does."""

    name: ObjectName = Field(description="Its name")
    key: DataKey = Field("password", description="The key that holds the value")


class ExistingAccessKey(Group):
    """A Secret in the stack's namespace with the two parts of an access key."""

    name: ObjectName = Field(description="Its name")
    id_key: DataKey = Field("AWS_ACCESS_KEY_ID", description="The key that holds the access key's id")
    secret_key: DataKey = Field("AWS_SECRET_ACCESS_KEY", description="The key that holds its secret")


class Storage(Group):
    """How volumes are claimed.

    A shared volume is one that every replica of a program mounts (MLflow's artifacts); the others
    belong to one pod at a time.
    """

    class_name: StorageClass = Field(None, description="StorageClass; default: the cluster's own default")
    shared_class_name: StorageClass = Field(None, description="StorageClass of shared volumes; default: className")
    shared_access: Literal["ReadWriteOnce", "ReadWriteMany"] = Field(
        "ReadWriteOnce", description="Access mode of shared volumes; more than one replica needs ReadWriteMany"
    )
    claims: dict[str, DnsName] = Field(
        {}, description="Existing claims by volume, such as mlflow-artifacts; the stack never removes them"
    )


class ExternalSecrets(Group):
    """The stack's secrets come from a store outside the cluster, by way of the External Secrets Operator.

    Each is read at prefix + its name, such as mlflow-sso/prod/mlflow-client-secret.
    """

    store: ObjectName = Field(description="Name of the SecretStore")
    kind: Literal["SecretStore", "ClusterSecretStore"] = Field(
        "ClusterSecretStore", description="Kind of the store; a SecretStore is in the stack's namespace"
    )
    prefix: Annotated[str, StringConstraints(pattern=r"^\S*$")] = Field(
        "", description="Put before a secret's name for its key in the store, such as mlflow-sso/prod/"
    )
    property: str | None = Field(None, description="The field of each key that holds the value, where keys have fields")
    refresh: Annotated[str, StringConstraints(pattern=r"^([0-9]+(s|m|h))+$")] = Field(
        "1h", description="How often values are read again, such as 15m"
    )


class CloudNativePg(Group):
    """Postgres is run by the CloudNativePG operator, 1.25 or later, in place of a StatefulSet."""

    instances: Annotated[int, Field(ge=1, le=9)] = Field(
        3, description="Servers of one cluster: a primary and replicas"
    )
    storage_gib: Annotated[int, Field(ge=1)] = Field(10, description="Size of each instance's volume in GiB")
    class_name: StorageClass = Field(None, description="StorageClass of the instances; default: storage.className")
    image: Annotated[str, StringConstraints(pattern=r":[0-9]+([._-][\w.-]+)?$")] | None = Field(
        None, description="Operand image; its tag starts with the major version. Default: the stack's own"
    )
    operator_namespace: DnsName = Field("cnpg-system", description="Namespace of the operator's pods")


class Controller(StrEnum):
    """What serves an Ingress, where its bounds can be told on the Ingress itself."""

    INGRESS_NGINX = "ingress-nginx"
    NGINX_INC = "nginx-inc"
    TRAEFIK = "traefik"
    HAPROXY = "haproxy"
    ALB = "alb"
    CONTOUR = "contour"
    OPENSHIFT = "openshift"


class GatewayRef(Group):
    """A Gateway that is there already; HTTPRoutes are attached to it."""

    name: DnsName = Field(description="Its name")
    namespace: DnsName = Field(description="Its namespace, from where requests come in")
    section: DnsName | None = Field(None, description="Its https listener; default: all, where all are https")
    request_timeout: Annotated[str, StringConstraints(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")] | None = Field(
        "0s", description="Longest request of MLflow's, 0s for any; null says nothing, for a Gateway API before 1.2"
    )


class Ingress(Group):
    """Exposure through an Ingress controller. TLS: an existing Secret, or one that cert-manager makes."""

    class_name: DnsName | None = Field(None, description="IngressClass; default: the cluster's own default")
    namespace: DnsName = Field("ingress-nginx", description="Namespace of the controller's pods")
    controller: Controller | None = Field(
        None, description="What serves it, and is told of MLflow's large and long requests; default: by className"
    )
    annotations: dict[QualifiedName, str] = Field(
        {}, description="Of each Ingress, for its controller; over the stack's own"
    )
    tls_secret: DnsName | None = Field(None, description="Existing Secret with the certificate of both hosts")
    issuer: DnsName | None = Field(None, description="cert-manager Issuer in the stack's namespace")
    cluster_issuer: DnsName | None = Field(None, description="cert-manager ClusterIssuer")


class Dns(Group):
    """Where pods look names up, beside the places where the common distributions of Kubernetes have it."""

    addresses: tuple[Network, ...] = Field(
        (), description="Addresses or networks that answer, such as kube-dns' own where NodeLocal DNSCache stands in"
    )
    namespace: DnsName | None = Field(None, description="Namespace of pods that answer")
    labels: dict[QualifiedName, LabelValue] = Field(
        {}, description="Labels of these pods; none: all pods of the namespace"
    )
    port: TcpPort = Field(53, description="Port at which these addresses and pods answer, TCP and UDP")


class Mesh(Group):
    """Istio ambient: mutual TLS between all parts, and a waypoint that guards MLflow's trace intake."""

    enabled: bool = Field(True, description="false: no Istio object is made")
    waypoint: DnsName = Field("waypoint", description="Name of the waypoint Gateway")
    trust_domain: TrustDomain = Field("cluster.local", description="First part of every SPIFFE identity in the mesh")
    system_namespace: DnsName = Field("istio-system", description="Namespace of istiod")
    collector_namespace: DnsName = Field("otel-collector", description="Namespace of the OpenTelemetry collector")
    collector_account: DnsName = Field("otel-collector", description="Its ServiceAccount: the only sender of traces")


class Kubernetes(Group):
    """Where in which cluster, and how it is reached."""

    context: str | None = Field(None, description="Context of the kubeconfig; default: the current one")
    namespace: DnsName | None = Field(None, description="Default: the project's and the stack's name")
    create_namespace: bool = Field(True, description="false: the namespace exists and stays")
    quota: dict[QualifiedName, Quantity] = Field(
        {}, description="Hard limits of a ResourceQuota, such as limits.memory: 8Gi"
    )
    storage: Storage = Storage()
    gateway: GatewayRef | None = None
    ingress: Ingress | None = None
    callers: tuple[Caller, ...] = Field(
        (),
        description="Further namespaces whose pods may connect to MLflow and Keycloak; namespace/account in the mesh",
    )
    scrapers: tuple[DnsName, ...] = Field(
        (), description="Namespaces whose pods may read metrics, at the ports that have some and no others"
    )
    dns: Dns = Dns()
    mesh: Mesh = Mesh()
    registry: Registry = Field(
        None, description="Registry and path that images are pushed to and pulled from, such as registry.example.com/ml"
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        "IfNotPresent", description="When a node asks the registry for an image"
    )
    image_pull_secrets: tuple[DnsName, ...] = Field((), description="Existing Secrets with logins for the registry")
    realm_job: bool = Field(
        False,
        description="true: rendered files have a Job that changes the realm, where Argo CD or Flux applies them",
    )
    cloud_native_pg: CloudNativePg | None = None
    external_secrets: ExternalSecrets | None = None
    oauth_secret: DnsName = Field(
        "mlflow-oauth-secret", description="Secret that pipelines read OIDC_CLIENT_ID, _SECRET and _TOKEN_URL from"
    )

    @property
    def routed(self) -> bool:
        """Whether people come in by a Gateway or an Ingress, where TLS ends."""
        return self.gateway is not None or self.ingress is not None
