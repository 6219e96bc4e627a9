"""Data that the settings have given up stay where they are, under the engine that removes what nobody names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from platforms.kubernetes.plan import Manifest
from problems import StackError
from settings import Settings
from tests.contract.engine import Run, fresh_run
from tests.fakes import FakeDocker
from tests.samples import settings

S3: dict[str, Any] = {"mlflow": {"s3": {"bucket": "b", "accessKeyId": "a", "secretAccessKey": "s"}}}
LOGINS = {part: {"database": part, "username": part, "password": "p"} for part in ("keycloak", "mlflow", "oidc")}
OUTSIDE: dict[str, Any] = {"postgres": {"external": {"host": "db.example.com", **LOGINS}}}
LEFT: Mapping[str, tuple[dict[str, Any], str]] = {
    "mlflow": (S3, "mlflow-artifacts"),
    "postgres": (OUTSIDE, "postgres-data"),
}


def up(given: Settings, data: Mapping[str, str] | None = None, *, preview: bool = False) -> Run:
    return fresh_run(given, data=data, preview=preview)


def place(name: str) -> str:
    return f"volume mlflow-sso-test-{name}"


@pytest.mark.parametrize("component", LEFT)
@pytest.mark.usefixtures("forgotten")
def test_a_change_is_refused_before_anything_is_registered(component: str, docker: FakeDocker) -> None:
    more, name = LEFT[component]
    docker.answer("volume", f"mlflow-sso-test-{name}\t{component}\n")
    with pytest.raises(StackError, match=f"{place(name)}: expected settings that use it") as caught:
        up(settings(more))
    assert "nothing was created or changed" in caught.value.headline


@pytest.mark.usefixtures("forgotten")
def test_what_the_last_update_put_out_is_believed() -> None:
    data = up(settings()).outputs["data"]
    assert data["artifacts"] == place("mlflow-artifacts")
    with pytest.raises(StackError, match=r"mlflow-sso:mlflow\.s3 = s3://b: expected what it was"):
        up(settings(S3), data=data)
    assert up(settings({**S3, "movedFrom": [data["artifacts"]]}), data=data).outputs["data"]["artifacts"] == "s3://b"


@pytest.mark.parametrize("component", LEFT)
def test_a_volume_that_was_given_up_stays_the_engines(component: str, docker: FakeDocker) -> None:
    more, name = LEFT[component]
    kind = "docker:index/volume:Volume"
    before = up(settings())
    docker.answer("volume", f"mlflow-sso-test-{name}\t{component}\n")
    after = up(settings({**more, "movedFrom": [place(name)]}))
    old, new = before.of_type(kind)[name], after.of_type(kind)[name]
    assert new.inputs == old.inputs
    assert (new.parent, new.ignored) == (old.parent, old.ignored), "another parent is another volume to the engine"
    assert [urn for urn in before.resources if urn.endswith(f"::{name}")] == [
        urn for urn in after.resources if urn.endswith(f"::{name}")
    ]
    container = after.of_type("docker:index/container:Container").get(component)
    assert container is None or name not in str(container.inputs.get("volumes"))


def test_a_volume_that_was_given_up_and_is_gone_is_not_made_again(docker: FakeDocker) -> None:
    docker.answer("volume", "")
    done = up(settings({**S3, "movedFrom": [place("mlflow-artifacts")]}))
    assert "mlflow-artifacts" not in done.of_type("docker:index/volume:Volume")


@pytest.mark.parametrize("component", LEFT)
@pytest.mark.usefixtures("forgotten")
def test_a_claim_that_was_given_up_stays_the_engines(
    component: str, claims: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    more, name = LEFT[component]
    on_cluster: dict[str, Any] = {"platform": "kubernetes", "kubernetes": {"namespace": "ml"}}
    kind = "kubernetes:core/v1:PersistentVolumeClaim"
    monkeypatch.setattr("platforms.kubernetes.site.check_cluster", lambda *_: [])
    before = up(settings(on_cluster), preview=True)
    old = before.of_type(kind)[f"{name}-persistentvolumeclaim"]
    claims.append({"kind": "PersistentVolumeClaim", **old.inputs})
    with pytest.raises(StackError, match=f"claim ml/{name}: expected settings that use it"):
        up(settings({**on_cluster, **more}), preview=True)
    after = up(settings({**on_cluster, **more, "movedFrom": [f"claim ml/{name}"]}), preview=True)
    new = after.of_type(kind)[f"{name}-persistentvolumeclaim"]
    assert (new.parent, new.deleted_with) == (old.parent, old.deleted_with)
    assert new.inputs["metadata"] == old.inputs["metadata"]
    assert set(new.ignored) == {"spec", "metadata"}, "the engine goes on with what it knows"
