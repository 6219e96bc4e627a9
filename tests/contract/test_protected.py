"""What the engine does not remove outside development, and that it stops before it has removed anything."""

from __future__ import annotations

from typing import Any

import pytest

from settings import Environment, Settings
from tests.contract.engine import Run, fresh_run, run
from tests.contract.kubernetes_samples import rendered
from tests.samples import settings

KIND = "mlflow-sso:index:Protection"
DATA = ("docker:index/volume:Volume", "kubernetes:core/v1:PersistentVolumeClaim")
LOGINS = {part: {"database": part, "username": part, "password": "p"} for part in ("keycloak", "mlflow", "oidc")}
URLS: dict[str, Any] = {
    "mlflow": {"url": "https://mlflow.example.com", "tls": {"proxy": True}},
    "keycloak": {"url": "https://login.example.com", "tls": {"proxy": True}},
}
OUTSIDE: dict[str, Any] = {"postgres": {"external": {"host": "db.example.com", **LOGINS}}}


def protection(done: Run) -> str:
    (urn,) = [urn for urn, resource in done.resources.items() if resource.type == KIND]
    return urn


def test_every_resource_outlives_the_one_that_the_engine_removes_first(sample: Settings) -> None:
    """It removes what depends on something before that, children before their parents, and providers after both."""
    done = run(sample)
    first = protection(done)
    reached, waiting = {first}, [first]
    while waiting:
        resource = done.resources[waiting.pop()]
        beyond = {*resource.depends, resource.parent, resource.provider.rpartition("::")[0]} & set(done.resources)
        waiting += beyond - reached
        reached |= beyond
    assert set(done.resources) - reached == set(), "the engine may remove these beside it"


def test_data_are_protected_outside_development_alone(sample: Settings) -> None:
    done = run(sample)
    protects = sample.environment is not Environment.DEV
    assert done.resources[protection(done)].protect is protects
    # A volume that carries files is made anew with each change of them.
    data = [resource for kind in DATA for resource in done.of_type(kind).values() if resource.ignored]
    assert {bool(resource.protect) for resource in data} <= {protects}
    protected = {urn for urn, resource in done.resources.items() if resource.protect}
    heirs = [urn for urn, resource in done.resources.items() if resource.parent in protected]
    assert not heirs, "the engine would hold to what nobody protects"


def test_a_stack_that_becomes_one_for_development_keeps_its_resources() -> None:
    """The engine would refuse to part with what was protected."""
    before, after = (fresh_run(settings({**URLS, "environment": one})) for one in ("prod", "dev"))
    protected = {urn for urn, resource in before.resources.items() if resource.protect}
    assert len(protected) > 1
    assert protected <= set(after.resources)
    assert not [urn for urn, resource in after.resources.items() if resource.protect]


@pytest.mark.parametrize("more", [OUTSIDE, {}])
def test_a_realm_whose_data_stay_is_protected_by_itself(more: dict[str, Any]) -> None:
    (realm,) = (
        fresh_run(settings({**URLS, **more, "environment": "prod"})).of_type("keycloak:index/realm:Realm").values()
    )
    assert bool(realm.protect) is bool(more), "elsewhere it goes with the data"


def test_a_database_cluster_is_marked_as_its_claims_would_be() -> None:
    objects = list(rendered({**URLS, "environment": "prod", "kubernetes": {"cloudNativePg": {}}}).objects)
    (cluster,) = (one for one in objects if one["kind"] == "Cluster")
    claims = [one for one in objects if one["kind"] == "PersistentVolumeClaim"]
    assert claims
    assert all(one["metadata"]["labels"]["mlflow-sso.protected"] == "true" for one in (cluster, *claims))
