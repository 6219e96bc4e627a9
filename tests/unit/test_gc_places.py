"""Folders of artifacts that go for good: on a disk and in a bucket, with MLflow's own stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from mlflow_sso.gc.places import Places, Unremovable, own_folder
from moto.server import ThreadedMotoServer

# Servers of moto in one process share their buckets.
NAME = "of-gc"
FILES = ("1/run/artifacts/model/weights.bin", "1/run/artifacts/notes.txt", "1/runs/artifacts/other.txt", "2/x")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "key")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        client.create_bucket(Bucket=NAME)
        yield client
    server.stop()


def _keys(client: Any) -> list[str]:
    return [found["Key"] for found in client.list_objects_v2(Bucket=NAME, Prefix="prefix/").get("Contents", ())]


def test_a_folder_of_a_bucket_goes_and_its_neighbours_stay(bucket: Any) -> None:
    for name in FILES:
        bucket.put_object(Bucket=NAME, Key=f"prefix/{name}", Body=b"12345")
    places = Places(f"s3://{NAME}/prefix")
    assert places.size("mlflow-artifacts:/1/run") == 10
    assert places.folders("mlflow-artifacts:/1") == ["run", "runs"]
    places.remove("mlflow-artifacts:/1/run")
    assert _keys(bucket) == ["prefix/1/runs/artifacts/other.txt", "prefix/2/x"]
    places.remove("mlflow-artifacts:/1/run")
    assert places.size("mlflow-artifacts:/1/run") == 0


def test_objects_that_the_store_refused_to_remove_are_told_of(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    monkeypatch.setattr(S3ArtifactRepository, "delete_artifacts", lambda *_: None)
    bucket.put_object(Bucket=NAME, Key="other/3/run/a", Body=b"1")
    with pytest.raises(Unremovable, match="1 files at mlflow-artifacts:/3/run"):
        Places(f"s3://{NAME}/other").remove("mlflow-artifacts:/3/run")


def test_a_folder_of_a_disk_goes_and_its_neighbours_stay(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("12345")
    places = Places(f"{tmp_path}/")
    assert places.size("mlflow-artifacts:/1/run") == 10
    places.remove("mlflow-artifacts:/1/run")
    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()) == sorted(FILES[2:])
    places.remove("mlflow-artifacts:/1/run")


@pytest.mark.parametrize(
    "address",
    ["mlflow-artifacts:/", "mlflow-artifacts:", "mlflow-artifacts:/1/../2", "mlflow-artifacts:/1/%2e%2e/2",
     "mlflow-artifacts://elsewhere/1", "s3://b/..", "/a/../b"],
)  # fmt: skip
def test_an_address_that_could_mean_more_than_one_folder_is_left_alone(tmp_path: Path, address: str) -> None:
    with pytest.raises(Unremovable):
        Places(str(tmp_path)).remove(address)


def test_the_folder_around_artifacts_goes_where_it_is_named_after_its_owner() -> None:
    assert own_folder("mlflow-artifacts:/1/r1/artifacts", "r1") == "mlflow-artifacts:/1/r1"
    assert own_folder("s3://b/team/artifacts", "r1") == "s3://b/team/artifacts"


@pytest.mark.parametrize(
    "address",
    ["mlflow-artifacts:/6/team", "mlflow-artifacts:///6//team", "/artifacts/6/team", "file:///artifacts/6/team/"],
)
def test_a_folder_is_one_however_its_address_is_spelt(address: str) -> None:
    assert Places("/artifacts").folder(address) == "/artifacts/6/team"


def test_what_is_not_there_is_removed_from_any_bucket(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client of Azure fails for an empty folder."""
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    def fail(*_: object) -> None:
        raise AssertionError("asked to remove what is not there")

    monkeypatch.setattr(S3ArtifactRepository, "delete_artifacts", fail)
    Places(f"s3://{NAME}/none").remove("mlflow-artifacts:/9/run")
