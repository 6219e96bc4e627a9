"""Where MLflow's artifacts are: a volume, or an object store with the credentials for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from components.secret import given_secret
from platforms.secrets import Kept, Secret, SecretText
from platforms.workload import Identity, Outside, Volume
from settings import Settings, port_of, reveal
from settings.stores import S3, Azure, Gcs

ARTIFACTS_PATH = "/mlflow/artifacts"
# The entrypoint of the image writes it from a variable.
_GOOGLE_KEY_PATH = "/tmp/google-key.json"
_S3_KEY = "s3-secret-access-key"
# Where MLflow's client for Azure finds the account of a URL; it knows no other domains for identities.
_AZURE_DOMAIN = "blob.core.windows.net"
# Pods on GKE ask for tokens there (GKE documentation, "Workload Identity Federation", "Network policy").
_GKE_METADATA = (Outside("169.254.169.254", 80), Outside("169.254.169.252", 988))


@dataclass(frozen=True)
class ArtifactStore:
    """What a store adds to the server. destination: a path in the container, or the URL of an object store."""

    destination: str
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, SecretText] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    outside: tuple[Outside, ...] = ()
    identity: Identity | None = None


def artifact_store(settings: Settings) -> ArtifactStore:
    mlflow = settings.mlflow
    if mlflow.s3 is not None:
        return _s3(mlflow.s3)
    if mlflow.gcs is not None:
        return _gcs(mlflow.gcs)
    if mlflow.azure is not None:
        return _azure(mlflow.azure)
    return ArtifactStore(ARTIFACTS_PATH, volumes=(Volume("artifacts", ARTIFACTS_PATH, size_gib=50, shared=True),))


def _s3(s3: S3) -> ArtifactStore:
    env = {
        "MLFLOW_S3_ENDPOINT_URL": s3.endpoint_url,
        "AWS_DEFAULT_REGION": s3.region,
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        # Read by images/mlflow/app/mlflow_sso/artifacts/links.py.
        "MLFLOW_SSO_DIRECT": "true" if s3.direct else None,
        "MLFLOW_SSO_DIRECT_URL": s3.public_url,
    }
    secret_env: dict[str, SecretText] = {}
    if s3.secret_access_key is not None:
        given = Secret(_S3_KEY, value=reveal(s3.secret_access_key))
        secret_env["AWS_SECRET_ACCESS_KEY"] = SecretText.of(given)
    if s3.existing_secret is not None:
        there = s3.existing_secret
        identity = Secret("s3-access-key-id", kept=Kept(there.name, there.id_key))
        secret_env["AWS_ACCESS_KEY_ID"] = SecretText.of(identity)
        secret_env["AWS_SECRET_ACCESS_KEY"] = SecretText.of(Secret(_S3_KEY, kept=Kept(there.name, there.secret_key)))
    tokens = ("https://sts.amazonaws.com",) if s3.role_arn else ()
    return ArtifactStore(
        destination=f"s3://{s3.bucket}/{s3.prefix}".rstrip("/"),
        env={name: value for name, value in env.items() if value},
        secret_env=secret_env,
        outside=_outside(s3.endpoint_url or "https://s3.amazonaws.com", *tokens),
        # Source: Amazon EKS User Guide, "IAM roles for service accounts".
        identity=Identity({"eks.amazonaws.com/role-arn": s3.role_arn}) if s3.role_arn else None,
    )


def _gcs(gcs: Gcs) -> ArtifactStore:
    env: dict[str, str] = {}
    secret_env: dict[str, SecretText] = {}
    if gcs.endpoint_url:
        # With the first one Google's client asks without credentials.
        name = "STORAGE_EMULATOR_HOST" if gcs.anonymous else "API_ENDPOINT_OVERRIDE"
        env[name] = gcs.endpoint_url
    if given := gcs.service_account_key or gcs.existing_secret:
        secret = given_secret(Secret("gcs-service-account-key"), given)
        secret_env["GOOGLE_SERVICE_ACCOUNT_KEY"] = SecretText.of(secret)
        env["GOOGLE_APPLICATION_CREDENTIALS"] = _GOOGLE_KEY_PATH
    urls = () if gcs.anonymous else ("https://oauth2.googleapis.com",)
    asks_machine = not (given or gcs.anonymous)
    return ArtifactStore(
        destination=f"gs://{gcs.bucket}/{gcs.prefix}".rstrip("/"),
        env=env,
        secret_env=secret_env,
        outside=(
            *_outside(gcs.endpoint_url or "https://storage.googleapis.com", *urls),
            *(_GKE_METADATA if asks_machine else ()),
        ),
        identity=Identity({"iam.gke.io/gcp-service-account": gcs.service_account}) if gcs.service_account else None,
    )


def _azure(azure: Azure) -> ArtifactStore:
    secret_env: dict[str, SecretText] = {}
    given = azure.account_key or azure.existing_secret
    if given:
        secret = given_secret(Secret("azure-account-key"), given)
        if azure.endpoint_url:
            place = f"AccountName={azure.account};BlobEndpoint={azure.endpoint_url.rstrip('/')};AccountKey="
            secret_env["AZURE_STORAGE_CONNECTION_STRING"] = SecretText.of(place, secret)
        else:
            secret_env["AZURE_STORAGE_ACCESS_KEY"] = SecretText.of(secret)
    identity = None
    if azure.client_id:
        # Source: Azure Workload Identity, "Service account labels and annotations" and "Pod".
        notes = {"azure.workload.identity/client-id": azure.client_id}
        identity = Identity(notes, {"azure.workload.identity/use": "true"})
    tokens = () if given else ("https://login.microsoftonline.com",)
    place = f"{azure.account}.{_AZURE_DOMAIN}"
    return ArtifactStore(
        destination=f"wasbs://{azure.container}@{place}/{azure.prefix}".rstrip("/"),
        secret_env=secret_env,
        outside=_outside(azure.endpoint_url or f"https://{place}", *tokens),
        identity=identity,
    )


def _outside(*urls: str) -> tuple[Outside, ...]:
    return tuple(Outside(urlsplit(url).hostname or "", port_of(url)) for url in urls)
