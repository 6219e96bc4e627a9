"""What is told of settings that are right for few stacks alone, and refused of none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components.stack import stack_spec
from problems import StackError
from settings import PROJECT
from settings.notices import notices
from stackctl import cli
from stackctl.engines import pulumi_cli
from tests.samples import settings

FORWARDED: dict[str, Any] = {"mlflow": {"url": "http://localhost:9000", "port": 8088}}
LINE = (
    "mlflow-sso:mlflow.url names port 9000 of this machine, and MLflow is published at port 8088 "
    "(mlflow-sso:mlflow.port): that is right only where something forwards between them."
)


def test_a_loopback_url_with_another_port_than_the_published_one_is_told() -> None:
    assert list(notices(settings(FORWARDED))) == [LINE]
    # There `up` forwards that port.
    assert list(notices(settings({"platform": "kubernetes", **FORWARDED}))) == [LINE]
    both = {"mlflow": {"url": "http://[::1]", "port": 5000}, "keycloak": {"url": "http://sso.localhost", "port": 8081}}
    told = [line.partition(", and")[0] for line in notices(settings(both))]
    assert told == [f"mlflow-sso:{part}.url names port 80 of this machine" for part in ("mlflow", "keycloak")]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"mlflow": {"url": "http://localhost:9000"}},
        {"mlflow": {"url": "http://localhost:9000", "port": 9000}},
        # A proxy here or elsewhere is what forwards.
        {"mlflow": {"url": "https://localhost:8443", "port": 9000, "tls": {"proxy": True}}},
        {"mlflow": {"url": "https://mlflow.example.com", "port": 9000, "tls": {"proxy": True}}},
        {
            "platform": "kubernetes",
            "mlflow": {"url": "https://mlflow.localhost", "port": 9000},
            "keycloak": {"url": "https://sso.localhost"},
            "kubernetes": {"gateway": {"name": "public", "namespace": "gateways"}},
        },
        {
            "keycloak": {
                "url": "https://localhost:8443",
                "port": 9000,
                "tls": {"proxy": True},
                "existing": {"adminClientId": "a", "adminClientSecret": "b", "internalUrl": "http://sso:8080"},
            }
        },
    ],
)
def test_nothing_is_told_of_others(config: dict[str, Any]) -> None:
    assert list(notices(settings(config))) == []


@pytest.mark.parametrize("command", ["up", "preview"])
def test_the_commands_tell_it_once_on_standard_error(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise StackError("Enough.", [])

    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setattr(pulumi_cli, "unavailable", lambda plugin: None)
    monkeypatch.setattr(pulumi_cli, "preview", stop)
    monkeypatch.setattr(cli, "_preflight", stop)
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in FORWARDED.items()}}))
    engine = ("--engine", "compose") if command == "up" else ()
    done = CliRunner().invoke(cli.app, [command, "--stack", "test", "--config-file", str(file), *engine])
    assert done.stdout == ""
    assert done.stderr.splitlines()[:2] == [LINE, "error: Enough."]


ADMIN = {"adminClientId": "a", "adminClientSecret": "b"}
KEYCLOAK: dict[str, Any] = {"url": "https://sso.example.com", "tls": {"proxy": True}}
OTHERS: dict[str, Any] = {**KEYCLOAK, "existing": {**ADMIN, "createRealm": False}}


@pytest.mark.parametrize(
    ("config", "ends"),
    [
        ({}, True),
        ({"realm": {"leavers": False}}, False),
        ({"keycloak": {**KEYCLOAK, "existing": ADMIN}}, True),
        ({"keycloak": OTHERS}, False),
        ({"keycloak": OTHERS, "realm": {"leavers": True}}, True),
    ],
)
def test_what_stays_of_people_who_left_is_told_where_nobody_ends_it(config: dict[str, Any], ends: bool) -> None:
    found = settings(config)
    told = [line for line in notices(found) if "realm.leavers is off" in line]
    assert bool(told) is not ends
    spec = stack_spec(found)
    server = next(workload for workload in spec.workloads if workload.name == "mlflow")
    assert (spec.realm.people is not None) is ends
    assert ("MLFLOW_SSO_PEOPLE_SECRET" in server.secret_env) is ends
    assert ("MLFLOW_SSO_PEOPLE_CLIENT" in server.env) is ends


def test_the_runner_of_jobs_is_not_told_who_asks() -> None:
    found = stack_spec(settings({"mlflow": {"jobs": {}}})).workloads
    holders = {w.name for w in found if any("PEOPLE" in name for name in (*w.env, *w.secret_env))}
    assert holders == {"mlflow"}


@pytest.mark.parametrize("name", ["mlflow-people", "mlflow-groups"])
def test_the_ids_of_the_stacks_own_clients_are_taken(name: str) -> None:
    with pytest.raises(StackError, match="the stack has a client of its own by this one"):
        settings({"realm": {"serviceAccounts": [{"clientId": name, "groups": []}]}})
