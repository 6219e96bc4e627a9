"""What may differ between a stack of a release and one of now, each with its reason; the changelog tells of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

# What may differ, by the kind of object and the path of the value, and why nothing is replaced for it.
ALLOWED: Mapping[tuple[str, str], str] = {
    ("NetworkPolicy", "spec.ingress"): "a caller reaches the ports meant for it alone; changed in place",
    ("NetworkPolicy", "spec.egress"): "the same, from the other side; changed in place",
    ("AuthorizationPolicy", "spec.rules"): "in the mesh as well; changed in place",
    ("Service", "spec.publishNotReadyAddresses"): "what waits for a database connects as soon as it listens; in place",
    ("HTTPRoute", "spec.rules"): "a Gateway lets large artifacts take their time; changed in place",
    ("Ingress", "metadata.annotations"): "a controller that is known does so too; changed in place",
    **dict.fromkeys(
        ((kind, "metadata.annotations") for kind in ("Namespace", "PersistentVolumeClaim", "Cluster")),
        "Argo CD and Flux leave what holds data; changed in place",
    ),
    ("PersistentVolumeClaim", "metadata.labels.mlflow-sso.protected"): "`cleanup` leaves it; changed in place",
}
# What the workloads that a stack had are given beside what they had, by its kind and name, and why they keep their
# data and passwords. What a new workload brings needs no row.
ADDED: Mapping[tuple[str, str], str] = {
    ("variable", "MLFLOW_GATEWAY_KEY"): "the same, for Compose",
    (
        "Client",
        "client-admin-cli",
    ): "Keycloak made it with the realm; it asks for consent now, and nothing but that is known of it",
    ("Client", "client-mlflow-groups"): "its roles stand for the declared groups, and it has no login",
    ("Client", "client-mlflow-people"): "MLflow asks as this account who is in the realm",
    ("variable", "MLFLOW_PEOPLE_SECRET"): "the secret of that account, for Compose",
    ("RandomPassword", "mlflow-people-secret"): "the same, for Pulumi",
    ("RandomPassword", "mlflow-gateway-key"): "rows under MLflow's public passphrase are put under it as MLflow starts",
}
# Kinds of which some come and some go with no data in them.
_ROLES = "tokens name the declared groups by roles, which stand beside what was there"
COME: Mapping[str, str] = {
    **dict.fromkeys(("Role", "GroupRoles", "GenericRoleMapper", "GenericProtocolMapper"), _ROLES),
    "ClientServiceAccountRole": "MLflow may see who is in the realm",
}
GONE: Mapping[str, str] = {"GroupMembershipProtocolMapper": "it wrote every group by the last part of its path"}
# The programs that the next `up` starts anew, with what they are told beside what they were; all else of them stays.
STARTED_ANEW: Mapping[str, frozenset[str]] = {
    "mlflow": frozenset(
        {
            *("MLFLOW_CRYPTO_KEK_PASSPHRASE", "MLFLOW_CRYPTO_KEK_VERSION", "MLFLOW_GATEWAY_KEY", "MLFLOW_SSO_TURNS"),
            *(f"MLFLOW_SSO_PEOPLE_{part}" for part in ("URL", "REALM", "CLIENT", "ROLES", "SECRET")),
        }
    ),
}
# Those that start anew for another image alone.
ANOTHER_IMAGE: Mapping[str, str] = {"keycloak": "logins of one person at once wait for each other"}
# Programs that start anew in some stacks alone: what their secrets are spelt by was wrong for some values.
_SPELT = "a password in a Secret of others with $$, ${, quotes or spaces in it did not arrive as it is"
SPELT_ANEW: Mapping[tuple[str, str], str] = {
    ("kubernetes-kept", "keycloak"): _SPELT,
    ("pulumi-kubernetes-kept", "keycloak"): _SPELT,
    ("kubernetes-fetched", "keycloak"): _SPELT,
    ("kubernetes-fetched", "redis"): _SPELT,
}
# What programs beside the stack read in the Secret of a stable name, which changes in place: a further URL, and in the
# place of a loopback one, which led each pod to itself, one that they reach.
SHARED = frozenset({"OIDC_CLUSTER_TOKEN_URL"})
REACHED = re.compile(
    r"\S*Secret::mlflow-oauth-secret\S*: \S+\.OIDC_TOKEN_URL was 'http://localhost\S+ and becomes 'http://keycloak\."
)
