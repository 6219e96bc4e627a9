"""Who the programs of the stack are to each other: client ids, secrets, claims and paths that several parts share.

Realm, MLflow and whatever else speaks to them take these from here, and none of them from another part.
"""

from __future__ import annotations

from platforms.secrets import Change, Secret

# MLflow's own client at Keycloak; both hold its secret.
CLIENT_SECRET = Secret("mlflow-client-secret", length=48, change=Change.COORDINATED)
# The service account that MLflow asks as who is in the realm; Keycloak and MLflow hold its secret.
PEOPLE_SECRET = Secret("mlflow-people-secret", length=48, change=Change.COORDINATED)
# The claim of every token that names the groups of its user.
GROUPS_CLAIM = "groups"
# Below MLflow's URL: where Keycloak sends a browser back to, and where the plugin sends one after logout.
CALLBACK_PATH = "/callback"
LOGGED_OUT_PATH = "/oidc/ui/auth"
# The service account that manages the realm, for the Pulumi provider and the operator's commands; never a person's.
PROVISIONER_CLIENT_ID = "mlflow-sso-provisioner"
PROVISIONER_SECRET = Secret("keycloak-provisioner-secret", length=48, change=Change.COORDINATED)
# Keycloak makes a user for the service account of each client: this, and the client's id in lower case.
SERVICE_ACCOUNT_PREFIX = "service-account-"
# The workload that runs MLflow's jobs, which Postgres and MLflow let in, and the key of what its jobs show the server.
JOBS = "mlflow-jobs"
JOBS_KEY = Secret("mlflow-jobs-key", length=48, change=Change.COORDINATED)
# The workload that brings the realm to its declaration, which Keycloak lets in.
REALM_JOB = "realm-job"

# The signs of a first password that is generated.
PEOPLES_LENGTH = 20


def account_secret(client_id: str) -> Secret:
    """The secret of a service account's client."""
    return Secret(f"client-{client_id}-secret", length=48)


def account_username(client_id: str) -> str:
    """The user that stands for a client's service account, in Keycloak and so in MLflow."""
    return f"{SERVICE_ACCOUNT_PREFIX}{client_id.lower()}"


def user_password(username: str, value: str | None = None) -> Secret:
    """The first password of a person. It is changed where that person logs in, and not by another value of this."""
    return Secret(f"user-{username}-password", length=PEOPLES_LENGTH, value=value, mixed=True)


def mail_password(value: str) -> Secret:
    """The password of Keycloak's mail server."""
    return Secret("keycloak-mail-password", value=value)


def provider_secret(alias: str, value: str) -> Secret:
    """The secret of Keycloak's client at another identity provider."""
    return Secret(f"provider-{alias}-secret", value=value)


def directory_password(name: str, value: str) -> Secret:
    """The password with which Keycloak searches an LDAP directory."""
    return Secret(f"ldap-{name}-password", value=value)
