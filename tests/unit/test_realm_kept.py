"""A realm is imported once: what names its secrets stays as it was, whatever is added or written by another version.

`kept/numbered-realm.json` is the document that versions wrote which numbered the names (REALM_USER_ALICE_PASSWORD_2).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from components.importing import IMPORT_PATH, importing_workloads
from components.keycloak import SERVER
from components.stack import stack_spec
from platforms.running import EXEC_SECONDS, Answer, Instance
from platforms.workload import Workload
from settings import ROOT
from stackctl.context import Context
from stackctl.doctor.observed import Observed
from stackctl.engines import compose, kubectl
from stackctl.engines.compose import ComposeTarget
from stackctl.engines.kubectl import KubectlTarget
from stackctl.engines.rendered import kept_realm
from stackctl.engines.targets import Target
from tests.fakes import FakeDocker
from tests.samples import settings
from tests.unit.doctor import FakeRunning

COMPOSE, KUBECTL = ComposeTarget(), KubectlTarget()

NUMBERED = (ROOT / "tests" / "unit" / "kept" / "numbered-realm.json").read_text()
# What that document was written for, and the secret that each of its names stands for.
CONFIG: dict[str, Any] = {
    "realm": {
        "users": [{"username": "dave.x", "groups": ["mlflow-users"]}, {"username": "dave-x"}],
        "serviceAccounts": [{"clientId": "pipeline", "groups": ["mlflow-users"]}],
    }
}
MEANT = {
    "REALM_MLFLOW_CLIENT_SECRET_0": "mlflow-client-secret",
    "REALM_CLIENT_PIPELINE_SECRET_1": "client-pipeline-secret",
    "REALM_USER_ALICE_PASSWORD_2": "user-alice-password",
    "REALM_USER_BOB_PASSWORD_3": "user-bob-password",
    "REALM_USER_DAVE_X_PASSWORD_4": "user-dave.x-password",
    "REALM_USER_DAVE_X_PASSWORD_5": "user-dave-x-password",
}


def context(config: dict[str, Any]) -> Context:
    found = settings(config)
    return Context("test", Path("Pulumi.test.yaml"), found, stack_spec(found))


def with_more(config: dict[str, Any], **more: list[dict[str, Any]]) -> dict[str, Any]:
    """The same settings with further users or service accounts, before those that are there."""
    realm = dict(config.get("realm", {}))
    return {"realm": {**realm, **{key: [*items, *realm.get(key, [])] for key, items in more.items()}}}


def keycloak(config: dict[str, Any], known: str = "", **more: bool) -> Workload:
    workloads = importing_workloads(stack_spec(settings(config)), known, **more)
    return next(w for w in workloads if w.name == SERVER)


def document(workload: Workload) -> str:
    return next(file.content for file in workload.files if file.path == IMPORT_PATH)


def meant(workload: Workload) -> dict[str, str]:
    """The secret that stands behind each name of the import."""
    return {n: text.secrets[0].name for n, text in workload.secret_env.items() if n.startswith("REALM_")}


def entries(text: str) -> dict[str, Any]:
    """Every client and user of a realm by its name."""
    realm = json.loads(text)
    return {f"client {c['clientId']}": c for c in realm["clients"]} | {
        f"user {u['username']}": u for u in realm["users"]
    }


MORE = [
    {"serviceAccounts": [{"clientId": "first"}]},
    {"users": [{"username": "a"}]},
    {"users": [{"username": "dave_x"}, {"username": "dave.x.1"}], "serviceAccounts": [{"clientId": "mlflow-2"}]},
]


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("known", ["", NUMBERED], ids=["new", "numbered"])
def test_what_is_added_renames_nothing_that_was_there(more: dict[str, Any], known: str) -> None:
    before, after = keycloak(CONFIG, known), keycloak(with_more(CONFIG, **more), known)
    assert meant(before).items() <= meant(after).items()
    then, now = entries(document(before)), entries(document(after))
    assert {name: now[name] for name in then} == then
    assert len(now) > len(then)
    names = re.findall(r"\$\{(\w+)\}", document(after))
    assert sorted(names) == sorted(meant(after)), "each name stands once in the document and once in the environment"
    assert len(set(meant(after).values())) == len(names)


def test_names_that_were_numbered_are_kept_with_what_they_mean() -> None:
    found = keycloak(CONFIG, NUMBERED, imported=True)
    assert document(found) == NUMBERED
    assert meant(found) == MEANT


@pytest.mark.parametrize(
    "more", [*MORE, {"groups": {"users": ["mlflow-users", "scientists"]}}, {"lifetimes": {"ssoIdleSeconds": 999}}]
)
def test_what_was_imported_stays_as_it_is_whatever_is_declared_since(more: dict[str, Any]) -> None:
    """Else Keycloak would be made anew for a document that it does not read again."""
    lists = {key: value for key, value in more.items() if isinstance(value, list)}
    config = with_more({"realm": {**CONFIG["realm"], **{k: v for k, v in more.items() if k not in lists}}}, **lists)
    found = keycloak(config, NUMBERED, imported=True)
    assert document(found) == NUMBERED
    assert meant(found) == MEANT
    assert set(meant(keycloak(config, NUMBERED, imported=True, newer_secrets=True))) >= set(MEANT)


def test_whoever_is_declared_no_more_is_not_imported_with_a_name_for_a_password() -> None:
    config = {"realm": {**CONFIG["realm"], "users": CONFIG["realm"]["users"][1:], "serviceAccounts": []}}
    found = keycloak(config, NUMBERED, imported=True)
    gone = {"client pipeline", "user dave.x"}
    # Without its client that is nobody.
    assert entries(NUMBERED).keys() - entries(document(found)).keys() == gone
    assert set(re.findall(r"\$\{(\w+)\}", document(found))) == set(meant(found))


def test_names_are_those_of_the_secrets_in_a_new_stack() -> None:
    assert not [name for name in meant(keycloak(CONFIG)) if re.search(r"_[0-9]$", name)]
    assert document(keycloak(CONFIG)) == document(keycloak(CONFIG, document(keycloak(CONFIG))))


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "{",
        "[]",
        "5",
        "{}",
        '{"clients": 1, "users": {}}',
        '{"clients": [1, {}], "users": [null, {"credentials": 2}]}',
        '{"clients": [{"clientId": "mlflow", "secret": "by hand"}]}',
        '{"users": [{"username": "alice", "credentials": [{}]}]}',
    ],
)
def test_a_kept_document_that_somebody_changed_names_nothing(kept: str) -> None:
    assert meant(keycloak(CONFIG, kept)) == meant(keycloak(CONFIG))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker(tmp_path / "docker", monkeypatch)
    fake.engine()
    fake.container("running", health="healthy")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(compose, "command", lambda: ("docker", "compose"))
    return fake


def brought_up_before(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "realm.json").write_text(NUMBERED)
    (directory / "secrets.json").write_text("{}")


def test_compose_goes_on_with_a_numbered_realm_and_replaces_nothing(docker: FakeDocker) -> None:
    one = context(CONFIG)
    brought_up_before(one.directory)
    COMPOSE.up(one)
    assert [call for call in docker.calls if " up -d" in call]
    service = yaml.safe_load((one.directory / "compose.yaml").read_text())["services"][SERVER]
    # Compose makes a container anew when its variables or the paths that it mounts change.
    assert {n for n in service["environment"] if n.startswith("REALM_")} == set(MEANT)
    digest = hashlib.sha256(NUMBERED.encode()).hexdigest()[:12]
    assert f"./files/{digest}/realm.json:{IMPORT_PATH}:ro" in service["volumes"]
    assert (one.directory / "realm.json").read_text() == NUMBERED


def test_kubectl_goes_on_with_a_numbered_realm_and_replaces_nothing(docker: FakeDocker) -> None:
    one = context({**CONFIG, "platform": "kubernetes"})
    brought_up_before(kubectl.home("test"))
    workload = next(w for w in kubectl.plan(one).workloads if w.name == SERVER)
    assert document(workload) == NUMBERED
    assert meant(workload) == MEANT


def test_what_was_rendered_into_a_directory_is_rendered_there_with_the_same_names(tmp_path: Path) -> None:
    both: list[tuple[Target, dict[str, Any]]] = [(COMPOSE, CONFIG), (KUBECTL, {**CONFIG, "platform": "kubernetes"})]
    for target, config in both:
        directory = tmp_path / target.tool
        brought_up_before(directory)
        target.write(context(config), directory)
        written = keycloak(config, NUMBERED)
        # The account that looks for people came later, and has a name of its own.
        assert meant(written) == {**MEANT, "REALM_MLFLOW_PEOPLE_SECRET": "mlflow-people-secret"}
        assert (directory / "realm.json").read_text() == document(written)


class Inside(FakeRunning):
    """A Keycloak that a command can be run in."""

    def execute(
        self,
        instance: Instance,
        command: Sequence[str],
        secrets: Mapping[str, str] | None = None,
        seconds: int = EXEC_SECONDS,
    ) -> Answer:
        return Answer(0, NUMBERED, "") if tuple(command) == ("cat", IMPORT_PATH) else Answer(1, "", "no")


@pytest.mark.parametrize("runs", [True, False])
def test_the_doctor_compares_with_the_names_that_were_numbered(runs: bool) -> None:
    """By what the container holds, or where it does not run by what is kept on this machine."""
    instance = Instance("x-keycloak", SERVER, runs, "", args=("--import-realm",))
    spec = stack_spec(settings(CONFIG))
    seen = Observed("x", "", requests.Session(), Inside(), (instance,), spec=spec, kept_realm="" if runs else NUMBERED)
    found = next(w for w in seen.defined if w.name == SERVER)
    assert document(found) == NUMBERED
    assert meant(found) == MEANT


@pytest.mark.parametrize("target", [COMPOSE, KUBECTL], ids=["compose", "kubectl"])
def test_what_is_kept_of_a_realm_is_its_document(target: Target, docker: FakeDocker) -> None:
    assert kept_realm(target.home("test")) == ""
    brought_up_before(context(CONFIG).directory if target is COMPOSE else kubectl.home("test"))
    assert kept_realm(target.home("test")) == NUMBERED
