"""What `destroy` says at its end: what the target still holds decides, and not what this machine remembers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from platforms.docker.inventory import DockerInventory
from platforms.inventory import InventoryError, Item
from platforms.kubernetes.inventory import KubernetesInventory
from settings import PROJECT, Platform
from stackctl.cli import app
from stackctl.engines import pulumi_cli
from stackctl.engines.compose import ComposeTarget
from stackctl.engines.kubectl import KubectlTarget
from tests.fakes import FakeCommand, FakeDocker
from tests.unit.fakes import kept_login

INVENTORIES = {Platform.DOCKER: DockerInventory, Platform.KUBERNETES: KubernetesInventory}
LEFT = [Item("container", "mlflow-sso-x-redis", "redis"), Item("volume", "mlflow-sso-x-data", data=True)]
PLACE = {"context": None, "server": "https://cluster.example.com", "namespace": "x", "created": True}
MADE_BY = ("nothing known", "rendered files", "pulumi")


@pytest.fixture(autouse=True)
def _own_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeDocker(tmp_path / "docker", monkeypatch).engine()
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(pulumi_cli, "find", lambda: None)


def destroy(
    made_by: str, platform: Platform, items: list[Item] | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Result:
    """items: what the target says that it holds afterwards; None: it gives no answer."""

    asked: list[str] = []

    def find(*_: object, **__: object) -> list[Item]:
        asked.append("what there is")
        if made_by != "nothing known" and len(asked) == 1:
            return []
        if items is None:
            raise InventoryError("the target does not answer")
        return items

    config = home / "Pulumi.x.yaml"
    config.write_text(f"config:\n  {PROJECT}:platform: {platform}\n")
    if made_by == "rendered files":
        folder = home / PROJECT / "x" / ("kubernetes" if platform is Platform.KUBERNETES else "")
        folder.mkdir(parents=True)
        (folder / ("place.json" if platform is Platform.KUBERNETES else "outputs.json")).write_text(json.dumps(PLACE))
        for target in (ComposeTarget, KubectlTarget):
            monkeypatch.setattr(target, "destroy", lambda *_: (folder / "outputs.json").unlink(missing_ok=True))
    elif made_by == "pulumi":
        pulumi = FakeCommand("pulumi", home / "pulumi", skip=len(("-C", "<folder>")))
        pulumi.answer("stack", '[{"name": "x"}]')
        monkeypatch.setattr(pulumi_cli, "find", lambda: str(pulumi.path))
        monkeypatch.setattr(pulumi_cli, "destroy", lambda *_, **__: pulumi.answer("stack", "[]"))
        monkeypatch.setattr(pulumi_cli, "outputs", lambda *_: {})
        monkeypatch.setattr(KubectlTarget, "open_routes", lambda *_: None)
    monkeypatch.setattr("stackctl.engines.remains.stack_directory", lambda _: home / "none")
    monkeypatch.setattr(INVENTORIES[platform], "find", find)
    return CliRunner().invoke(app, ["destroy", "--stack", "x", "--config-file", str(config)])


@pytest.mark.parametrize("platform", list(Platform))
@pytest.mark.parametrize("made_by", MADE_BY)
def test_a_stack_of_which_something_is_left_is_never_called_gone(
    made_by: str, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = destroy(made_by, platform, LEFT, tmp_path, monkeypatch)
    assert done.exit_code == 1, done.output
    assert "is gone" not in done.stderr
    assert "nothing to remove" not in done.stderr
    for item in LEFT:
        assert f"{item.kind} {item.name}" in done.stderr
    assert "`stackctl cleanup --stack x" in done.stderr


@pytest.mark.parametrize("platform", list(Platform))
@pytest.mark.parametrize("made_by", MADE_BY)
def test_a_stack_of_which_nothing_is_left_is_gone(
    made_by: str, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = destroy(made_by, platform, [], tmp_path, monkeypatch)
    assert done.exit_code == 0, done.output
    assert ("nothing to remove" if made_by == "nothing known" else "Stack x is gone.") in done.stderr


@pytest.mark.parametrize("platform", list(Platform))
@pytest.mark.parametrize("made_by", MADE_BY)
def test_a_target_that_does_not_answer_is_told_and_calls_nothing_gone(
    made_by: str, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = destroy(made_by, platform, None, tmp_path, monkeypatch)
    assert done.exit_code == (1 if made_by == "nothing known" else 0), done.output
    assert "is not known: the target does not answer" in done.stderr
    assert "is gone" not in done.stderr


def test_a_kept_directory_of_secrets_counts_as_something_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleanup that kept the data has left it."""
    monkeypatch.setattr(DockerInventory, "find", lambda *_, **__: [])
    kept = tmp_path / PROJECT / "x"
    kept.mkdir(parents=True)
    done = CliRunner().invoke(app, ["destroy", "--stack", "x"])
    assert done.exit_code == 1
    assert str(kept) in done.stderr


@pytest.mark.parametrize(("items", "forgotten"), [([], True), (LEFT, False), (None, False)])
@pytest.mark.parametrize("url", ["http://localhost:5000", "https://other.example.com"])
@pytest.mark.parametrize("made_by", MADE_BY[:2])
def test_the_login_to_a_stack_goes_with_it_and_with_it_alone(
    made_by: str, url: str, items: list[Item] | None, forgotten: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = kept_login(url, name="x")
    done = destroy(made_by, Platform.DOCKER, items, tmp_path, monkeypatch)
    # What is not known here may be up elsewhere.
    gone = forgotten and url == "http://localhost:5000" and made_by != "nothing known"
    assert (store.find() is None) is gone, done.output
    assert ("is forgotten" in done.stderr) is gone
