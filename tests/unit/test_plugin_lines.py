"""A line of versions of the plugin is a file of its own: everything else asks what it can do, and never a version."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from mlflow_sso_client.logins import Login, LoginStore
from typer.testing import CliRunner, Result

from components.connection import Login as StoreLogin
from components.mlflow import mlflow_workloads, plugin_inputs
from components.plugin import lines
from components.plugin.before7 import BEFORE_7
from components.plugin.profile import (
    Ability,
    Fault,
    PluginInputs,
    PluginLine,
    PluginProfile,
    ServerInputs,
    Variables,
)
from components.plugin.since7 import SINCE_7
from components.stack import stack_spec
from platforms.running import Instance
from platforms.secrets import SecretText
from platforms.workload import Workload
from problems import StackError
from settings import ROOT
from settings.catalogue import load_versions
from settings.image_rows import parse_versions
from stackctl.cli import app
from stackctl.doctor import checks_login, checks_stores, checks_tokens
from stackctl.doctor.observed import Observed
from tests.samples import settings
from tests.unit.fakes import Fake, fake_server

USERS = "/api/2.0/mlflow/users"
NAMES = Variables(
    client_id="OIDC_CLIENT_ID",
    client_secret="OIDC_CLIENT_SECRET",
    discovery_url="OIDC_DISCOVERY_URL",
    redirect_uri="OIDC_REDIRECT_URI",
    scope="OIDC_SCOPE",
    groups_claim="OIDC_GROUPS_ATTRIBUTE",
    user_groups="OIDC_GROUP_NAME",
    admin_groups="OIDC_ADMIN_GROUP_NAME",
    users_database="OIDC_USERS_DB_URI",
)


class Flask(PluginProfile):
    """A throw-away line in the manner of 5.x: Flask, sessions in Redis by its parts, no REST API for tokens."""

    def env(self, inputs: PluginInputs) -> Mapping[str, str]:
        return {
            NAMES.client_id: inputs.client_id,
            NAMES.discovery_url: inputs.discovery_url,
            NAMES.redirect_uri: inputs.redirect_uri,
            NAMES.scope: inputs.scope,
            NAMES.groups_claim: inputs.groups_claim,
            NAMES.user_groups: ",".join(inputs.user_groups),
            NAMES.admin_groups: ",".join(inputs.admin_groups),
            "SESSION_TYPE": "redis",
            "REDIS_HOST": inputs.redis.host,
            "REDIS_PORT": str(inputs.redis.port),
            "REDIS_DB": str(inputs.redis.db),
        }

    def secret_env(self, inputs: PluginInputs) -> Mapping[str, SecretText]:
        password = inputs.redis.password
        return {
            NAMES.client_secret: inputs.client_secret,
            NAMES.users_database: inputs.users_db,
            "SECRET_KEY": inputs.secret_key,
            **({"REDIS_PASSWORD": SecretText.of(password)} if password else {}),
        }

    def command(self, server: ServerInputs) -> tuple[str, ...]:
        tls = ("--gunicorn-opts", f"--certfile {server.certificate} --keyfile {server.key}")
        words = ("mlflow", "server", "--app-name", "oidc-auth", "--port", str(server.port))
        return (*words, "--default-artifact-root", server.artifacts, *(tls if server.certificate else ()))

    def redis(self, env: Mapping[str, str]) -> StoreLogin | None:
        if "REDIS_HOST" not in env:
            return None
        port = int(env.get("REDIS_PORT", "6379"))
        return StoreLogin(env["REDIS_HOST"], port, env.get("REDIS_DB", "0"), "", env.get("REDIS_PASSWORD", ""))

    def contradictions(self, env: Mapping[str, str], redis: StoreLogin) -> Iterator[str]:
        return iter(())

    def cache_faults(self, env: Mapping[str, str]) -> Iterator[Fault]:
        if env.get("SESSION_TYPE") == "redis" and "REDIS_HOST" not in env:
            cause = "sessions are to be kept in Redis, and REDIS_HOST does not say where that is"
            yield Fault("SESSION_TYPE=redis without REDIS_HOST", cause)


LINE_5 = Flask(
    name="mlflow-oidc-auth 5.x",
    recipe="mlflow",
    live_path="/health",
    ready_path="/health",
    variables=NAMES,
    abilities=frozenset({Ability.GROUPS_FROM_CLAIM}),
    ignored={"CACHE_BACKEND": "SESSION_TYPE, which the stack sets"},
    misspelt={"OIDC_SCOPES": NAMES.scope},
)
# What this line cannot do has to be switched off.
OLD: dict[str, Any] = {"pluginVersion": "5.7.0", "provisionOnBearer": False}
# Several servers, which need a store that they share.
MANY: dict[str, Any] = {"replicas": 2, "s3": {"bucket": "models"}}


@pytest.fixture
def second_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a second line takes: its file, and a row of versions.yaml."""
    text = yaml.safe_load((ROOT / "versions.yaml").read_text())
    rows = text["mlflow"]["versions"]
    rows["5.7.0"] = rows["11.0.2"]
    known = parse_versions(yaml.safe_dump(text), ROOT)
    monkeypatch.setattr("settings.catalogue.load_versions", lambda *_: known)
    monkeypatch.setattr("settings.versions.load_versions", lambda *_: known)
    monkeypatch.setattr(lines, "LINES", {11: SINCE_7, 5: LINE_5})


def server(**config: Any) -> Workload:
    (found,) = mlflow_workloads(settings({"mlflow": {**OLD, **config}}))
    return found


def told(workload: Workload) -> dict[str, str]:
    """The environment of a workload's container."""
    return {**workload.env, **{name: filled(text) for name, text in workload.secret_env.items()}}


def filled(text: SecretText) -> str:
    return "".join(text.fold(str, lambda _: "s3cret/", lambda _: "s3cret%2F"))


def observed(env: Mapping[str, str], version: str = "5.7.0") -> Observed:
    instance = Instance("x-mlflow", "mlflow", True, f"mlflow-sso/mlflow:{version}-0123456789ab", env=dict(env))
    return Observed("x", "http://localhost:5000", requests.Session(), instances=(instance,))


def test_every_version_that_the_stack_offers_is_of_a_line_whose_recipe_is_there() -> None:
    for version in load_versions().images["mlflow"].versions:
        recipe = lines.plugin_profile(version).recipe
        assert (ROOT / "images" / recipe / "Dockerfile").is_file(), f"{version} of the plugin has no recipe"


@pytest.mark.parametrize(
    ("version", "line"),
    [("11.0.2", SINCE_7), ("11", SINCE_7), ("5.7.0", BEFORE_7), ("6.1.0", BEFORE_7), ("12.0", SINCE_7),
     ("main", SINCE_7), ("", SINCE_7), ("\u00b2", SINCE_7)],
)  # fmt: skip
def test_whatever_runs_is_judged_by_some_line(version: str, line: PluginLine) -> None:
    assert lines.line_seen(version) is line


def test_a_line_that_is_only_met_is_read_by_its_own_variables() -> None:
    env = {"SESSION_TYPE": "redis", "REDIS_HOST": "cache", "REDIS_PORT": "6380", "REDIS_PASSWORD": "pw"}
    view = BEFORE_7.read({**env, "OIDC_ISSUER": "x"})
    assert view.redis == StoreLogin("cache", 6380, "0", "", "pw")
    assert (view.issuer, view.names.issuer) == ("", ""), "it reads no such variable"
    assert BEFORE_7.read({**env, "SESSION_TYPE": "cachelib"}).redis is None
    assert BEFORE_7.read({**env, "REDIS_PORT": "tcp://10.0.0.1:6379"}).redis == StoreLogin("cache", 6379, "0", "", "pw")


@pytest.mark.parametrize("line", [SINCE_7, LINE_5], ids=lambda line: line.name)
def test_what_mlflow_was_told_is_read_back_as_it_was_meant(line: PluginProfile) -> None:
    groups = {"admins": ["a", "b c"], "users": ["d"]}
    inputs = plugin_inputs(settings({"realm": {"groups": groups}, "redis": {"db": 3}}))
    names = line.variables
    env = {**line.env(inputs), **{name: filled(text) for name, text in line.secret_env(inputs).items()}}
    view = line.read(env)
    assert (view.client_id, view.client_secret, view.discovery_url, view.redirect_uri) == (
        inputs.client_id, "s3cret/", inputs.discovery_url, inputs.redirect_uri,
    )  # fmt: skip
    assert (view.scope, view.groups_claim, view.user_groups, view.admin_groups) == (
        inputs.scope, inputs.groups_claim, inputs.user_groups, inputs.admin_groups,
    )  # fmt: skip
    assert view.audience == (inputs.audience if names.audience else "")
    assert view.issuer == (inputs.issuer if names.issuer else "")
    assert view.redis == StoreLogin("redis", 6379, "3", "", "s3cret/")
    assert view.users_database == StoreLogin("postgres", 5432, "oidc", "oidc", "s3cret/")
    assert (view.cache_faults, view.contradictions, view.misspelt, view.ignored) == ((), (), {}, {})
    assert "s3cret" not in repr(view)


def server_of_today() -> Workload:
    (found,) = mlflow_workloads(settings())
    return found


class TestWorkload:
    def test_it_is_run_by_its_own_profile(self, second_line: None) -> None:
        workload = server()
        assert workload.image.startswith("mlflow-sso/mlflow:5.7.0-")
        assert workload.args[:4] == ("mlflow", "server", "--app-name", "oidc-auth")
        assert workload.env["SESSION_TYPE"] == "redis"
        assert workload.env["REDIS_HOST"] == "redis"
        assert not [name for name in told(workload) if name.startswith("CACHE_")]
        assert "/health" in str(workload.runs)
        assert "/health/ready" not in str(workload.runs)

    def test_what_is_mlflows_own_is_the_same_with_every_line(self, second_line: None) -> None:
        own = {name for name in told(server_of_today()) if name.startswith("MLFLOW_")}
        assert own == {name for name in told(server()) if name.startswith("MLFLOW_")}
        assert own

    def test_without_an_intake_of_traces_nobody_may_send_any(self, second_line: None) -> None:
        assert server_of_today().reserved is not None
        assert server().reserved is None

    @pytest.mark.parametrize(
        ("config", "key", "ability"),
        [
            ({"mlflow": {**OLD, **MANY}, "platform": "kubernetes"}, "mlflow.replicas", Ability.SHARED_CACHE),
            (
                {"mlflow": {**OLD, **MANY, "replicas": 1, "maxReplicas": 3}, "platform": "kubernetes"},
                "mlflow.maxReplicas",
                Ability.SHARED_CACHE,
            ),
            ({"mlflow": {**OLD, "workers": 2}}, "mlflow.workers", Ability.SHARED_CACHE),
            ({"mlflow": {**OLD, "jobs": {}}}, "mlflow.jobs", Ability.JOBS),
            ({"mlflow": {"pluginVersion": "5.7.0"}}, "mlflow.provisionOnBearer", Ability.BEARER_PROVISIONING),
            (
                {"mlflow": OLD, "realm": {"groups": {"admins": ["a", "b"], "users": ["c"]}}},
                "realm.groups.admins",
                Ability.SEVERAL_ADMIN_GROUPS,
            ),
            (
                {"mlflow": OLD, "platform": "kubernetes", "kubernetes": {"mesh": {"collectorAccount": "otel"}}},
                "kubernetes.mesh.collectorAccount",
                Ability.TRACE_INTAKE,
            ),
        ],
    )
    def test_what_it_cannot_do_is_refused_by_its_key(
        self, config: dict[str, Any], key: str, ability: Ability, second_line: None
    ) -> None:
        with pytest.raises(StackError) as refused:
            stack_spec(settings(config))
        (problem,) = refused.value.problems
        assert problem.where == f"mlflow-sso:{key}"
        assert f"mlflow-oidc-auth 5.x has no {ability}" in problem.expected

    def test_everything_it_cannot_do_is_refused_at_once(self, second_line: None) -> None:
        with pytest.raises(StackError) as refused:
            stack_spec(settings({"mlflow": {"pluginVersion": "5.7.0", **MANY, "workers": 2}, "platform": "kubernetes"}))
        keys = [problem.where.removeprefix("mlflow-sso:mlflow.") for problem in refused.value.problems]
        assert keys == ["replicas", "workers", "provisionOnBearer"]

    def test_variables_of_other_versions_are_refused_by_what_counts(self, second_line: None) -> None:
        with pytest.raises(StackError, match="SESSION_TYPE, which the stack sets"):
            stack_spec(settings({"mlflow": {**OLD, "env": {"CACHE_BACKEND": "redis"}}}))


class TestDoctor:
    def test_a_server_as_it_was_made_has_no_findings(self, second_line: None) -> None:
        seen = observed(told(server()))
        assert seen.plugin is LINE_5
        for check in (checks_stores.cache_store, checks_stores.redis, checks_tokens.audience):
            assert list(check(seen)) == []
        # Nothing checks them here, so nothing is amiss where they are not set.
        assert list(checks_tokens.issuer(seen)) == []
        assert seen.mlflow is not None
        assert seen.mlflow.redis == StoreLogin("redis", 6379, "0", "", "s3cret/")

    def test_its_own_variables_are_judged(self, second_line: None) -> None:
        (finding,) = checks_stores.cache_store(observed({"SESSION_TYPE": "redis"}))
        assert (finding.id, finding.evidence) == ("cache-store", "SESSION_TYPE=redis without REDIS_HOST")
        (finding,) = checks_stores.cache_store(observed({"CACHE_BACKEND": "redis"}))
        assert "what counts: SESSION_TYPE" in finding.cause

    @pytest.mark.parametrize(
        "image", ["mlflow-sso/mlflow:5.7.0-0123456789ab", "r:5000/mlflow:5.7.0", "mlflow:5@sha256:11"]
    )
    def test_a_version_is_read_from_an_images_tag(self, image: str, second_line: None) -> None:
        instance = Instance("x-mlflow", "mlflow", True, image, env={})
        assert Observed("x", "", requests.Session(), instances=(instance,)).plugin is LINE_5

    def test_a_host_that_is_the_container_itself_is_found_without_a_url(self, second_line: None) -> None:
        (finding,) = checks_login.localhost(observed({"REDIS_HOST": "localhost"}))
        assert "the address of Redis" in finding.evidence

    @pytest.mark.parametrize(
        "image",
        ["mlflow", "registry:5000/mlflow", "registry:5000/mlflow:mine", "registry.example.com/mlflow@sha256:0123"],
    )
    def test_an_image_without_a_version_is_taken_for_that_of_the_settings(self, image: str, second_line: None) -> None:
        instance = Instance("x-mlflow", "mlflow", True, image, env={})
        seen = Observed("x", "http://localhost:5000", requests.Session(), instances=(instance,))
        assert replace(seen, settings=settings({"mlflow": OLD})).plugin is LINE_5
        assert seen.plugin is SINCE_7


class TestCommands:
    @pytest.fixture
    def stack(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second_line: None) -> Iterator[tuple[Fake, Path]]:
        """A stack of this line that was brought up here, with an administrator's login, and its settings."""
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        file = tmp_path / "Pulumi.dev.yaml"
        file.write_text(yaml.safe_dump({"config": {"mlflow-sso:mlflow": OLD}}))
        with fake_server() as fake:
            url, issuer = fake.url, fake.issuer()
            until = time.time() + 300
            login = Login(url, issuer, "mlflow-cli", "root", "password", False, "bearer", time.time(), until, "refresh")
            LoginStore("dev").write(login)
            outputs = {
                "mlflow_url": url,
                "issuer_url": issuer,
                "cli_client_id": "mlflow-cli",
                "provisioner": {"client_id": "p", "client_secret": "s", "realm": "master", "url": url},
            }
            monkeypatch.setattr("stackctl.people.connection.outputs", lambda *_: outputs)
            yield fake, file

    def run(self, stack: tuple[Fake, Path], *words: str) -> Result:
        fake, file = stack
        done = CliRunner().invoke(app, [*words, "--config-file", str(file)])
        assert "Traceback" not in done.output
        assert [f"{one.method} {one.path}" for one in fake.asked] == [], "a server was asked before the refusal"
        return done

    @pytest.mark.parametrize(
        "words",
        [
            ("tokens", "list"),
            ("tokens", "create", "--name", "nightly"),
            ("tokens", "delete", "--all", "--yes"),
        ],
    )
    def test_tokens_are_refused_by_name(self, words: tuple[str, ...], stack: tuple[Fake, Path]) -> None:
        done = self.run(stack, *words)
        assert done.exit_code == 2
        assert "mlflow-oidc-auth 5.x has no personal access tokens" in done.stderr

    @pytest.mark.parametrize("words", [("sessions", "list"), ("sessions", "revoke", "--user", "bob", "--yes")])
    def test_sessions_of_pages_are_refused_by_name(self, words: tuple[str, ...], stack: tuple[Fake, Path]) -> None:
        done = self.run(stack, *words)
        assert done.exit_code == 2
        assert f"mlflow-oidc-auth 5.x has no {Ability.PAGE_SESSIONS}" in done.stderr

    def test_a_revocation_that_would_leave_something_is_refused_by_all_that_it_lacks(
        self, stack: tuple[Fake, Path]
    ) -> None:
        done = self.run(stack, "revoke", "bob", "--everything", "--disable", "--yes")
        assert done.exit_code == 2
        for ability in (Ability.PERSONAL_TOKENS, Ability.PAGE_SESSIONS, Ability.ACCOUNT_STATES):
            assert f"no {ability}" in done.stderr

    def test_a_stack_of_a_line_that_can_is_let_through(self, stack: tuple[Fake, Path]) -> None:
        fake, file = stack
        file.write_text("config: {}\n")
        fake.routes[f"GET {USERS}/current"] = 200, {"username": "root", "is_admin": True, "is_service_account": False}
        fake.routes[f"GET {USERS}/current/tokens"] = 200, {"tokens": []}
        done = CliRunner().invoke(app, ["tokens", "list", "--config-file", str(file), "-o", "json"])
        assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_every_ability_is_asked_for_somewhere() -> None:
    """An ability that nobody asks for would promise a refusal that does not come."""
    sources = [path for room in ("components", "stackctl") for path in (ROOT / room).rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources if path.parent.name != "plugin" or path.name == "refusals.py")
    assert set(re.findall(r"Ability\.([A-Z_]+)", text)) == set(Ability.__members__)
