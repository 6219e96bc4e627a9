"""How each engine is driven: what it is asked, what it is never told, and what is refused before it is asked."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stack import stack_spec
from platforms.docker import daemon
from platforms.docker.daemon import DockerError
from platforms.docker.inventory import DockerInventory
from platforms.inventory import InventoryError, Item
from platforms.workload import OnDemand, Service
from problems import StackError
from settings import Environment
from settings.catalogue import refs
from stackctl.context import Context
from stackctl.engines import compose, kubectl, pulumi_cli
from stackctl.engines.compose import ComposeTarget
from stackctl.engines.kubectl import KubectlTarget
from stackctl.engines.rendered import differences
from stackctl.people import connection
from tests.fakes import FakeCommand, FakeDocker
from tests.samples import everything, settings

pytestmark = pytest.mark.usefixtures("components")

COMPOSE = ComposeTarget()
# Artifacts in a bucket, and not on the volume.
BUCKET = {"mlflow": {"s3": {"bucket": "models", "accessKeyId": "AKIA", "secretAccessKey": "x" * 20}}}


def context(config: dict[str, Any] | None = None) -> Context:
    found = settings(config)
    return Context("test", Path("Pulumi.test.yaml"), found, stack_spec(found))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDocker]:
    fake = FakeDocker(tmp_path / "docker", monkeypatch)
    fake.engine()
    fake.images(*refs().values())
    fake.container("running")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    compose.command.cache_clear()
    yield fake
    compose.command.cache_clear()


# Compose.


def test_compose_is_asked_once_and_each_container_is_waited_for(docker: FakeDocker) -> None:
    one = context()
    COMPOSE.up(one)
    ups = [call for call in docker.calls if call.endswith(" up -d --remove-orphans")]
    assert ups == [
        f"compose --env-file {one.directory}/secrets.env -f {one.directory}/compose.yaml up -d --remove-orphans"
    ]
    # What runs on demand is made, and started by nobody.
    made = [call.split(" up --no-start ")[1].split() for call in docker.calls if " up --no-start " in call]
    asked = [w.name for w in one.spec.workloads if isinstance(w.runs, OnDemand)]
    assert made == ([asked] if asked else [])
    assert {call.split()[1] for call in docker.calls if call.startswith("exec")} == {
        f"mlflow-sso-test-{w.name}" for w in one.spec.workloads if isinstance(w.runs, Service)
    }


def test_containers_are_waited_for_where_their_ports_are_bound(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(daemon, "wait_ready", lambda *_, address: asked.append(address))
    COMPOSE.up(context({"docker": {"bindAddress": "::1"}}))
    assert set(asked) == {"::1"}


def test_no_secret_is_in_a_command_line(docker: FakeDocker, tmp_path: Path) -> None:
    one = context(everything(tmp_path))
    COMPOSE.up(one)
    values = json.loads((one.directory / "secrets.json").read_text()).values()
    assert len(list(values)) >= 15
    assert not [call for call in docker.calls for value in values if value in call]
    assert not [call for call in docker.calls if "operators-own" in call]


def test_outputs_are_those_of_the_stack_and_private(docker: FakeDocker) -> None:
    one = context()
    COMPOSE.up(one)
    values = json.loads((one.directory / "secrets.json").read_text())
    found = COMPOSE.outputs("test")
    assert set(found) == set(one.spec.outputs())
    assert found["client_secret"] == values["mlflow-client-secret"]
    assert found["users"]["alice"] == {"password": values["user-alice-password"], "groups": ["mlflow-admins"]}
    assert found["admin"]["password"] == values["keycloak-admin-password"]
    assert stat.S_IMODE((one.directory / "outputs.json").stat().st_mode) == 0o600


def test_a_second_up_writes_the_same(docker: FakeDocker) -> None:
    one = context()
    COMPOSE.up(one)
    before = {p: p.read_bytes() for p in one.directory.rglob("*") if p.is_file()}
    COMPOSE.up(one)
    assert {p: p.read_bytes() for p in one.directory.rglob("*") if p.is_file()} == before


def test_destroy_takes_the_volumes_and_the_secrets_along(docker: FakeDocker) -> None:
    one = context()
    COMPOSE.up(one)
    assert COMPOSE.owns("test")
    COMPOSE.destroy("test")
    assert any(call.endswith(" down --volumes --remove-orphans") for call in docker.calls)
    assert not one.directory.exists()
    assert not COMPOSE.owns("test")


def test_a_destroy_that_fails_keeps_the_secrets(docker: FakeDocker) -> None:
    one = context()
    COMPOSE.up(one)
    docker.fail("compose", "Error: the daemon went away")
    with pytest.raises(DockerError, match="Compose down failed:\nError: the daemon went away"):
        COMPOSE.destroy("test")
    assert (one.directory / "secrets.json").exists()


def test_a_change_of_the_realm_makes_no_container_of_keycloak_anew(docker: FakeDocker) -> None:
    def keycloak(config: dict[str, Any]) -> dict[str, Any]:
        COMPOSE.up(context(config))
        return dict(yaml.safe_load((context().directory / "compose.yaml").read_text())["services"]["keycloak"])

    account = {"serviceAccounts": [{"clientId": "nightly", "groups": ["mlflow-users"]}]}
    more = {"lifetimes": {"accessTokenSeconds": 60}, "users": [{"username": "dave"}], **account}
    before = keycloak({})
    assert keycloak({"realm": more}) == before


def test_what_up_would_change_is_told_by_name_and_place_and_nothing_is_written(docker: FakeDocker) -> None:
    one = context()
    COMPOSE.up(one)
    assert COMPOSE.changes(one) == []
    kept = {p: p.read_bytes() for p in one.directory.rglob("*") if p.is_file()}
    said = COMPOSE.changes(context({"redis": {"maxMemoryMib": 128}, "mlflow": {"env": {"GREETING": "hello there"}}}))
    assert "service mlflow changes: environment.GREETING" in said
    assert any(line.startswith("service redis changes: ") for line in said)
    assert "hello" not in "".join(said)
    assert {p: p.read_bytes() for p in one.directory.rglob("*") if p.is_file()} == kept
    before = {"a": {"list": [{"name": "x", "value": 1}], "same": 1}, "gone": {}}
    after = {"a": {"list": [{"name": "x", "value": 2}], "same": 1}, "new": {}}
    assert differences(before, after, {}) == ["a changes: list[x].value", "gone is removed", "new is made"]


def test_a_volume_that_new_settings_do_not_name_is_told_to_stay(docker: FakeDocker) -> None:
    COMPOSE.up(context())
    said = COMPOSE.changes(context(BUCKET))
    assert [line for line in said if line.startswith("volume ")] == [
        "volume mlflow-artifacts is no longer used and stays with its data; "
        "`docker volume rm mlflow-sso-test-mlflow-artifacts` removes both"
    ]


def test_destroy_takes_what_the_settings_of_now_do_not_name(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    COMPOSE.up(context())
    COMPOSE.up(context(BUCKET))
    left = [Item("network", "mlflow-sso-test-other"), Item("volume", "mlflow-sso-test-mlflow-artifacts", data=True)]
    monkeypatch.setattr(DockerInventory, "find", lambda *_: left)
    COMPOSE.destroy("test")
    down = next(number for number, call in enumerate(docker.calls) if call.endswith(" down --volumes --remove-orphans"))
    assert docker.calls[down + 1 :] == [
        "network rm mlflow-sso-test-other",
        "volume rm mlflow-sso-test-mlflow-artifacts",
    ]


def test_a_destroy_that_has_to_leave_data_keeps_their_secrets(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = context()
    COMPOSE.up(one)
    left = [Item("volume", "mlflow-sso-test-mlflow-artifacts", data=True, used_by=("copier",))]
    monkeypatch.setattr(DockerInventory, "find", lambda *_: left)
    docker.fail("volume", "Error: volume is in use - [copier]")
    with pytest.raises(InventoryError, match=r"volume mlflow-sso-test-mlflow-artifacts was not removed: .*copier"):
        COMPOSE.destroy("test")
    assert (one.directory / "secrets.json").exists()


def test_up_takes_the_networks_away_that_it_does_not_name(docker: FakeDocker) -> None:
    docker.answer("network", "mlflow-sso-test-mlflow\nmlflow-sso-test-other\n")
    COMPOSE.up(context())
    assert [call for call in docker.calls if call.startswith("network rm")] == ["network rm mlflow-sso-test-other"]


def test_no_compose_is_refused(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.fail("compose", "docker: 'compose' is not a docker command.")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(StackError, match="compose: expected `docker compose` or docker-compose; run `make engine`"):
        compose.command()


def test_the_old_compose_stands_in(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.fail("compose", "docker: 'compose' is not a docker command.")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert compose.command() == ("docker-compose",)


# kubectl.


def test_a_claim_that_new_settings_do_not_name_is_told_to_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    target = KubectlTarget()
    one = context({"platform": "kubernetes"})
    target.write(one, kubectl.home("test"))
    said = target.changes(context({"platform": "kubernetes", **BUCKET}))
    assert [line for line in said if line.startswith("PersistentVolumeClaim ")] == [
        "PersistentVolumeClaim mlflow-artifacts is no longer used and stays with its data; "
        "`kubectl delete persistentvolumeclaims mlflow-artifacts -n mlflow-sso-test` removes both"
    ]


# Pulumi.


@pytest.fixture
def pulumi(docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommand:
    """The Pulumi CLI, run where nobody can be asked for a passphrase."""
    fake = FakeCommand("pulumi", tmp_path / "pulumi", skip=len(("-C", "<folder>")))
    fake.answer("stack", "[]")
    monkeypatch.setattr(pulumi_cli, "find", lambda: str(fake.path))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for name in (*pulumi_cli.PASSPHRASE_VARIABLES, "PULUMI_SECRETS_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    return fake


def passphrases(home: Path) -> list[Path]:
    return list((home / "config").rglob("passphrase"))


def test_a_stack_for_others_needs_its_own_passphrase(pulumi: FakeCommand, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="Stack test needs its passphrase; nothing was changed") as caught:
        pulumi_cli.up(context({"environment": "prod"}), new=True)
    assert "passphrase: expected PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE" in str(caught.value)
    assert pulumi.calls == []
    assert passphrases(tmp_path) == []


def test_a_development_stack_gets_a_private_passphrase_that_is_in_no_command_line(
    pulumi: FakeCommand, tmp_path: Path
) -> None:
    pulumi_cli.up(context(), new=True)
    (path,) = passphrases(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pulumi.calls[-1].startswith("up --yes --skip-preview --stack test --config-file Pulumi.test.yaml")
    assert not [call for call in pulumi.calls if path.read_text().strip() in call]


def test_a_stack_from_elsewhere_is_not_given_a_new_passphrase(pulumi: FakeCommand, tmp_path: Path) -> None:
    """It could not read the secrets that are there with any but its own."""
    with pytest.raises(StackError, match="Stack test needs its passphrase"):
        pulumi_cli.up(context(), new=False)
    assert passphrases(tmp_path) == []


@pytest.mark.parametrize("name", pulumi_cli.PASSPHRASE_VARIABLES)
def test_a_passphrase_of_the_environment_counts(
    name: str, pulumi: FakeCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "given")
    pulumi_cli.up(context({"environment": "prod"}), new=True)
    assert [call.split()[0] for call in pulumi.calls] == ["stack", "up"]
    assert passphrases(tmp_path) == []


def test_a_failure_of_the_engine_is_told_with_its_step(pulumi: FakeCommand) -> None:
    pulumi.fail("up", "error: incorrect passphrase")
    with pytest.raises(pulumi_cli.PulumiError, match=r"pulumi up failed \(exit code 1\); its messages are above"):
        pulumi_cli.up(context(), new=True)


def test_a_stack_is_known_by_its_whole_name(pulumi: FakeCommand) -> None:
    pulumi.answer("stack", '[{"name": "organization/mlflow-sso/test"}, {"name": "dev"}]')
    assert pulumi_cli.exists("test")
    assert pulumi_cli.exists("dev")
    assert not pulumi_cli.exists("tes")


def test_outputs_are_read_with_the_stacks_passphrase(pulumi: FakeCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "given")
    pulumi.answer("stack", '{"client_id": "mlflow"}')
    assert pulumi_cli.outputs("test", Environment.PROD) == {"client_id": "mlflow"}
    pulumi.fail("stack", "error: no stack named 'test' found")
    with pytest.raises(pulumi_cli.PulumiError, match="no stack named 'test' found"):
        pulumi_cli.outputs("test", Environment.PROD)


def test_a_stack_that_is_not_there_has_no_outputs_and_costs_no_passphrase(pulumi: FakeCommand, tmp_path: Path) -> None:
    assert connection.outputs("test", tmp_path / "none.yaml") is None
    assert passphrases(tmp_path) == []


def test_outputs_that_cannot_be_read_are_told_of_a_stack_that_is_there(
    pulumi: FakeCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    config = tmp_path / "Pulumi.test.yaml"
    config.write_text("config: {}\n")
    monkeypatch.setattr(pulumi_cli, "exists", lambda stack: True)
    pulumi.fail("stack", "error: incorrect passphrase")
    with pytest.raises(pulumi_cli.PulumiError, match="incorrect passphrase"):
        connection.outputs("test", config)


def test_settings_of_the_usual_name_outlive_a_first_up_with_others(
    pulumi: FakeCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_cli, "ROOT", tmp_path)
    usual, own = tmp_path / "Pulumi.test.yaml", tmp_path / "own.yaml"
    usual.write_text("config: {}\n")
    own.write_text("config: {}\n")
    one = context()
    pulumi_cli.up(Context("test", own, one.settings, one.spec), new=True)
    assert "stack init test --no-select --non-interactive" in pulumi.calls
    assert usual.read_text() == "config: {}\n"
