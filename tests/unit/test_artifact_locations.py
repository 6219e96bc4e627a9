"""The places that `mlflow.artifactLocations` names are those that the server allows, and have one meaning."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow_sso.mends import places

from components.mlflow import ARTIFACT_LOCATIONS, SERVER
from components.stack import stack_spec
from problems import StackError
from settings import PROJECT
from tests.samples import settings

KEY = f"{PROJECT}:mlflow.artifactLocations"


def told(**mlflow: Any) -> dict[str, str]:
    return dict(next(w for w in stack_spec(settings({"mlflow": mlflow})).workloads if w.name == SERVER).env)


def test_the_server_allows_what_the_setting_names(monkeypatch: pytest.MonkeyPatch) -> None:
    env = told(artifactLocations=["s3://team-bucket/mlflow/", "gs://other"])
    assert ARTIFACT_LOCATIONS == places.ALLOWED
    monkeypatch.setenv(places.ALLOWED, env[ARTIFACT_LOCATIONS])
    assert places.allowed() == ["s3://team-bucket/mlflow", "gs://other"]
    assert places.is_below("s3://team-bucket/mlflow/7/run/artifacts", places.allowed())
    assert not places.is_below("s3://team-bucket/mlflow2/7", places.allowed())


def test_a_stack_without_them_is_told_nothing() -> None:
    assert ARTIFACT_LOCATIONS not in told()


def test_the_variable_goes_on_working_alone_and_is_refused_beside_the_setting() -> None:
    assert told(env={ARTIFACT_LOCATIONS: "s3://a"})[ARTIFACT_LOCATIONS] == "s3://a"
    with pytest.raises(StackError, match=f"mlflow.env.{ARTIFACT_LOCATIONS}"):
        told(env={ARTIFACT_LOCATIONS: "s3://a"}, artifactLocations=["s3://b"])


@pytest.mark.parametrize(
    "place",
    ["", "/", "team-bucket", "/mnt/x", "s3:/b", "s3:///b", "s3://", "s3://b/../c", "s3://b/./c", "s3://b/%2e%2e/c",
     "s3://b?x", "s3://b#x", "s3://b,s3://c", "s3://b c", "s3://b\\c", "s3://b\n", "S3://b"],
)  # fmt: skip
def test_a_place_of_more_than_one_meaning_is_refused(place: str) -> None:
    with pytest.raises(StackError) as caught:
        settings({"mlflow": {"artifactLocations": ["s3://fine", place]}})
    assert [problem.where for problem in caught.value.problems] == [f"{KEY}[1]"]
