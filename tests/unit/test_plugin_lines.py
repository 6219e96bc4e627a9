"""A line of plugin versions is a file and a row: whatever depends on a version asks the profile."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.mlflow import mlflow_workloads, plugin_inputs
from components.plugin import lines
from components.plugin.profile import Ability, Fault, MlflowView, PluginInputs, PluginProfile
from components.plugin.since7 import SINCE_7
from platforms.running import Instance
from platforms.secrets import SecretText
from problems import StackError
from settings import ROOT, parse
from stackctl.cli import app
from stackctl.doctor import checks_stores
from stackctl.doctor.observed import Observed, profile_of

# The plugin's own variables. A version that does not read one ignores it without a word.
OF_THE_PLUGIN = re.compile(r"(OIDC|CACHE|SESSION|TRUSTED_PROXIES|DEFAULT_MLFLOW)_[A-Z_]+|SESSION_TYPE|SECRET_KEY")
# Names that look like the plugin's and are somebody else's, or stand where no profile can be asked.
ELSEWHERE = {
    ("components/stack.py", "OIDC_CLIENT_ID"): "keys of the Secret that pipelines read",
    ("components/stack.py", "OIDC_CLIENT_SECRET"): "keys of the Secret that pipelines read",
    ("components/stack.py", "OIDC_TOKEN_URL"): "keys of the Secret that pipelines read",
    ("stackctl/images/seed.py", "OIDC_USERS_DB_URI"): "the image's own migration, whose text is the seed's",
    ("stackctl/doctor/probes.py", "OIDC_USERS_DB_URI"): "a program that runs in the container and has no profile",
}


class Throwaway(PluginProfile):
    """A line as 5.x is: sessions in Redis by variables of their own, and fewer abilities."""

    def env(self, inputs: PluginInputs) -> Mapping[str, str]:
        return {"SESSION_TYPE": "redis", "SESSION_REDIS": inputs.redis_host, "OIDC_SCOPE": inputs.scope}

    def secret_env(self, inputs: PluginInputs) -> Mapping[str, SecretText]:
        return {"OIDC_CLIENT_SECRET": inputs.client_secret}

    def read(self, env: Mapping[str, str]) -> MlflowView:
        return SINCE_7.read({**env, "CACHE_BACKEND": "of the other line"})

    def store_faults(self, view: MlflowView) -> Iterator[Fault]:
        yield Fault("seen by the throw-away line", view.session_type)


THROWAWAY = Throwaway(
    recipe="mlflow", app_name="throw-away", live_path="/l", ready_path="/r", abilities=frozenset(), ignored={}
)


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINES", {11: THROWAWAY})


def test_a_second_line_is_run_as_it_says(second: None) -> None:
    (server,) = mlflow_workloads(parse({}, "x"))
    assert server.env["SESSION_TYPE"] == "redis"
    assert "CACHE_BACKEND" not in server.env
    assert server.args[:4] == ("mlflow", "server", "--app-name", "throw-away")
    assert server.service.probe.http is not None
    assert server.service.probe.http.path == "/r"
    assert server.reserved is None, "it has no intake to guard"


def test_what_a_line_cannot_do_is_refused_by_name(
    second: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StackError, match=r"expected 1: version 11\.0\.2 of the plugin keeps sessions in one server"):
        mlflow_workloads(parse({"mlflow-sso:mlflow": {"replicas": 2}}, "x"))
    monkeypatch.setattr(
        "stackctl.people.connection.outputs",
        lambda *_: {
            "cli_client_id": "c",
            "mlflow_url": "http://localhost:1",
            "issuer_url": "http://localhost:2/realms/m",
        },
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for words in (["tokens", "list"], ["sessions", "list"], ["revoke", "bob", "--everything", "--yes"]):
        done = CliRunner().invoke(app, [*words, "--stack", "dev"])
        assert done.exit_code == 2
        named = Ability.PAGE_SESSIONS if words[0] == "sessions" else Ability.PERSONAL_TOKENS
        assert f"has no {named.value}" in done.stderr


def test_the_doctor_reads_and_judges_by_the_line_that_runs(second: None) -> None:
    running = Instance("x-mlflow", "mlflow", True, "mlflow-sso/mlflow:11.0.2-0", env={"SESSION_TYPE": "redis"})
    assert profile_of(running, None) is THROWAWAY
    seen = Observed(stack="x", mlflow_url="http://localhost:1", http=None, instances=(running,))  # type: ignore[arg-type]
    assert [finding.evidence for finding in checks_stores.cache_store(seen)] == ["seen by the throw-away line"]


def test_every_line_reads_back_what_it_writes() -> None:
    inputs = plugin_inputs(parse({}, "x"))
    for profile in lines.LINES.values():
        texts = {n: "".join(t.fold(str, lambda _: "s", lambda _: "s")) for n, t in profile.secret_env(inputs).items()}
        view = profile.read({**profile.env(inputs), **texts})
        assert (view.client_id, view.scope, view.issuer) == (inputs.client_id, inputs.scope, inputs.issuer)
        assert list(profile.store_faults(view)) == []
        assert (ROOT / "images" / profile.recipe / "Dockerfile").is_file()


@pytest.mark.parametrize("version", ["11.0.2", "11", "5.7.0", "999.0", "", "main"])
def test_whatever_runs_is_judged_by_some_line(version: str) -> None:
    assert isinstance(lines.profile_seen(version), PluginProfile)


def test_no_other_room_spells_a_variable_of_the_plugin() -> None:
    found = set()
    for room in ("components", "platforms", "settings", "stackctl", "client"):
        for path in (ROOT / room).rglob("*.py"):
            where = path.relative_to(ROOT).as_posix()
            if where.startswith("components/plugin/"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= {(where, m[0]) for m in [OF_THE_PLUGIN.fullmatch(node.value)] if m}
    assert found == set(ELSEWHERE)
