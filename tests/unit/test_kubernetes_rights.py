"""An account that may not list every kind: what the stack cannot have of these is nothing to be refused for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from platforms.inventory import InventoryError
from platforms.kubernetes.inventory import KubernetesInventory
from platforms.kubernetes.kinds import KINDS
from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from platforms.kubernetes.look.running import KubernetesRunning
from platforms.kubernetes.remove import Place, prune, remove
from platforms.labels import stack_labels
from tests.contract.kubernetes_samples import STACK, plan, settings
from tests.unit.fake_cluster import Cluster, fixed_clock, stack

PROJECT = "mlflow-sso"
WHERE = "mlflow-sso-test"
SERVER = "https://cluster.example:6443"
LINE = "This user may not list cronjobs.batch, jobs.batch: what stack test has of these is not seen, and stays."
Account = Callable[..., Cluster]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    """A cluster with a stack on it, seen by one who may not list these kinds."""

    def made(*hidden: str) -> Cluster:
        cluster = Cluster(monkeypatch, *stack({}))
        refused = {KINDS[name].resource for name in hidden}

        def find(_: Kubectl, *args: str, **__: Any) -> Any:
            words = refused & set(args[1].split(","))
            if words:
                told = (f'Error from server (Forbidden): {w} is forbidden: User "x" cannot list' for w in sorted(words))
                raise KubernetesError("\n".join(told))
            return {"items": cluster.find(*args)}

        def denied(_: Kubectl, wanted: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
            return [one for one in wanted if f"{one[2]}.{one[1]}".rstrip(".") in refused]

        def run(_: Kubectl, *args: str, **__: Any) -> str:
            if args[0] == "delete":
                named = {word.partition("/")[2] or word for word in args[1:] if not word.startswith("-")}
                cluster.objects = [item for item in cluster.objects if item["metadata"]["name"] not in named]
                return ""
            return cluster.run(*args)

        monkeypatch.setattr(Kubectl, "json", find)
        monkeypatch.setattr(Kubectl, "denied", denied)
        monkeypatch.setattr(Kubectl, "run", run)
        monkeypatch.setattr(Kubectl, "server", lambda _: SERVER)
        return cluster

    return made


def test_a_destroy_removes_what_it_sees_and_says_once_what_it_does_not(account: Account) -> None:
    cluster = account("CronJob", "Job")
    told: list[str] = []
    remove(Place(None, SERVER, WHERE, created=False), PROJECT, STACK, told.append, sleep=lambda _: None)
    labels = stack_labels(PROJECT, STACK).items()
    left = [item["kind"] for item in cluster.objects if labels <= item["metadata"].get("labels", {}).items()]
    assert set(left) <= {"Namespace", "Pod"}
    assert told.count(LINE) == 1


def test_a_namespace_that_goes_whole_takes_along_what_is_not_seen(account: Account) -> None:
    account("CronJob", "Job")
    told: list[str] = []
    remove(Place(None, SERVER, WHERE, created=True), PROJECT, STACK, told.append, sleep=lambda _: None)
    assert LINE not in told


def test_an_up_prunes_what_it_sees_and_says_what_it_does_not(account: Account) -> None:
    cluster = account("CronJob", "Job")
    stale = [item for item in cluster.objects if item["kind"] == "NetworkPolicy"]
    kept = {(item["kind"], item["metadata"]["name"]) for item in cluster.objects if item not in stale}
    told: list[str] = []
    removed = prune(Kubectl(), WHERE, PROJECT, STACK, kept, told.append)
    assert sorted(removed) == sorted(f"networkpolicies.networking.k8s.io/{m['metadata']['name']}" for m in stale) != []
    assert told == [LINE]


def test_a_cleanup_lists_what_it_sees_and_says_what_it_does_not(account: Account) -> None:
    cluster = account("CronJob", "Job")
    told: list[str] = []
    found = KubernetesInventory(told=told.append).find(PROJECT, STACK)
    labelled = {
        (m["kind"], m["metadata"]["name"])
        for m in cluster.objects
        if stack_labels(PROJECT, STACK).items() <= m["metadata"].get("labels", {}).items()
        and "ownerReferences" not in m["metadata"]
    }
    expected = {(kind, name) for kind, name in labelled if kind not in ("CronJob", "Job")}
    assert {(item.kind, item.name.rpartition("/")[2]) for item in found} == expected
    assert told == [LINE]


def test_a_destroy_looks_for_protected_data_in_the_stacks_own_namespace_alone(account: Account) -> None:
    cluster = account("Namespace")
    assert KubernetesInventory(namespace=WHERE).find(PROJECT, STACK)
    asked = [words for words in cluster.asked if words[0] == "get"]
    assert asked
    assert all("-A" not in words and "-n" in words for words in asked)


@pytest.mark.parametrize("hidden", [("PersistentVolumeClaim",), tuple(KINDS)])
def test_one_who_cannot_see_the_data_is_refused(account: Account, hidden: tuple[str, ...]) -> None:
    """Secrets would be thrown away whose data is still there."""
    account(*hidden)
    with pytest.raises(InventoryError, match="forbidden"):
        KubernetesInventory().find(PROJECT, STACK)
    with pytest.raises(KubernetesError, match="forbidden"):
        remove(Place(None, SERVER, WHERE, created=False), PROJECT, STACK, lambda _: None)


def test_another_refusal_is_told_as_it_is(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account("CronJob")
    monkeypatch.setattr(Kubectl, "denied", lambda *_: [])
    with pytest.raises(InventoryError, match=r"cronjobs\.batch is forbidden"):
        KubernetesInventory().find(PROJECT, STACK)


def test_a_doctor_is_content_with_the_kinds_that_the_stack_has(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed_clock(monkeypatch)
    running = KubernetesRunning(settings({}).kubernetes)
    services = tuple(w for w in plan({}).workloads if plan({}).keeper(w).name != "CronJob")
    account("CronJob", "Job")
    assert {i.component for i in running.instances(PROJECT, STACK)} == {w.name for w in services}
    assert running.troubles(PROJECT, STACK, services) == []
    account("NetworkPolicy")
    with pytest.raises(InventoryError, match="may not list networkpolicies"):
        running.troubles(PROJECT, STACK, services)
    account("Pod")
    with pytest.raises(InventoryError, match="pods is forbidden"):
        running.instances(PROJECT, STACK)
