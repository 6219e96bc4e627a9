"""The Job that changes a realm where files are applied by another program: its program, and on a cluster the Job."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from components.identity import REALM_JOB
from components.importing import importing_workloads
from components.stack import StackSpec, stack_spec
from platforms.kubernetes.objects.render import STACK_FILE
from platforms.workload import FINAL, Workload
from settings import PROJECT, parse
from stackctl.engines.kubectl import MANIFESTS
from stackctl.engines.rendered import REALM_FILE, SECRETS_FILE
from stackctl.images.build import build
from stackctl.state import SecretStore
from tests.e2e.cluster import get, kubectl
from tests.e2e.harness import LONG, Client, Stack, docker, eventually, inspect
from tests.e2e.keycloak import KeycloakAdmin, lifetime
from tests.e2e.test_realm import differences, snapshot
from tests.e2e.test_realm_changes import CHANGES, ERIN, MORE_GROUPS, REALM

_NOTHING = "The realm mlflow is as declared: 0 change(s)."
_MEMORY = "/clients/mlflow-groups/attributes/mlflow-sso.declared"


@dataclass
class Runs:
    """Runs the program of the Job on a stack of Compose's, as a cluster would, for other settings of the realm."""

    stack: Stack
    realm: dict[str, Any] = field(default_factory=lambda: deepcopy(REALM))

    @property
    def spec(self) -> StackSpec:
        given = {**self.stack.config, "platform": "kubernetes", "realm": self.realm, "kubernetes": {"realmJob": True}}
        return stack_spec(parse({f"{PROJECT}:{key}": value for key, value in given.items()}, self.stack.name))

    def values(self) -> dict[str, str]:
        """Every secret by name; those that are declared anew are made."""
        kept = self._state / SECRETS_FILE
        assert kept.exists()
        return SecretStore(kept).values(self.spec.secrets)

    @property
    def _state(self) -> Path:
        return self.stack.home / "state" / PROJECT / self.stack.name

    def start(self) -> subprocess.Popen[str]:
        imported = (self._state / REALM_FILE).read_text()
        workloads = importing_workloads(self.spec, imported, imported=True)
        (workload,) = (one for one in workloads if one.name == REALM_JOB)
        build(used={workload.image})
        values = self.values()
        secret = {
            name: "".join(text.fold(str, lambda s: values[s.name], lambda w: w.spelt(values[w.secret.name])))
            for name, text in workload.secret_env.items()
        }
        return self._container(workload, secret)

    def _container(self, workload: Workload, secret: dict[str, str]) -> subprocess.Popen[str]:
        mounts: list[str] = []
        for number, file in enumerate(workload.files):
            path = self.stack.home / f"declared-{number}.json"
            path.write_text(file.content)
            path.chmod(0o644)
            mounts += ["-v", f"{path}:{file.path}:ro"]
        variables = {**workload.env, **secret}
        words = (
            "docker", "run", "--rm", "--network", f"{self.stack.physical}-keycloak", "--read-only", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", f"--memory={workload.resources.memory_mib}m", "--tmpfs", "/tmp",
            f"--user={workload.uid}:{workload.uid}", *mounts, *(w for name in variables for w in ("-e", name)),
            workload.image, *workload.args,
        )  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(words, text=True, env={**os.environ, **variables}, **pipes)  # type: ignore[call-overload,no-any-return]

    def run(self, **realm: Any) -> tuple[int, list[str]]:
        """Declares more of the realm, and runs the program: its exit code, and what it says."""
        self.realm |= realm
        process = self.start()
        said, _ = process.communicate(timeout=300)
        for name, value in self.values().items():
            assert value not in said, f"it shows {name}"
        return process.returncode, said.splitlines()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    stack = Stack.make("compose", tmp_path_factory.mktemp("job"), realm=deepcopy(REALM))
    with stack.running():
        yield Runs(stack)


@pytest.fixture(scope="module")
def keycloak(runs: Runs) -> KeycloakAdmin:
    return KeycloakAdmin(runs.stack.outputs())


def memory(keycloak: KeycloakAdmin) -> str:
    (client,) = keycloak.get(f"/{keycloak.realm}/clients?clientId=mlflow-groups")
    return str(client["attributes"]["mlflow-sso.declared"])


def test_a_realm_that_was_imported_is_as_declared_and_remembers_it(runs: Runs, keycloak: KeycloakAdmin) -> None:
    code, said = runs.run()
    assert code == 0
    assert said[0].startswith("Nothing is remembered of this realm")
    # What an import cannot have.
    assert all("required action" in line for line in said if line.startswith("realm, ")), said
    kept = memory(keycloak)
    assert len(kept) < 8000
    assert runs.run() == (0, [_NOTHING])
    assert memory(keycloak) == kept


def test_a_person_a_group_and_a_lifetime_come_into_the_realm_once(runs: Runs, keycloak: KeycloakAdmin) -> None:
    people = [*REALM["users"], ERIN]
    code, said = runs.run(groups=MORE_GROUPS, users=people, lifetimes={"accessTokenSeconds": 120})
    assert code == 0
    made = {"realm, group scientists: is made", "realm, user erin: is made"}
    assert made | {"realm, settings: accessTokenLifespan: 300 -> 120"} <= set(said)
    outputs = runs.stack.outputs()
    machine = {"client_id": "trainer", "client_secret": outputs["service_accounts"]["trainer"]["client_secret"]}
    answer = Client(outputs).grant(grant_type="client_credentials", **machine)
    assert lifetime(answer.json()["access_token"]) == 120
    # The password that the settings made is hers: a wrong one is told otherwise, and the terms come first.
    mlflow = {"client_id": outputs["client_id"], "client_secret": outputs["client_secret"]}
    for password, said_of_it in ((runs.values()["user-erin-password"], "not fully set up"), ("x", "Invalid user")):
        answer = Client(outputs).grant(grant_type="password", username="erin", password=password, **mlflow)
        assert said_of_it in answer.text
    assert runs.run() == (0, [_NOTHING])
    # What somebody does to a person in Keycloak stays.
    (erin,) = keycloak.get(f"/{keycloak.realm}/users?username=erin")
    keycloak.call("PUT", f"/{keycloak.realm}/users/{erin['id']}", json={**erin, "enabled": False})
    assert runs.run() == (0, [_NOTHING])


def test_a_group_with_members_is_refused_with_their_names_and_nothing_changes(
    runs: Runs, keycloak: KeycloakAdmin
) -> None:
    zoe = keycloak.make(f"/{keycloak.realm}/users", username="zoe", enabled=True, groups=["/scientists"])
    before, kept = snapshot(runs.stack.outputs()), runs.realm["users"]
    code, said = runs.run(groups=REALM["groups"], users=REALM["users"], lifetimes={"accessTokenSeconds": 240})
    assert code == FINAL
    assert said[0] == "Refused: A group would be removed with its members; nothing was changed."
    assert "scientists" in said[1]
    assert "zoe" in said[1]
    assert differences(before, snapshot(runs.stack.outputs())) == []
    keycloak.remove(f"/{keycloak.realm}/users/{zoe}")
    code, said = runs.run()
    assert (code, {"realm, group scientists: is removed", "realm, user erin: is removed"} <= set(said)) == (0, True)
    assert runs.run(groups=MORE_GROUPS, users=kept)[0] == 0


def test_it_waits_for_a_keycloak_that_is_away(runs: Runs) -> None:
    container = runs.stack.container("keycloak")
    docker("stop", container)
    process = runs.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Waiting: Keycloak does not answer")
    finally:
        docker("start", container)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    eventually(lambda: inspect(container)["State"]["Health"]["Status"], lambda state: state == "healthy", "Keycloak")


@LONG
def test_a_realm_that_it_changed_is_the_one_that_is_imported_anew(
    runs: Runs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same changes as those of `stackctl up`, with the same end."""
    runs.realm = deepcopy(REALM)
    for name, change in CHANGES:
        code, said = runs.run(**change)
        assert code == 0, (name, said)
        assert any(line.startswith("realm, ") for line in said), name
    assert runs.run() == (0, [_NOTHING])
    config = {key: value for key, value in runs.stack.config.items() if key not in {"mlflow", "keycloak", "realm"}}
    with Stack.make("compose", tmp_path_factory.mktemp("anew"), **config, realm=runs.realm).running() as anew:
        found = differences(snapshot(runs.stack.outputs()), snapshot(anew.outputs()))
    assert [line for line in found if not line.startswith(_MEMORY)] == []


# On a cluster.


@dataclass
class Applied:
    """A stack whose files `kubectl` applies, as Argo CD or Flux would."""

    stack: Stack
    folder: Path

    def render(self) -> str:
        """Writes the files; returns the name of their Job."""
        self.stack.write_config()
        self.stack.stackctl("render", "--out", str(self.folder))
        text = (self.manifests / STACK_FILE).read_text()
        (job,) = (one for one in yaml.safe_load_all(text) if one["kind"] == "Job")
        return str(job["metadata"]["name"])

    @property
    def manifests(self) -> Path:
        return self.folder / self.stack.name / MANIFESTS

    def apply(self) -> str:
        name = self.render()
        kubectl("apply", "--server-side", "-f", str(self.manifests))
        return name

    def ended(self, name: str, condition: str) -> str:
        """What a Job has said once it has come to this end."""
        found = eventually(lambda: self._conditions(name), bool, f"the end of {name}", 900)
        said = kubectl("logs", "-n", self.stack.physical, f"job/{name}", check=False)
        assert condition in found, f"{name}: {found}\n{said}"
        return said

    def _conditions(self, name: str) -> list[str]:
        status = get("job", name, "-n", self.stack.physical)["status"]
        ends = ("Complete", "Failed")
        return [c["type"] for c in status.get("conditions", ()) if c["type"] in ends and c["status"] == "True"]

    def pods(self, component: str) -> list[str]:
        chosen = f"mlflow-sso.component={component}"
        return [one["metadata"]["uid"] for one in get("pods", "-n", self.stack.physical, "-l", chosen)["items"]]

    @contextmanager
    def keycloak(self) -> Iterator[KeycloakAdmin]:
        """Its administrator, through a port here."""
        url = str(self.stack.config["keycloak"]["url"])
        values = SecretStore(self.folder / self.stack.name / SECRETS_FILE).kept()
        port = url.rpartition(":")[2]
        words = ("kubectl", "port-forward", "-n", self.stack.physical, "service/keycloak", f"{port}:8080")
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            _answers(url)
            login = {"username": "admin", "password": values["keycloak-admin-password"]}
            yield KeycloakAdmin({"keycloak_url": url, "admin": login, "realm": "mlflow"})
        finally:
            process.terminate()
            process.wait()


def _answers(url: str) -> None:
    for _ in range(60):
        try:
            requests.get(url, timeout=5)
            return
        except requests.exceptions.RequestException:
            time.sleep(1)
    raise AssertionError(f"{url} does not answer")


def _bring(images: Sequence[str]) -> None:
    """Images to where the cluster finds them."""
    subprocess.run((*shlex.split(os.environ["IMAGE_LOADER"]), *images), check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def applied(mesh: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    if not os.environ.get("IMAGE_LOADER"):
        pytest.skip("IMAGE_LOADER names no command that brings images to the cluster")
    home = tmp_path_factory.mktemp("applied")
    options = {"realmJob": True, "mesh": {"enabled": mesh}}
    stack = Stack.make("render", home, platform="kubernetes", kubernetes=options, realm=deepcopy(REALM))
    found = Applied(stack, home / "rendered")
    text = found.render() and (found.manifests / STACK_FILE).read_text()
    images = sorted(set(re.findall(rf"{PROJECT}/[a-z-]+:[\w.-]+", text)))
    build(used=images)
    _bring(images)
    try:
        yield found
    finally:
        kubectl("delete", "namespace", stack.physical, "--wait=false", "--ignore-not-found")


def test_on_a_cluster_each_declaration_has_a_job_that_brings_the_realm_to_it(applied: Applied) -> None:
    first = applied.apply()
    said = applied.ended(first, "Complete")
    assert "is as declared" in said
    servers = applied.pods("keycloak")
    assert applied.apply() == first, "nothing is another, so nothing runs"

    applied.stack.config["realm"] |= {"groups": MORE_GROUPS, "users": [*REALM["users"], ERIN]}
    applied.stack.config["realm"] |= {"lifetimes": {"accessTokenSeconds": 120}}
    second = applied.apply()
    assert second != first
    said = applied.ended(second, "Complete")
    for line in ("group scientists: is made", "user erin: is made", "accessTokenLifespan: 300 -> 120"):
        assert line in said
    assert applied.pods("keycloak") == servers, "Keycloak goes on"
    values = SecretStore(applied.folder / applied.stack.name / SECRETS_FILE).kept()
    assert not [name for name, value in values.items() if value in said]
    with applied.keycloak() as keycloak:
        assert keycloak.get("/mlflow")["accessTokenLifespan"] == 120
        (erin,) = keycloak.get("/mlflow/users?username=erin")
        assert [g["name"] for g in keycloak.get(f"/mlflow/users/{erin['id']}/groups")] == ["scientists"]
        _refused(applied, keycloak)


def _refused(applied: Applied, keycloak: KeycloakAdmin) -> None:
    """Once, at the first try; and the realm is as it was."""
    keycloak.make("/mlflow/users", username="zoe", enabled=True, groups=["/scientists"])
    applied.stack.config["realm"] |= {"groups": REALM["groups"], "users": REALM["users"]}
    applied.stack.config["realm"] |= {"lifetimes": {"accessTokenSeconds": 240}}
    name = applied.apply()
    said = applied.ended(name, "Failed")
    assert "Refused: A group would be removed with its members; nothing was changed." in said
    assert "zoe" in said
    assert get("job", name, "-n", applied.stack.physical)["status"].get("failed") == 1
    assert keycloak.get("/mlflow")["accessTokenLifespan"] == 120


def test_on_a_cluster_its_pods_are_restricted_and_hold_no_token(applied: Applied) -> None:
    items: list[dict[str, Any]] = get("pods", "-n", applied.stack.physical)["items"]
    pods = [one for one in items if one["metadata"]["labels"].get("mlflow-sso.component") == REALM_JOB]
    assert pods
    for pod in pods:
        assert "kube-api-access" not in json.dumps(pod["spec"]["volumes"])
        assert pod["spec"]["serviceAccountName"] == REALM_JOB
