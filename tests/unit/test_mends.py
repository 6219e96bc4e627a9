"""What the mends of the MLflow image decide by themselves, without MLflow."""

from __future__ import annotations

import base64
import json

import pytest
from mlflow_sso.mends import places
from mlflow_sso.mends.tokens import Foreign, Seal

TRACE = "tr-0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("text", ["..", ".", "", "a/b", "a%2fb", "a b", "x" * 51, "tr\n", "tr\x00", "ü", None, 7])
def test_what_could_lead_out_of_a_folder_is_no_id_of_a_trace(text: object) -> None:
    assert not places.is_trace_id(text)


def test_ids_that_mlflow_makes_are_ids_of_traces() -> None:
    assert places.is_trace_id(TRACE)
    assert places.is_trace_id("0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    "address",
    [
        *("s3://bucket/team", "s3://bucket/team/1/run/artifacts"),
        *("mlflow-artifacts:/shared/x",),
    ],
)
def test_an_address_is_below_an_allowed_place(address: str) -> None:
    assert places.is_below(address, ["s3://bucket/team/", "mlflow-artifacts:/shared"])


@pytest.mark.parametrize(
    "address",
    [
        *("s3://bucket/teams", "s3://bucket", "s3://bucket/team/../other", "s3://bucket/team/%2e%2e/other"),
        *("s3://bucket/team/x?y", "s3://bucket/team\\x", " s3://bucket/team/x", "S3://bucket/team/x", ""),
    ],
)
def test_an_address_beside_an_allowed_place_is_not_below_it(address: str) -> None:
    assert not places.is_below(address, ["s3://bucket/team"])


def test_no_place_is_allowed_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.ALLOWED, raising=False)
    assert places.allowed() == []
    monkeypatch.setenv(places.ALLOWED, " s3://a/b , ,/,gs://c")
    assert places.allowed() == ["s3://a/b", "gs://c"]


def test_a_trace_lies_below_its_experiment() -> None:
    expected = f"mlflow-artifacts:/7/traces/{TRACE}/artifacts"
    assert places.trace_place("mlflow-artifacts:/7", TRACE) == expected
    assert places.trace_place("mlflow-artifacts:/7/", TRACE) == expected
    with pytest.raises(ValueError, match="no id"):
        places.trace_place("mlflow-artifacts:/7", "../8")


def test_an_archive_is_that_of_the_trace_alone() -> None:
    assert places.is_archive_of(f"s3://b/old/7/traces/{TRACE}/artifacts", "s3://b/old", TRACE)
    assert places.is_archive_of(f"s3://b/old/workspaces/w/7/traces/{TRACE}/artifacts", "s3://b/old/", TRACE)
    for address in (
        *(f"s3://b/other/7/traces/{TRACE}/artifacts", "s3://b/old/7/traces/tr-other/artifacts", ""),
        *(f"s3://b/old/x/../7/traces/{TRACE}/artifacts", f"s3://b/old/7/traces/{TRACE}/artifacts/more"),
    ):
        assert not places.is_archive_of(address, "s3://b/old", TRACE), address
    assert not places.is_archive_of("anything", "", TRACE)


def _token(offset: int, **more: object) -> str:
    return base64.b64encode(json.dumps({"offset": offset, **more}).encode()).decode()


def test_a_sealed_token_comes_back_as_it_was() -> None:
    seal = Seal("secret")
    for token in (_token(5), _token(5, filter="x " * 50), "not base64 !", "ü{12}"):
        assert seal.open(seal.close(token, "bob", "SearchRuns"), "bob", "SearchRuns") == token


def test_a_sealed_token_says_nothing_of_its_number() -> None:
    seal = Seal("secret")
    for length in range(40):
        more = {"filter": "f" * length, "order": "9" * length}
        lengths = {len(seal.close(_token(10**n, **more), "bob", "s")) for n in range(12)}
        assert len(lengths) == 1, length


def test_a_token_of_somebody_else_or_another_search_or_server_is_refused() -> None:
    seal, token = Seal("secret"), _token(5)
    sealed = seal.close(token, "bob", "SearchRuns")
    for other, caller, search in (
        (seal, "carol", "SearchRuns"),
        (seal, "bob", "Other"),
        (Seal("x"), "bob", "SearchRuns"),
    ):
        with pytest.raises(Foreign):
            other.open(sealed, caller, search)
    for forged in (token, "", "ü", sealed[:-4], sealed[:20] + sealed[24:], "gAAAA"):
        with pytest.raises(Foreign):
            seal.open(forged, "bob", "SearchRuns")
