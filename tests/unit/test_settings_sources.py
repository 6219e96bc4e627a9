"""The same configuration gives the same settings, whether it comes through the engine or from the file."""

from __future__ import annotations

import json
import runpy
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.rules import RULES
from components.stack import stack_spec
from problems import StackError
from settings import PROJECT, ROOT, Environment, Settings, from_engine, from_files
from tests.samples import elsewhere, everything, settings
from tests.unit.asgi_client import run


def as_engine_hands_it_over(value: object) -> str:
    """Containers as JSON, scalars as text (Pulumi, "Structured configuration")."""
    if isinstance(value, str):
        return value
    return json.dumps(value)


def handed_over(config: dict[str, Any]) -> dict[str, str]:
    return {f"{PROJECT}:{key}": as_engine_hands_it_over(value) for key, value in config.items()}


def written(config: dict[str, Any], root: Path) -> Path:
    """The folder with the stack file that holds this configuration."""
    document = {"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}
    (root / "Pulumi.test.yaml").write_text(yaml.safe_dump(document))
    return root


def both(config: dict[str, Any], root: Path) -> tuple[Settings, Settings]:
    return from_engine(handed_over(config), "test", root), from_files("test", written(config, root))


CONFIGS: list[dict[str, Any]] = [
    {},
    {"environment": "prod", "realm": {"sampleUsers": True, "directAccessGrants": False}},
    {"mlflow": {"workers": 3, "metrics": False, "env": {"A": "1", "B": "true", "C": "{}", "D": "[x"}}},
    {"mlflow": {"workers": "3", "metrics": "false"}},
    {"redis": {"db": 0, "persistent": True, "maxMemoryMib": 128}},
    {"postgres": {"version": 15}, "redis": {"version": "8.0"}},
    {"postgres": {"version": "15"}, "redis": {"version": 8.0}},
    {"realm": {"groups": {"admins": ["a"], "users": ["b", "c"]}, "users": [{"username": "x", "groups": ["b"]}]}},
    {"realm": {"lifetimes": {"accessTokenSeconds": 60}}},
    {"caBundle": ""},
    {"mlflow": {}, "keycloak": {}, "realm": {}, "postgres": {}, "redis": {}, "docker": {}, "images": {}},
]


@pytest.mark.parametrize("config", CONFIGS, ids=[json.dumps(config)[:60] for config in CONFIGS])
def test_engine_and_file_agree(config: dict[str, Any], tmp_path: Path) -> None:
    through_engine, from_file = both(config, tmp_path)
    assert through_engine == from_file


def test_engine_and_file_agree_on_whole_stacks(tmp_path: Path) -> None:
    for config in (everything(tmp_path), elsewhere()):
        through_engine, from_file = both(config, tmp_path)
        assert through_engine == from_file == settings(config, root=tmp_path)


def test_values_arrive_with_their_types(tmp_path: Path) -> None:
    found, _ = both({"mlflow": {"workers": "3", "metrics": "false"}, "postgres": {"version": 15}}, tmp_path)
    assert found.mlflow.workers == 3
    assert found.mlflow.metrics is False
    assert found.postgres.version == "15"


@pytest.mark.parametrize("config", [{"mlflow": {"workers": "x"}}, {"environment": "[dev"}, {"realm": ["a"]}])
def test_engine_and_file_refuse_alike(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(StackError) as from_file:
        from_files("test", written(config, tmp_path))
    with pytest.raises(StackError) as through_engine:
        from_engine(handed_over(config), "test")
    assert str(from_file.value) == str(through_engine.value)


def test_json_that_is_cut_off_is_refused_where_it_stands() -> None:
    with pytest.raises(StackError, match=r"mlflow-sso:mlflow = \[secret\]: expected keys with values"):
        from_engine({f"{PROJECT}:mlflow": '{"port": 1'}, "test")


def test_the_engines_program_tells_of_variables_and_settings_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config = handed_over({"mlflow": {"workers": "x", "env": {"OIDC_ISSUER": "x"}}})
    monkeypatch.setattr("pulumi.runtime.config.CONFIG", ContextVar("config", default=config))
    monkeypatch.setattr("pulumi.get_stack", lambda: "test")
    monkeypatch.setattr("gc.disable", lambda: None)
    # The engine awaits the program once its file was read.
    monkeypatch.setattr("pulumi.run", lambda program: run(program()))
    with pytest.raises(pulumi.RunError) as refused:
        runpy.run_path(str(ROOT / "__main__.py"))
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[2].split()[0] for line in lines[1:]] == ["mlflow.workers", "mlflow.env.OIDC_ISSUER:"]


# The file itself.


def write(root: Path, text: str) -> Path:
    path = root / "Pulumi.test.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["", "config:\n", "config: {}\n", "encryptionsalt: v1:x\n"])
def test_a_file_that_says_nothing_is_the_default_stack(text: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    assert from_files("test", tmp_path) == settings(root=tmp_path)


def test_a_stack_without_a_file_names_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(StackError, match=r"stack = tset: expected one of test, or a new Pulumi\.tset\.yaml"):
        from_files("tset", tmp_path)


@pytest.mark.parametrize("text", ["config: [", "config: 5", "config: [a]", "\tconfig:"])
def test_a_file_that_cannot_be_read_is_named(text: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    with pytest.raises(StackError, match=r"Pulumi\.test\.yaml cannot be read\.\n  - "):
        from_files("test", tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_bytes(b"\xff\xfe\x00c")
    with pytest.raises(StackError, match=r"Pulumi\.test\.yaml cannot be read\."):
        from_files("test", tmp_path)


def test_another_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("config: {mlflow-sso:environment: prod}")
    assert from_files("test", tmp_path, file=path).environment is Environment.PROD


ENCRYPTED = """\
encryptionsalt: v1:x
config:
  mlflow-sso:realm:
    users:
      - username: x
        password: {secure: v1:cipher}
  mlflow-sso:redis:
    external: {host: h, password: {secure: v1:cipher}}
"""


def test_encrypted_values_are_named_and_left_to_the_engine(tmp_path: Path) -> None:
    write(tmp_path, ENCRYPTED)
    with pytest.raises(StackError) as caught:
        from_files("test", tmp_path)
    message = str(caught.value)
    assert "mlflow-sso:realm.users[0].password = [secret]: expected ENGINE=pulumi" in message
    assert "mlflow-sso:redis.external.password = [secret]" in message
    assert "cipher" not in message


def test_what_is_wrong_with_a_file_and_in_it_is_told_at_once(tmp_path: Path) -> None:
    beside = "mlflow: {}\nconfig:\n  aws:region: x\n  mlflow-sso:mlflow: {workers: {secure: v1:cipher}, env: 5}\n"
    write(tmp_path, beside)
    with pytest.raises(StackError) as caught:
        from_files("test", tmp_path)
    named = ["mlflow", "mlflow-sso:mlflow.workers", "aws:region", "mlflow-sso:mlflow.env"]
    assert [problem.where for problem in caught.value.problems] == named
    assert caught.value.headline.startswith("4 settings are wrong")


def test_encrypted_values_are_no_hindrance_where_no_secret_matters(tmp_path: Path) -> None:
    write(tmp_path, ENCRYPTED)
    assert from_files("test", tmp_path, encrypted=True).realm.users[0].username == "x"


def test_values_that_the_engine_alone_reads_are_not_taken_for_one_another(tmp_path: Path) -> None:
    users = "[{username: a, email: {secure: x}}, {username: b, email: {secure: y}}]"
    write(tmp_path, f"config:\n  mlflow-sso:realm: {{users: {users}}}\n")
    stack_spec(from_files("test", tmp_path, encrypted=True, rules=RULES))


@pytest.mark.parametrize("stray", ["  mlflow: {}\n", "mlflow: {}\n"])
def test_a_key_of_another_name_hides_no_mistake_of_a_group(stray: str, tmp_path: Path) -> None:
    write(tmp_path, "config:\n  mlflow-sso:mlflow: {env: {OIDC_ISSUER: x}, replicas: 2}\n" + stray)
    with pytest.raises(StackError) as caught:
        from_files("test", tmp_path, rules=RULES)
    wrong = {"mlflow", "mlflow-sso:mlflow.env.OIDC_ISSUER", "mlflow-sso:mlflow.replicas"}
    assert {problem.where for problem in caught.value.problems} == wrong


@pytest.mark.parametrize("path", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_every_stack_of_this_repository_is_right(path: Path) -> None:
    from_files(path.name.split(".")[1], file=path, encrypted=True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{PROJECT}:environment: prod\n", f"{PROJECT}:environment"),
        (f"Config:\n  {PROJECT}:environment: prod\n", "Config"),
        ("config: {}\nmlflow: {}\n", "mlflow"),
        ("just text\n", "Pulumi.test.yaml"),
        ("- config\n", "Pulumi.test.yaml"),
        (f"config:\n  {PROJECT}:mlflow: {{port: 1}}\n  {PROJECT}:mlflow: {{workers: 2}}\n", f"{PROJECT}:mlflow"),
        (f"config:\n  {PROJECT}:mlflow:\n    port: 5001\n    port: 5002\n", "port"),
    ],
)
def test_what_would_be_passed_over_in_a_file_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "Pulumi.test.yaml").write_text(text)
    with pytest.raises(StackError) as error:
        from_files("test", tmp_path)
    assert named in str(error.value)


def test_keys_that_are_merged_stand_once(tmp_path: Path) -> None:
    text = f"config:\n  {PROJECT}:mlflow: &a {{port: 5001}}\n  {PROJECT}:keycloak:\n    <<: *a\n    port: 8081\n"
    (tmp_path / "Pulumi.test.yaml").write_text(text)
    assert from_files("test", tmp_path).keycloak.port == 8081


def test_what_is_merged_and_overridden_in_an_anchor_stands_once_too(tmp_path: Path) -> None:
    text = (
        f"config:\n  {PROJECT}:mlflow:\n    limits: &a {{<<: {{requestMib: 9, traceMib: 9}}, requestMib: 8}}\n"
        f"  {PROJECT}:keycloak: {{port: 8081}}\n  pulumi:x: {{<<: *a}}\n"
    )
    (tmp_path / "Pulumi.test.yaml").write_text(text)
    limits = from_files("test", tmp_path).mlflow.limits
    assert (limits.request_mib, limits.trace_mib) == (8, 9)


def test_a_mistake_names_the_file_that_it_stands_in(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"config:\n  {PROJECT}:mlflow: {{prt: 1}}\n")
    with pytest.raises(StackError, match=r"mine\.yaml"):
        from_files("test", tmp_path, file=file)


@pytest.mark.parametrize("spelling", ["serviceAccountKey", "service_account_key", "ServiceAccountKey"])
def test_a_secret_is_not_shown_however_its_key_is_spelt(tmp_path: Path, spelling: str) -> None:
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(f"config:\n  {PROJECT}:mlflow: {{gcs: {{bucket: b, {spelling}: 'SUPERSECRET'}}}}\n")
    with pytest.raises(StackError) as error:
        from_files("test", tmp_path)
    assert "SUPERSECRET" not in str(error.value)
    assert str(error.value).count(spelling) == 1
