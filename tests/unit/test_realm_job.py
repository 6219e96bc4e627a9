"""The program that brings a realm to its declaration in a Job, on a realm in memory; tests/e2e asks a Keycloak."""

from __future__ import annotations

import ast
import base64
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow_sso_client.errors import KeycloakDownError

from components.realm.document import realm_import
from components.realm.spec import RealmSpec, realm_spec
from components.realm_job import realm_job_workloads
from components.realm_words import Declared
from platforms.workload import FINAL, Workload
from settings import PROJECT, parse
from settings.catalogue import load_versions
from stackctl.realm import job
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import MARK, fingerprint
from stackctl.realm.memory import ATTRIBUTE, forgotten
from tests.unit.fake_realm import FakeRealm
from tests.unit.test_house import graph, modules

Tree = dict[str, Any]
MAIL: Tree = {"host": "m.example.com", "sender": "sso@example.com", "username": "u", "password": "operators-own-mail"}
OIDC: Tree = {
    "alias": "acme",
    "issuer": "https://id.acme.example/realms/people",
    "authorizationUrl": "https://id.acme.example/auth",
    "tokenUrl": "https://id.acme.example/token",
    "jwksUrl": "https://id.acme.example/jwks",
    "clientId": "keycloak",
    "clientSecret": "operators-own-provider",
    "groups": {"admins": "mlflow-admins"},
}
LDAP: Tree = {
    "name": "people",
    "kind": "ldap",
    "urls": ["ldaps://ldap.example.com"],
    "usersDn": "ou=people,dc=example,dc=com",
}
OWNER = ("clients", "clientId", "mlflow-groups")
CAROL: Tree = {"username": "carol", "email": "carol@example.com", "groups": ["mlflow-users"]}


class Cluster:
    """A realm, and the Job that is made for settings of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **realm: Any) -> None:
        """realm: what was declared when Keycloak imported it."""
        self._folder = folder
        self.said: list[str] = []
        spec, _ = self._made(realm)
        self.realm = FakeRealm(realm_import(spec, lambda secret: f"value of {secret.name}"))
        self._imported = realm_import(spec, lambda secret: f"${{REALM_{secret.variable}}}")
        monkeypatch.setattr(job, "KeycloakAdmin", self._keycloak)
        monkeypatch.setattr(job, "_tell", self.said.append)

    def _keycloak(self, url: str, realm: str, provisioner: Any) -> FakeRealm:
        assert (url, realm) == ("http://keycloak:8080", "mlflow")
        assert provisioner.client_secret == "value of keycloak-provisioner-secret"
        return self.realm

    def _made(self, realm: Tree) -> tuple[RealmSpec, Workload]:
        given = {"platform": "kubernetes", "kubernetes": {"realmJob": True}, "realm": realm}
        settings = parse({f"{PROJECT}:{key}": value for key, value in given.items()}, "test")
        (workload,) = realm_job_workloads(settings, realm_spec(settings))
        return realm_spec(settings), workload

    def run(self, **realm: Any) -> int:
        """Runs the Job of settings with this realm."""
        _, workload = self._made(realm)
        (file,) = workload.files
        path, imported = self._folder / "declared.json", self._folder / "imported.json"
        path.write_text(file.content)
        imported.write_text(json.dumps(self._imported))
        values = {
            name: "".join(text.fold(str, lambda s: s.value or f"value of {s.name}", lambda w: w.secret.name))
            for name, text in workload.secret_env.items()
        }
        self.said.clear()
        self.realm.calls.clear()
        files = {Declared.FILE.value: str(path), Declared.IMPORTED.value: str(imported)}
        return job.run({**workload.env, **values, **files}, sleep=lambda _: None)

    @property
    def changes(self) -> list[str]:
        """The changes that it told of."""
        return [line.removeprefix("realm, ") for line in self.said if line.startswith("realm, ")]

    @property
    def remembered(self) -> str:
        """What Keycloak keeps of the declaration."""
        owner = self.realm.named("clients", "clientId", "mlflow-groups")
        return zlib.decompress(base64.b64decode(owner["attributes"][ATTRIBUTE].partition(" ")[2])).decode()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(tmp_path, monkeypatch)


def test_a_realm_that_was_just_imported_is_as_declared(cluster: Cluster) -> None:
    assert cluster.run() == 0
    assert cluster.changes == []
    assert cluster.said[-1] == "The realm mlflow is as declared: 0 change(s)."
    assert [call.partition(" ")[0] for call in cluster.realm.calls] == ["PUT"], "what is remembered, and nothing else"


def test_what_is_declared_since_comes_into_the_realm_and_a_second_run_changes_nothing(cluster: Cluster) -> None:
    cluster.run()
    wanted: Tree = {"users": [CAROL], "lifetimes": {"accessTokenSeconds": 60}}
    wanted["groups"] = {"admins": ["mlflow-admins"], "users": ["mlflow-users", "scientists"]}
    assert cluster.run(**wanted) == 0
    assert "settings: accessTokenLifespan: 300 -> 60" in cluster.changes
    assert "group scientists: is made" in cluster.changes
    assert "user carol: is made" in cluster.changes
    assert (
        cluster.realm.named("users", "username", "carol")["credentials"][0]["value"] == "value of user-carol-password"
    )
    assert cluster.run(**wanted) == 0
    assert cluster.realm.calls == []


def test_people_are_made_once_and_go_when_they_are_declared_no_more(cluster: Cluster) -> None:
    cluster.run(users=[CAROL])
    carol = cluster.realm.named("users", "username", "carol")
    carol["groups"] = []
    assert cluster.run(users=[CAROL]) == 0
    assert carol["groups"] == [], "somebody took her out of it"
    assert cluster.run() == 0
    assert cluster.changes == ["user carol: is removed"]


def test_a_group_with_members_is_refused_and_nothing_is_changed(cluster: Cluster) -> None:
    groups = {"admins": ["mlflow-admins"], "users": ["mlflow-users", "scientists"]}
    cluster.run(groups=groups)
    cluster.realm._post("/users", {"username": "eve", "groups": ["/scientists"]})
    assert cluster.run(lifetimes={"accessTokenSeconds": 60}) == job.REFUSED
    assert cluster.realm.calls == []
    (said,) = cluster.said
    assert said.startswith("Refused: A group would be removed with its members; nothing was changed.")
    assert "scientists" in said
    assert "eve" in said
    assert said.endswith("delete this Job, and have the files applied.")


def test_another_try_of_what_was_refused_is_of_no_use_to_the_target() -> None:
    assert job.REFUSED == FINAL


def test_nothing_that_it_says_or_keeps_has_a_secret_in_it(cluster: Cluster) -> None:
    wanted: Tree = {"users": [CAROL], "mail": MAIL, "identityProviders": [OIDC]}
    assert cluster.run(**wanted) == 0
    said, kept = "\n".join(cluster.said), cluster.remembered
    for text in (said, kept):
        assert "value of" not in text
        assert "operators-own" not in text
    assert "smtpServer.password is written" in said
    assert cluster.realm.settings["smtpServer"]["password"] == "operators-own-mail"


def test_a_secret_for_others_is_written_again_where_it_is_another_one(cluster: Cluster) -> None:
    """Keycloak shows none of them, and the fingerprints of two stacks have nothing in common."""
    cluster.run(mail=MAIL)
    cluster.realm.settings["smtpServer"]["password"] = "**********"
    assert cluster.run(mail=MAIL) == 0
    assert cluster.realm.calls == []
    assert cluster.run(mail={**MAIL, "password": "operators-own-other"}) == 0
    assert cluster.changes == ["settings: smtpServer.password is written"]
    other = json.loads(cluster.remembered)["smtpServer"]["password"]
    assert other.startswith(MARK)
    assert other != fingerprint("mlflow", "operators-own-other"), "anybody could try passwords on it"


def test_a_realm_without_a_memory_is_taken_for_the_one_that_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was corrected before Keycloak ever started does not keep what the import gave."""
    erin: Tree = {"username": "erin", "groups": ["mlflow-users"]}
    imported = [{**CAROL, "groups": ["mlflow-admins"]}, erin]
    cluster = Cluster(tmp_path, monkeypatch, users=imported, identityProviders=[OIDC])
    carol = cluster.realm.named("users", "username", "carol")
    # Somebody gave her one more group by hand, and she came in through a provider since.
    carol |= {"groups": [*carol["groups"], "/others"], "federatedIdentities": [{"identityProvider": "acme"}]}
    dave = {"username": "dave", "groups": ["mlflow-admins"]}
    assert cluster.run(users=[{**CAROL, "email": "c@example.com"}, dave], identityProviders=[OIDC]) == 0
    assert cluster.said[0].startswith("Nothing is remembered of this realm")
    assert cluster.changes == [
        "identity provider acme: config.clientSecret is written",
        "user carol: email: carol@example.com -> c@example.com",
        "user carol: joins mlflow-users",
        "user carol: leaves mlflow-admins",
        "user dave: is made",
        "user erin: is removed",
    ]
    assert sorted(carol["groups"]) == ["/mlflow-users", "/others"]


def test_nobody_is_put_back_into_a_group_where_the_memory_is_lost(cluster: Cluster) -> None:
    users = [{**CAROL, "groups": ["mlflow-admins"]}]
    cluster.run(users=users)
    carol, owner = (cluster.realm.named(*of) for of in (("users", "username", "carol"), OWNER))
    carol |= {"groups": ["/mlflow-users"], "email": "her-own@example.com"}
    del owner["attributes"][ATTRIBUTE]
    assert cluster.run(users=users) == 0
    assert cluster.changes == []
    assert carol["groups"] == ["/mlflow-users"]
    assert cluster.run() == 0
    assert cluster.changes == ["user carol: is removed"]


def test_somebody_from_elsewhere_is_not_taken_for_the_declared_one(cluster: Cluster) -> None:
    links = [{"identityProvider": "acme"}]
    cluster.realm._post("/users", {"username": "carol", "groups": [], "federatedIdentities": links})
    assert cluster.run(users=[CAROL]) == job.REFUSED
    assert "user carol, who is there" in cluster.said[-1]
    assert cluster.realm.calls == []


def other_tree(kept: str) -> str:
    """The memory as somebody who may change clients would write it: carol goes, whom the settings never named."""
    seal, _, _ = kept.partition(" ")
    tree = {"realm": "mlflow", "users": [{"username": "carol"}]}
    return f"{seal} {base64.b64encode(zlib.compress(json.dumps(tree).encode())).decode()}"


@pytest.mark.parametrize("change", [lambda _: "no seal", lambda kept: f"{kept}=", other_tree])
def test_a_memory_that_somebody_else_wrote_is_refused(cluster: Cluster, change: Callable[[str], str]) -> None:
    cluster.run()
    cluster.realm._post("/users", {"username": "carol", "groups": []})
    owner = cluster.realm.named(*OWNER)
    kept = owner["attributes"][ATTRIBUTE]
    owner["attributes"][ATTRIBUTE] = change(kept)
    assert cluster.run(lifetimes={"accessTokenSeconds": 60}) == job.REFUSED
    assert cluster.realm.calls == []
    assert f"attribute {ATTRIBUTE} of client mlflow-groups: expected what this stack's Job wrote" in cluster.said[-1]
    owner["attributes"][ATTRIBUTE] = ""
    assert cluster.run() == 0
    assert cluster.realm.named("users", "username", "carol")
    assert owner["attributes"][ATTRIBUTE] == kept


def test_another_program_that_changes_the_realm_leaves_no_memory_that_is_out_of_date(cluster: Cluster) -> None:
    cluster.run()
    forgotten(Actual(cluster.realm, cluster.said.append))  # type: ignore[arg-type]
    assert ATTRIBUTE not in cluster.realm.named(*OWNER)["attributes"]


@pytest.mark.parametrize("lacking", ["try_directory", "themes"])
def test_what_keycloak_lacks_is_waited_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    """Another Keycloak, which has the CA or the theme, may be on its way; a directory may be away for a moment."""
    answers: Tree = {"try_directory": ["no route", "no route"], "themes": [{"login": [{"name": "base"}]}] * 2}
    there = getattr(cluster.realm, lacking)
    left = answers[lacking]
    monkeypatch.setattr(cluster.realm, lacking, lambda *given: left.pop() if left else there(*given))
    more: Tree = {"try_directory": {"ldap": [LDAP]}, "themes": {"themes": {"login": "keycloak.v2"}}}
    assert cluster.run(**more[lacking]) == 0
    (said,) = [line for line in cluster.said if line.startswith("Waiting")]
    assert "nothing of the realm was changed" in said
    assert left == []


def test_a_name_of_somebodys_makes_no_line_of_its_own(cluster: Cluster) -> None:
    cluster.realm.settings["passwordPolicy"] = "x\nThe realm mlflow is as declared: 0 change(s)."
    assert cluster.run(passwordPolicy="length(20)") == 0
    assert cluster.changes
    assert not [line for line in cluster.said if "\n" in line]


def test_the_memory_is_found_at_another_client_where_the_realm_gave_its_own_another_name(cluster: Cluster) -> None:
    cluster.run(users=[CAROL])
    assert cluster.run(clientId="models") == 0
    assert "user carol: is removed" in cluster.changes
    assert "client mlflow-groups: is removed" in cluster.changes
    assert cluster.realm.named("clients", "clientId", "models-groups")["attributes"][ATTRIBUTE]
    assert cluster.run(clientId="models") == 0
    assert cluster.realm.calls == []


def test_it_waits_for_keycloak_and_says_so_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [KeycloakDownError("Keycloak does not answer", "wait")] * 3
    there = cluster.realm.realm

    def asked() -> Tree:
        if answers:
            raise answers.pop()
        return there()

    monkeypatch.setattr(cluster.realm, "realm", asked)
    assert cluster.run() == 0
    assert [line for line in cluster.said if line.startswith("Waiting")] == ["Waiting: Keycloak does not answer."]


def test_a_keycloak_that_fails_halfway_is_tried_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise KeycloakDownError("Keycloak answered 503", "wait")

    monkeypatch.setattr(cluster.realm, "request", down)
    assert cluster.run(users=[CAROL]) == 1
    assert cluster.said[-1].startswith("Failed: Keycloak answered 503; wait\n")


def test_what_was_made_before_a_failure_goes_when_the_declaration_is_taken_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.run(users=[CAROL])
    there = cluster.realm.request

    def request(method: str, path: str, **more: Any) -> Any:
        if (method, path) == ("POST", "/components"):
            raise KeycloakDownError("Keycloak answered 503", "wait")
        return there(method, path, **more)

    with monkeypatch.context() as failing:
        failing.setattr(cluster.realm, "request", request)
        promoted = {**CAROL, "email": "c@example.com", "groups": ["mlflow-admins"]}
        wanted: Tree = {"users": [promoted, {"username": "dave", "groups": ["mlflow-admins"]}], "ldap": [LDAP]}
        wanted["groups"] = {"admins": ["mlflow-admins"], "users": ["mlflow-users", "scientists"]}
        wanted["serviceAccounts"] = [{"clientId": "pipelines", "groups": ["mlflow-users"]}]
        assert cluster.run(**wanted) == 1
    assert cluster.realm.named("users", "username", "carol")["groups"] == ["/mlflow-admins"]
    assert cluster.run(users=[CAROL]) == 0
    taken_back = {
        "user carol: email: c@example.com -> carol@example.com",
        "user carol: joins mlflow-users",
        "user carol: leaves mlflow-admins",
        "user dave: is removed",
        "client pipelines: is removed",
        "group scientists: is removed",
    }
    assert taken_back <= set(cluster.changes)
    assert cluster.run(users=[CAROL]) == 0
    assert cluster.realm.calls == []


def test_the_image_has_every_library_that_the_program_imports() -> None:
    trees = (ast.parse(Path(name).read_text()) for name in load_versions().row("realm").tree)
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    known = {*sys.stdlib_module_names, "requests", "mlflow_sso_client", "components", "stackctl", "problems"}
    assert {name.partition(".")[0] for name in names} <= known


def test_the_image_has_what_the_program_imports_and_nothing_else() -> None:
    """Whatever is among its files gives it another tag, and so another run."""
    needed, new = set[str](), {"stackctl.realm.job"}
    while new:
        needed |= new
        above = {name.rpartition(".")[0] for name in new if "." in name}
        new = ({other for name in new for other in graph()[name]} | above) - needed
    files = {modules()[name].as_posix() for name in needed}
    assert set(load_versions().row("realm").tree) == files
