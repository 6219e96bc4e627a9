"""Settings that would part a stack from its data are refused, whatever kind of data they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from components.homes import moves
from components.stack import stack_spec
from platforms.docker import daemon
from platforms.docker.plan import DockerPlan
from platforms.docker.stores import DockerStores
from platforms.inventory import InventoryError
from platforms.kubernetes.kubectl import Kubectl
from platforms.kubernetes.objects.every import every_object
from platforms.kubernetes.plan import KubernetesPlan
from platforms.kubernetes.stores import KubernetesStores
from platforms.places import Held, OnVolume, Stores
from settings import PROJECT, Platform, Settings
from tests.samples import settings

SERVER: dict[str, Any] = {
    "host": "db.example.com",
    **{part: {"database": part[0], "username": part, "password": "p"} for part in ("keycloak", "mlflow", "oidc")},
}
S3: dict[str, Any] = {"bucket": "b", "accessKeyId": "a", "secretAccessKey": "s"}
THERE = {"adminClientId": "a", "adminClientSecret": "b"}
ON_DOCKER: dict[str, Any] = {}
ON_CLUSTER = {"platform": "kubernetes"}
ARTIFACTS, DATABASE = "volume mlflow-sso-test-mlflow-artifacts", "volume mlflow-sso-test-postgres-data"


def stores(given: Settings) -> Stores:
    workloads = stack_spec(given).workloads
    if given.platform is Platform.DOCKER:
        return DockerStores(DockerPlan(PROJECT, "test", workloads))
    return KubernetesStores(KubernetesPlan(PROJECT, "test", workloads, given.kubernetes))


def held(before: Settings, now: Settings) -> Sequence[Held]:
    """The volumes that settings of before have left."""
    used = {(w.name, volume.name) for w in stack_spec(now).workloads for volume in w.volumes}
    target = stores(before)
    return [
        Held(target.named(OnVolume(w.name, v.name)), OnVolume(w.name, v.name), (w.name, v.name) in used)
        for w in stack_spec(before).workloads
        for v in w.volumes
    ]


def refused(before: Mapping[str, Any], now: Mapping[str, Any], *, known: bool = True) -> list[str]:
    old, new = settings(dict(before)), settings(dict(now))
    lines = moves(old).lines(stores(old)) if known else {}
    return [str(problem) for problem in moves(new).problems(lines, stores(new), held(old, new))]


CHANGES: Mapping[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a bucket in place of the volume": ({}, {"mlflow": {"s3": S3}}, "mlflow.s3"),
    "the volume in place of a bucket": ({"mlflow": {"s3": S3}}, {}, "mlflow"),
    "another bucket": ({"mlflow": {"s3": S3}}, {"mlflow": {"s3": {**S3, "bucket": "c"}}}, "mlflow.s3"),
    "another folder": ({"mlflow": {"s3": S3}}, {"mlflow": {"s3": {**S3, "prefix": "x"}}}, "mlflow.s3"),
    "another server of buckets": (
        {"mlflow": {"s3": S3}},
        {"mlflow": {"s3": {**S3, "endpointUrl": "https://s3.example.com"}}},
        "mlflow.s3",
    ),
    "another cloud": ({"mlflow": {"s3": S3}}, {"mlflow": {"gcs": {"bucket": "b"}}}, "mlflow.gcs"),
    "a database outside": ({}, {"postgres": {"external": SERVER}}, "postgres"),
    "a database of its own": ({"postgres": {"external": SERVER}}, {}, "postgres"),
    "another server": (
        {"postgres": {"external": SERVER}},
        {"postgres": {"external": {**SERVER, "host": "other.example.com"}}},
        "postgres",
    ),
    "another database": (
        {"postgres": {"external": SERVER}},
        {"postgres": {"external": {**SERVER, "mlflow": {"database": "n", "username": "mlflow", "password": "p"}}}},
        "postgres",
    ),
    "a server for Keycloak": ({}, {"postgres": {"separateKeycloak": True}}, "postgres"),
    "one server for both": ({"postgres": {"separateKeycloak": True}}, {}, "postgres"),
    "another Keycloak": ({}, {"keycloak": {"existing": THERE, "url": "https://sso.example.com"}}, "keycloak.existing"),
    "another realm": ({}, {"realm": {"name": "ml"}}, "realm.name"),
    "another platform": ({"platform": "docker"}, {"platform": "kubernetes"}, "platform"),
    "another namespace": (
        {"platform": "kubernetes"},
        {"platform": "kubernetes", "kubernetes": {"namespace": "b"}},
        "kubernetes.namespace",
    ),
    "a namespace of somebody else": (
        {"platform": "kubernetes", "kubernetes": {"namespace": "b"}},
        {"platform": "kubernetes", "kubernetes": {"namespace": "b", "createNamespace": False}},
        "kubernetes.createNamespace",
    ),
    "a realm that others manage": (
        {"keycloak": {"existing": THERE, "url": "https://sso.example.com"}},
        {"keycloak": {"existing": {**THERE, "createRealm": False}, "url": "https://sso.example.com"}},
        "realm.name",
    ),
    "a Keycloak of its own": (
        {"keycloak": {"existing": THERE, "url": "https://sso.example.com"}},
        {},
        "keycloak.existing",
    ),
    "an older Postgres": ({}, {"postgres": {"version": "15"}}, "postgres.version"),
    "a newer Postgres": ({"postgres": {"version": "15"}}, {"postgres": {"version": "17"}}, "postgres.version"),
    "a cache in memory": ({"redis": {"persistent": True}}, {}, "redis"),
}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KubernetesStores, "cluster", "")


@pytest.mark.parametrize("target", [ON_DOCKER, ON_CLUSTER], ids=["docker", "kubernetes"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_leaves_data_is_refused_by_its_setting(change: str, target: Mapping[str, Any]) -> None:
    before, now, key = CHANGES[change]
    said = refused({**target, **before}, {**target, **now})
    assert [line.partition(" = ")[0].partition(": expected")[0] for line in said] == [f"{PROJECT}:{key}"], said
    assert "docs/guides/moving.md" in said[0]


@pytest.mark.parametrize("change", ["a bucket in place of the volume", "a database outside", "a cache in memory"])
def test_a_volume_without_a_user_is_refused_where_nobody_knows_what_was_before(change: str) -> None:
    before, now, _ = CHANGES[change]
    (said,) = refused(before, now, known=False)
    assert said.startswith("volume mlflow-sso-test-")


@pytest.mark.parametrize(
    ("change", "given_up"),
    [
        ("a bucket in place of the volume", [ARTIFACTS]),
        ("another bucket", ["s3://b"]),
        ("a database outside", [DATABASE]),
        ("a database outside", [DATABASE.replace("volume", " volume") + "  "]),
        ("a database of its own", [f"postgres://db.example.com:5432/{name}" for name in "kmo"]),
        ("a server for Keycloak", [f"database keycloak in {DATABASE}"]),
    ],
)
def test_what_is_named_as_moved_is_let_go(change: str, given_up: list[str]) -> None:
    before, now, _ = CHANGES[change]
    if not given_up[0].startswith("database"):
        assert all(place.strip() in refused(before, now)[0] for place in given_up), "the message says what to name"
    assert refused(before, {**now, "movedFrom": given_up}) == []


def test_a_part_of_a_place_that_is_still_used_is_named_by_itself() -> None:
    (said,) = refused({}, {"postgres": {"separateKeycloak": True}})
    assert f"the stack has data in database keycloak in {DATABASE}" in said


@pytest.mark.parametrize(
    "change", ["another realm", "an older Postgres", "another platform", "another namespace", "another Keycloak"]
)
def test_what_no_engine_moves_nobody_can_say_was_moved(change: str) -> None:
    before, now, _ = CHANGES[change]
    given_up = list(moves(settings()).lines(stores(settings())).values())
    assert refused(before, {**now, "movedFrom": given_up})


@pytest.mark.parametrize("line", [ARTIFACTS, DATABASE, f"database mlflow in {DATABASE}"])
def test_a_place_in_use_is_not_given_up_for_later(line: str) -> None:
    """It would be given up without a word once the settings leave it."""
    (said,) = refused({}, {"movedFrom": [line]})
    assert said == f"{PROJECT}:movedFrom = {line}: expected a place of before: the stack uses this one now"


def test_another_cluster_is_known_by_more_than_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings({"platform": "kubernetes", "kubernetes": {"context": "renamed"}})
    before = {**moves(given).lines(stores(given)), "cluster": "the cluster with uid 1"}
    monkeypatch.setattr(KubernetesStores, "cluster", "the cluster with uid 1")
    assert moves(given).problems(before, stores(given), []) == []
    monkeypatch.setattr(KubernetesStores, "cluster", "")
    assert moves(given).problems(before, stores(given), []) == [], "this user may not see it"
    monkeypatch.setattr(KubernetesStores, "cluster", "the cluster with uid 2")
    (said,) = moves(given).problems(before, stores(given), [])
    assert str(said).startswith(
        f"{PROJECT}:kubernetes.context = the cluster with uid 2: expected the cluster with uid 1"
    )


def test_settings_that_move_nothing_are_taken() -> None:
    more = {"mlflow": {"workers": 2}, "postgres": {"memoryMib": 700}, "redis": {"persistent": True}}
    assert refused({}, more) == []
    assert refused({}, {}, known=False) == []


@pytest.mark.parametrize(
    "more", [{}, {"postgres": {"separateKeycloak": True}, "redis": {"persistent": True}, "mlflow": {"jobs": {}}}]
)
def test_every_volume_of_a_stack_is_the_home_of_something(more: dict[str, Any]) -> None:
    given = settings(more)
    homes = {home.at for home in moves(given).homes.values() if isinstance(home.at, OnVolume)}
    assert homes == {OnVolume(w.name, volume.name) for w in stack_spec(given).workloads for volume in w.volumes}


# What targets hold.


def volumes(monkeypatch: pytest.MonkeyPatch, *rows: str) -> Sequence[Held]:
    monkeypatch.setattr(daemon, "docker", lambda *_, **__: "".join(f"{row}\n" for row in rows))
    return stores(settings()).held()


def test_on_docker_data_are_the_volumes_that_bring_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    found = volumes(
        monkeypatch,
        "mlflow-sso-test-mlflow-artifacts\tmlflow",
        "mlflow-sso-test-postgres-keycloak-data\tpostgres-keycloak",
        "mlflow-sso-test-mlflow-etc-stack-ca-0a1b2c3d\tmlflow",
        f"{'0' * 64}\tmlflow",
        "somebody-elses\t",
    )
    assert [(one.place, one.on, one.used) for one in found] == [
        (ARTIFACTS, OnVolume("mlflow", "artifacts"), True),
        ("volume mlflow-sso-test-postgres-keycloak-data", OnVolume("postgres-keycloak", "data"), False),
    ]


def test_an_engine_that_does_not_tell_is_no_engine_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: str, **__: Any) -> str:
        raise daemon.DockerError("no answer")

    monkeypatch.setattr(daemon, "docker", fails)
    with pytest.raises(InventoryError, match="no answer"):
        stores(settings()).held()


CLAIMS: dict[str, Any] = {"platform": "kubernetes", "kubernetes": {"namespace": "ml", "storage": {"className": "fast"}}}


def cluster(monkeypatch: pytest.MonkeyPatch, made: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is refused of settings where others have made the claims."""
    old = settings(dict(made))
    plan = KubernetesPlan(PROJECT, "test", stack_spec(old).workloads, old.kubernetes)
    claims = [one for one in every_object(plan) if one["kind"] in ("PersistentVolumeClaim", "Cluster")]
    monkeypatch.setattr(Kubectl, "json", lambda *_, **__: {"items": claims})
    monkeypatch.setattr(Kubectl, "groups", lambda _: {"postgresql.cnpg.io"})
    new = settings(dict(now))
    return [str(one) for one in moves(new).problems({}, stores(new), stores(new).held())]


def test_claims_are_found_by_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster(monkeypatch, CLAIMS, CLAIMS) == []
    (said,) = cluster(monkeypatch, CLAIMS, {**CLAIMS, "mlflow": {"s3": S3}})
    assert said.startswith("claim ml/mlflow-artifacts: expected settings that use it")


def test_a_claim_that_the_settings_name_themselves_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = {"className": "fast", "claims": {"mlflow-artifacts": "mlflow-artifacts"}}
    taken = {**CLAIMS, "kubernetes": {**CLAIMS["kubernetes"], "storage": storage}}
    assert cluster(monkeypatch, CLAIMS, taken) == []


def test_a_claim_keeps_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**CLAIMS, "kubernetes": {"namespace": "ml", "storage": {"className": "slow"}}}
    said = cluster(monkeypatch, CLAIMS, other)
    assert [line.partition(":")[0] for line in said] == [PROJECT, PROJECT]
    assert "kubernetes.storage.className of claim ml/mlflow-artifacts = slow: expected fast, as it is" in said[1]


def test_an_operators_database_is_data_too(monkeypatch: pytest.MonkeyPatch) -> None:
    operated = {**CLAIMS, "kubernetes": {**CLAIMS["kubernetes"], "cloudNativePg": {}}}
    assert [s.partition(":")[0] for s in cluster(monkeypatch, operated, CLAIMS)] == ["Cluster ml/postgres"]
    assert [s.partition(":")[0] for s in cluster(monkeypatch, CLAIMS, operated)] == ["claim ml/postgres-data"]
