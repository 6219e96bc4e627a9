"""What a cleanup takes, leaves and refuses, without an engine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow_sso_client.files import write_private

from platforms.inventory import Item
from problems import StackError
from stackctl.context import stack_directory
from stackctl.engines import pulumi_cli, remains
from stackctl.engines.compose import ComposeTarget
from stackctl.engines.rendered import OUTPUTS_FILE, REALM_FILE, SECRETS_FILE

CONTAINER = Item("container", "mlflow-sso-x-redis", "redis")
VOLUME = Item("volume", "mlflow-sso-x-postgres-data", "postgres", data=True)
IMAGE = Item("image", "mlflow-sso/redis:1", shared=True, used_by=("mlflow-sso-y-redis",))


@dataclass
class FakeInventory:
    items: list[Item]
    removed: list[str] = field(default_factory=list)

    def find(self, project: str, stack: str, *, images: Collection[str] | None = None) -> list[Item]:
        return [i for i in self.items if i.kind != "image" or images is not None]

    def remove(self, item: Item) -> None:
        self.removed.append(item.name)

    def removal(self, item: Item) -> str:
        return f"remove {item.name}"

    def free_hint(self, user: str) -> str:
        return f"stop {user}"


@pytest.fixture(autouse=True)
def _private_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(pulumi_cli, "find", lambda: None)


def brought_up(stack: str) -> Path:
    directory = stack_directory(stack)
    for name in (OUTPUTS_FILE, SECRETS_FILE, REALM_FILE):
        write_private(directory / name, "{}")
    return directory


def test_everything_goes_and_the_stack_does_not_look_present() -> None:
    directory = brought_up("x")
    inventory = FakeInventory([CONTAINER, VOLUME])
    found = remains.find(inventory, "x", keep_data=False, images=None)
    remains.remove(found, inventory, "x", lambda _: None)
    assert inventory.removed == [CONTAINER.name, VOLUME.name]
    assert not directory.exists()
    assert remains.find(FakeInventory([]), "x", keep_data=False, images=None).gone == ()


def test_kept_data_keep_their_secrets_and_the_stack_does_not_look_present() -> None:
    directory = brought_up("x")
    inventory = FakeInventory([CONTAINER, VOLUME])
    found = remains.find(inventory, "x", keep_data=True, images=None)
    remains.remove(found, inventory, "x", lambda _: None)
    assert inventory.removed == [CONTAINER.name]
    assert (directory / SECRETS_FILE).exists()
    assert not ComposeTarget().owns("x")


def test_a_volume_in_use_elsewhere_is_refused_by_name() -> None:
    held = Item("volume", VOLUME.name, data=True, used_by=("backup-job",))
    inventory = FakeInventory([CONTAINER, held])
    found = remains.find(inventory, "x", keep_data=False, images=None)
    with pytest.raises(StackError, match=r"postgres-data = in use by backup-job: .*stop backup-job"):
        remains.refuse_blocked(found, inventory)
    remains.refuse_blocked(remains.find(inventory, "x", keep_data=True, images=None), inventory)


def test_an_image_of_another_stack_stays_and_stops_nothing() -> None:
    inventory = FakeInventory([CONTAINER, IMAGE])
    found = remains.find(inventory, "x", keep_data=False, images=())
    assert found.gone == (CONTAINER,)
    assert found.kept == (IMAGE,)
    remains.refuse_blocked(found, inventory)


def test_a_pulumi_state_goes_with_the_data_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(pulumi_cli, "find", lambda: "pulumi")
    monkeypatch.setattr(pulumi_cli, "exists", lambda stack: stack not in forgotten)
    monkeypatch.setattr(pulumi_cli, "forget", forgotten.append)
    kept = remains.find(FakeInventory([]), "x", keep_data=True, images=None)
    assert [item.kind for item in kept.kept] == [remains.PULUMI_STATE]
    found = remains.find(FakeInventory([]), "x", keep_data=False, images=None)
    remains.remove(found, FakeInventory([]), "x", lambda _: None)
    assert forgotten == ["x"]


def test_a_backend_that_cannot_be_asked_does_not_stop_a_cleanup(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(stack: str) -> bool:
        raise pulumi_cli.PulumiError("error: log in first")

    monkeypatch.setattr(pulumi_cli, "find", lambda: "pulumi")
    monkeypatch.setattr(pulumi_cli, "exists", refuses)
    assert remains.find(FakeInventory([CONTAINER]), "x", keep_data=False, images=None).gone == (CONTAINER,)


def test_data_that_no_label_protects_are_protected_by_settings() -> None:
    brought_up("x")
    found = remains.find(FakeInventory([CONTAINER, VOLUME]), "x", keep_data=False, images=None, protected=True)
    assert found.gone == (CONTAINER,)
    assert [item.name for item in found.kept if item.protected] == [VOLUME.name]
    assert {remains.STATE_DIRECTORY} == {item.kind for item in found.kept if not item.protected}, "its secrets stay"
    left = remains.find(FakeInventory([]), "x", keep_data=False, images=None, protected=True)
    assert [item.kind for item in left.gone] == [remains.STATE_DIRECTORY], "and go when the data have gone"
