"""Which lists the mends of the MLflow image let somebody ask for, without MLflow."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from mlflow_sso.mends.lists import _search


@pytest.mark.parametrize(("named", "served"), [([], True), (["mine"], True), (["mine", "theirs"], False)])
def test_datasets_are_searched_in_no_experiment_by_name_or_in_readable_ones(
    named: list[str], served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mlflow_oidc_auth.validators._experiment_scope"
    for module in ("mlflow_oidc_auth", "mlflow_oidc_auth.validators"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(values_mlflow_also_reads=lambda _: named))

    def of_all(_: str) -> bool:
        return bool(named) and named == ["mine"]

    assert _search(of_all)("bob") is served
