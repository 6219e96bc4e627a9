"""Stores of artifacts in the settings: what each makes of the server, and what of them contradicts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.stack import stack_spec
from platforms.secrets import Secret
from platforms.workload import Outside, Workload
from problems import StackError
from tests.samples import OPERATORS_OWN, settings

KEY = {"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": f"{OPERATORS_OWN}-key"}
KEY_FILE = json.dumps({**KEY, "token_uri": "https://oauth2.googleapis.com/token"}, indent=2)
GCS = {"bucket": "models", "prefix": "team"}
AZURE = {"account": "models1", "container": "runs"}
S3 = {"bucket": "models"}
CLIENT = "01234567-89ab-cdef-0123-456789abcdef"
ROLE = "arn:aws:iam::123456789012:role/mlflow"
KUBERNETES = {"platform": "kubernetes"}


def mlflow(config: dict[str, Any], **more: Any) -> Workload:
    spec = stack_spec(settings({"mlflow": config, **more}))
    return next(workload for workload in spec.workloads if workload.name == "mlflow")


def refused(config: dict[str, Any], **more: Any) -> str:
    with pytest.raises(StackError) as caught:
        mlflow(config, **more)
    text = str(caught.value)
    assert OPERATORS_OWN not in text
    return text


def secrets(workload: Workload, name: str) -> tuple[Secret, ...]:
    return workload.secret_env[name].secrets


def test_a_bucket_of_google_takes_the_place_of_the_volume() -> None:
    workload = mlflow({"gcs": {**GCS, "serviceAccountKey": KEY_FILE}})
    assert "gs://models/team" in workload.args
    assert workload.volumes == ()
    assert workload.image.startswith("mlflow-sso/mlflow:11.0.2-gcs-")
    assert {Outside("storage.googleapis.com", 443), Outside("oauth2.googleapis.com", 443)} <= set(workload.outside)
    (secret,) = secrets(workload, "GOOGLE_SERVICE_ACCOUNT_KEY")
    assert secret.value is not None
    assert json.loads(secret.value) == json.loads(KEY_FILE)
    assert "\n" not in secret.value
    assert OPERATORS_OWN not in repr((workload.env, workload.args))


def test_a_container_of_azure_takes_the_place_of_the_volume() -> None:
    workload = mlflow({"azure": {**AZURE, "prefix": "team/", "accountKey": f"{OPERATORS_OWN}=="}})
    assert "wasbs://runs@models1.blob.core.windows.net/team" in workload.args
    assert workload.volumes == ()
    assert workload.image.startswith("mlflow-sso/mlflow:11.0.2-azure-")
    assert Outside("models1.blob.core.windows.net", 443) in workload.outside
    assert [secret.value for secret in secrets(workload, "AZURE_STORAGE_ACCESS_KEY")] == [f"{OPERATORS_OWN}=="]


def test_stores_in_another_place_are_asked_there() -> None:
    place = {"endpointUrl": "https://gcs.example.com:8443"}
    private = mlflow({"gcs": {**GCS, **place, "serviceAccountKey": KEY_FILE}})
    assert private.env["API_ENDPOINT_OVERRIDE"] == "https://gcs.example.com:8443"
    emulator = mlflow({"gcs": {**GCS, **place, "anonymous": True}})
    assert emulator.env["STORAGE_EMULATOR_HOST"] == "https://gcs.example.com:8443"
    for workload in (private, emulator):
        assert Outside("gcs.example.com", 8443) in workload.outside
    azurite = mlflow({"azure": {**AZURE, "endpointUrl": "http://azurite:10000/models1", "accountKey": "k=="}})
    text = azurite.secret_env["AZURE_STORAGE_CONNECTION_STRING"].parts
    assert text[0] == "AccountName=models1;BlobEndpoint=http://azurite:10000/models1;AccountKey="
    assert Outside("azurite", 10000) in azurite.outside


@pytest.mark.parametrize(
    ("config", "variable"),
    [
        ({"gcs": {**GCS, "existingSecret": {"name": "cloud", "key": "key.json"}}}, "GOOGLE_SERVICE_ACCOUNT_KEY"),
        ({"azure": {**AZURE, "existingSecret": {"name": "cloud", "key": "key.json"}}}, "AZURE_STORAGE_ACCESS_KEY"),
    ],
)
def test_credentials_may_be_in_a_secret_of_the_cluster(config: dict[str, Any], variable: str) -> None:
    (secret,) = secrets(mlflow(config, **KUBERNETES), variable)
    assert secret.kept is not None
    assert (secret.kept.name, secret.kept.key) == ("cloud", "key.json")
    store = next(iter(config))
    assert f"mlflow.{store}.existingSecret = cloud: expected" in refused(config)


@pytest.mark.parametrize(
    ("config", "note", "marks"),
    [
        ({"s3": {**S3, "roleArn": ROLE}}, {"eks.amazonaws.com/role-arn": ROLE}, {}),
        (
            {"gcs": {**GCS, "serviceAccount": "a@p.iam.gserviceaccount.com"}},
            {"iam.gke.io/gcp-service-account": "a@p.iam.gserviceaccount.com"},
            {},
        ),
        (
            {"azure": {**AZURE, "clientId": CLIENT}},
            {"azure.workload.identity/client-id": CLIENT},
            {"azure.workload.identity/use": "true"},
        ),
    ],
)
def test_the_program_may_be_known_to_the_cloud(
    config: dict[str, Any], note: dict[str, str], marks: dict[str, str]
) -> None:
    workload = mlflow(config, **KUBERNETES)
    assert workload.identity is not None
    assert (workload.identity.notes, workload.identity.marks) == (note, marks)
    assert not any(name.startswith(("AWS_", "GOOGLE_", "AZURE_")) for name in workload.secret_env)
    key = next(key for store in config.values() for key in store if key in ("roleArn", "serviceAccount", "clientId"))
    assert f"mlflow.{next(iter(config))}.{key} = " in refused(config)


def test_the_way_to_the_tokens_of_an_identity_is_open() -> None:
    google = mlflow({"gcs": {**GCS, "serviceAccount": "a@p.iam.gserviceaccount.com"}}, **KUBERNETES)
    assert Outside("169.254.169.254", 80) in google.outside
    azure = mlflow({"azure": {**AZURE, "clientId": CLIENT}}, **KUBERNETES)
    assert Outside("login.microsoftonline.com", 443) in azure.outside
    amazon = mlflow({"s3": {**S3, "roleArn": ROLE, "endpointUrl": "http://minio:9000"}}, **KUBERNETES)
    assert Outside("sts.amazonaws.com", 443) in amazon.outside


@pytest.mark.parametrize("given", [("s3", "gcs"), ("gcs", "azure"), ("s3", "gcs", "azure")])
def test_artifacts_are_in_one_store(given: tuple[str, ...]) -> None:
    stores = {"s3": S3, "gcs": GCS, "azure": AZURE}
    text = refused({name: stores[name] for name in given})
    for name in given:
        assert f"mlflow-sso:mlflow.{name}" in text
    assert "expected one of them: artifacts are in one store" in text


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"s3": {**S3, "accessKeyId": "AKIA"}}, "mlflow.s3.secretAccessKey: required with the other part"),
        ({"s3": {**S3, "secretAccessKey": OPERATORS_OWN}}, "mlflow.s3.accessKeyId: required with the other part"),
        ({"gcs": {**GCS, "anonymous": True}}, "mlflow.gcs.endpointUrl: required with anonymous"),
        (
            {"gcs": {**GCS, "serviceAccountKey": KEY_FILE, "anonymous": True, "endpointUrl": "http://x"}},
            "mlflow.gcs: expected one of serviceAccountKey and anonymous",
        ),
        ({"azure": {**AZURE, "endpointUrl": "http://x"}}, "mlflow.azure.accountKey: required with endpointUrl"),
        ({"azure": {"account": "Models", "container": "a"}}, "mlflow.azure.account"),
        ({"azure": {"account": "models", "container": "a--b"}}, "mlflow.azure.container"),
        ({"gcs": {**GCS, "serviceAccountKey": OPERATORS_OWN}}, "expected the JSON file of a service account's key"),
        (
            {"gcs": {**GCS, "serviceAccountKey": json.dumps(KEY | {"private_key": ""})}},
            "missing in it: private_key, token_uri",
        ),
    ],
)
def test_what_is_missing_or_too_much_is_named(config: dict[str, Any], text: str) -> None:
    assert text in refused(config)


@pytest.mark.parametrize("place", ["env", "secretEnv"])
def test_the_other_part_of_a_key_may_be_a_variable(place: str) -> None:
    workload = mlflow({"s3": {**S3, "accessKeyId": "AKIA"}, place: {"AWS_SECRET_ACCESS_KEY": "x"}})
    assert "AWS_SECRET_ACCESS_KEY" in {**workload.env, **workload.secret_env}


def test_a_stack_without_these_stores_runs_the_image_without_their_clients() -> None:
    assert mlflow({"s3": S3}).image == mlflow({}).image
    assert len({mlflow(config).image for config in ({}, {"gcs": GCS}, {"azure": AZURE})}) == 3


def test_links_into_a_bucket_are_made_where_a_setting_says_so() -> None:
    assert not any(name.startswith("MLFLOW_SSO_DIRECT") for name in mlflow({"s3": S3}).env)
    direct = mlflow({"s3": {**S3, "endpointUrl": "http://minio:9000", "direct": True, "publicUrl": "https://s3.corp"}})
    assert direct.env["MLFLOW_SSO_DIRECT"] == "true"
    assert direct.env["MLFLOW_SSO_DIRECT_URL"] == "https://s3.corp"
    assert direct.env["MLFLOW_S3_ENDPOINT_URL"] == "http://minio:9000"


def test_what_links_would_pass_by_is_refused_with_them() -> None:
    assert "mlflow.s3.publicUrl = https://s3.corp: expected none without direct" in refused(
        {"s3": {**S3, "publicUrl": "https://s3.corp"}}
    )
    assert "mlflow.limits.artifactMib = 5: expected none with mlflow.s3.direct" in refused(
        {"s3": {**S3, "direct": True}, "limits": {"artifactMib": 5}}
    )
