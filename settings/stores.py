"""The settings of the object stores that artifacts may be in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from settings.kubernetes import ExistingAccessKey, ExistingSecret
from settings.types import Group, Name, Password, SecretValue, ServiceAccountKey, Url


class S3(Group):
    """An S3-compatible store for artifacts; MLflow's server reads and writes it for its users."""

    bucket: Name = Field(description="The bucket's name")
    prefix: str = Field("", description="Path in the bucket below which everything is kept")
    endpoint_url: Url | None = Field(None, description="URL of a store other than AWS")
    region: str | None = Field(None, description="The bucket's region")
    access_key_id: str | None = Field(None, description="Id of an access key; none: the machine's own role")
    secret_access_key: Password | None = Field(None, description="The access key's secret")
    existing_secret: ExistingAccessKey | None = Field(
        None, description="Where the access key is on Kubernetes, in place of the two above"
    )
    role_arn: Annotated[str, StringConstraints(pattern=r"^arn:[\w-]+:iam::[0-9]{12}:role/\S+$")] | None = Field(
        None, description="On EKS, in place of a key: the role that MLflow's own account stands for"
    )
    direct: bool = Field(
        False,
        description="Clients move large artifacts past the server, by links of five minutes, or an hour for a part",
    )
    public_url: Url | None = Field(
        None, description="With direct: URL of the store for clients, where endpointUrl is not it"
    )


class Gcs(Group):
    """A bucket in Google Cloud Storage for artifacts; MLflow's server reads and writes it for its users."""

    bucket: Name = Field(description="The bucket's name")
    prefix: str = Field("", description="Path in the bucket below which everything is kept")
    endpoint_url: Url | None = Field(
        None, description="URL of the API in another place: a private endpoint, an emulator"
    )
    service_account_key: ServiceAccountKey | None = Field(
        None, description="Key of a service account, as JSON; none: the machine's own account"
    )
    existing_secret: ExistingSecret | None = Field(
        None, description="Where that key is on Kubernetes, in place of the one above"
    )
    service_account: Annotated[str, StringConstraints(pattern=r"^[^\s@]+@[^\s@]+\.gserviceaccount\.com$")] | None = (
        Field(None, description="On GKE, in place of a key: the service account that MLflow's own account stands for")
    )
    anonymous: bool = Field(False, description="Ask without credentials, as an emulator wants it")


class Azure(Group):
    """A container in Azure Blob Storage for artifacts; MLflow's server reads and writes it for its users."""

    account: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,24}$")] = Field(description="The storage account")
    container: Annotated[str, StringConstraints(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")] = Field(
        description="The container's name"
    )
    prefix: str = Field("", description="Path in the container below which everything is kept")
    endpoint_url: Url | None = Field(
        None, description="URL of the account in another place, such as an emulator; needs a key"
    )
    account_key: SecretValue | None = Field(None, description="A key of the account; none: the machine's own identity")
    existing_secret: ExistingSecret | None = Field(
        None, description="Where that key is on Kubernetes, in place of the one above"
    )
    client_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F-]{36}$")] | None = Field(
        None, description="On AKS, in place of a key: the managed identity that MLflow's own account stands for"
    )
