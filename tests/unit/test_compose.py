"""The rendered files: no secret where others read, one variable for each secret, text that arrives as it was."""

from __future__ import annotations

import json
import re
import stat
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stack import stack_spec
from platforms.docker.compose import check_secrets, env_values, project_name, render
from platforms.docker.plan import DockerPlan
from platforms.secrets import Secret, SecretText, UrlQuoted
from platforms.workload import ExecCheck, Port, Probe, Protocol, Resources, Service, Workload
from problems import StackError
from settings import PROJECT
from stackctl.context import Context
from stackctl.engines.compose import ComposeTarget
from stackctl.state import env_file
from tests.samples import OPERATORS_OWN, OPERATORS_PASSWORD, everything, settings

COMPOSE = ComposeTarget()

# These differ in nothing but what the name of a variable may not hold.
ALIKE = ("client-a.b-secret", "client-a-b-secret", "client-a_b-secret", "client-A-b-secret", "client-a--b-secret")


def context(config: dict[str, Any] | None = None, stack: str = "test") -> Context:
    found = settings(config)
    return Context(stack, Path("Pulumi.test.yaml"), found, stack_spec(found))


def workload(**more: Any) -> Workload:
    runs = Service(Probe(local=ExecCheck(("true",))))
    given: dict[str, Any] = {"name": "one", "image": "x:1", "uid": 1, "resources": Resources(64, 1.0), "runs": runs}
    return Workload(**{**given, **more})


def service(one: Workload) -> dict[str, Any]:
    document = yaml.safe_load(render(DockerPlan(PROJECT, "test", (one,)), "127.0.0.1").compose)
    return dict(document["services"][one.name])


@pytest.mark.parametrize(("one", "other"), list(combinations(ALIKE, 2)))
def test_distinct_secrets_have_distinct_variables(one: str, other: str) -> None:
    assert Secret(one).variable != Secret(other).variable


@pytest.mark.parametrize("name", ALIKE)
def test_a_variable_is_one_that_a_shell_knows(name: str) -> None:
    assert re.fullmatch(r"[A-Z_][A-Z0-9_]*", Secret(name).variable)


def test_every_secret_of_a_stack_has_a_variable_of_its_own(tmp_path: Path) -> None:
    secrets = stack_spec(settings(everything(tmp_path))).secrets
    lines = env_values(secrets, {secret.name: "x" for secret in secrets})
    given = [secret for secret in secrets if secret.value is not None]
    assert given
    assert len(lines) == len(secrets) + len(given)


def test_an_operators_secret_is_there_as_it_is_and_as_part_of_a_url() -> None:
    secret = Secret("db-password", value=OPERATORS_PASSWORD)
    lines = env_values([secret], {secret.name: OPERATORS_PASSWORD})
    assert lines == {
        "DB_PASSWORD": OPERATORS_PASSWORD,
        "DB_PASSWORD_URL": "operators-own%2Fp%40ss%3Aw%25rd%20%231%3F",
    }
    env = {"URL": SecretText.of("db://u:", UrlQuoted(secret), "@h"), "PLAIN": SecretText.of(secret)}
    assert service(workload(secret_env=env))["environment"] == {
        "URL": "db://u:${DB_PASSWORD_URL}@h",
        "PLAIN": "${DB_PASSWORD}",
    }


def test_a_dollar_sign_stands_for_itself_everywhere() -> None:
    probe = Probe(local=ExecCheck(("sh", "-c", "test $HOME")))
    found = service(
        workload(
            env={"A": "$5 ${B} $$"},
            args=("--price=$5",),
            runs=Service(probe),
            secret_env={"C": SecretText.of("$", Secret("s"), "${x}")},
        )
    )
    assert found["environment"] == {"A": "$$5 $${B} $$$$", "C": "$$${S}$${x}"}
    assert found["command"] == ["--price=$$5"]
    assert found["healthcheck"]["test"] == ["CMD", "sh", "-c", "test $$HOME"]


@pytest.mark.parametrize("value", ["two\nlines", "cr\r"])
def test_a_secret_that_an_env_file_cannot_carry_is_refused_by_name(value: str) -> None:
    problems = check_secrets([Secret("fine"), Secret("db-password", value=value)])
    assert [problem.where for problem in problems] == ["secret db-password"]
    assert value not in str(problems[0])
    with pytest.raises(ValueError, match="line break"):
        env_file({"A": value})


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("it's", '"it\'s"'),
        ('a "quote"', r'"a \"quote\""'),
        ("back\\slash$", r'"back\\slash${STACK_DOLLAR}"'),
        ("${HOME}", '"${STACK_DOLLAR}{HOME}"'),
        ("end\\", r'"end\\${STACK_NOTHING}"'),
    ],
)
def test_what_both_generations_of_compose_would_change_is_written_another_way(value: str, line: str) -> None:
    """Both put variables into double quotes, and neither reads what it has put in."""
    signs = {"STACK_DOLLAR": "$", "STACK_NOTHING": ""}
    before = "".join(f"{name}='{sign}'\n" for name, sign in signs.items() if name in line)
    assert env_file({"B": "2", "A": value}) == f"{before}A={line}\nB='2'\n"


@pytest.mark.parametrize("value", ["plain", OPERATORS_PASSWORD, "a$b", "#hash", " space ", "ümlaut", "a=b"])
def test_any_other_secret_is_one_quoted_line(value: str) -> None:
    assert check_secrets([Secret("s", value=value)]) == []
    assert env_file({"B": "2", "A": value}) == f"A='{value}'\nB='2'\n"


def test_an_ipv6_bind_address_is_written_in_brackets() -> None:
    rendered = render(DockerPlan(PROJECT, "test", context().spec.workloads), "::1")
    ports = [port for s in yaml.safe_load(rendered.compose)["services"].values() for port in s.get("ports", ())]
    assert sorted(ports) == ["[::1]:5000:5000", "[::1]:8080:8080"]


def test_what_is_rendered_is_what_both_generations_of_compose_read(tmp_path: Path) -> None:
    document = yaml.safe_load(
        render(DockerPlan(PROJECT, "test", context(everything(tmp_path)).spec.workloads), "127.0.0.1").compose
    )
    assert set(document) == {"services", "networks", "volumes"}
    for found in document["services"].values():
        # Each of these is either unknown to one of them or leaves the order of starts to it.
        assert not {"depends_on", "deploy", "build", "secrets", "configs", "profiles", "env_file"} & set(found)
        assert [] not in found.values()
        assert {} not in found.values()


# The directory that `render` and the Compose engine write.


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    directory = tmp_path / "out"
    return directory, COMPOSE.write(context(everything(tmp_path)), directory)


def test_no_secret_is_in_a_file_but_the_two_private_ones(written: tuple[Path, dict[str, str]]) -> None:
    directory, values = written
    assert len(values) >= 15
    readable = [p for p in directory.rglob("*") if p.is_file() and p.name not in ("secrets.env", "secrets.json")]
    assert {"compose.yaml", "realm.json"} <= {path.name for path in readable}
    for path in readable:
        text = path.read_text()
        if path.name == "tls.key":
            continue
        assert OPERATORS_OWN not in text, path
        assert not [name for name, value in values.items() if value in text], path
    env = (directory / "secrets.env").read_text()
    assert [name for name, value in values.items() if value not in env] == []


def test_only_their_owner_reads_them(written: tuple[Path, dict[str, str]]) -> None:
    directory, _ = written
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in ("secrets.env", "secrets.json", "compose.yaml", "realm.json"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600


def test_every_reference_has_its_line(written: tuple[Path, dict[str, str]]) -> None:
    directory, _ = written
    lines = {line.split("=", 1)[0] for line in (directory / "secrets.env").read_text().splitlines()}
    text = (directory / "compose.yaml").read_text()
    references = set(re.findall(r"(?<!\$)\$\{(\w+)\}", text))
    assert references
    assert references <= lines


def test_the_realm_is_without_secrets_and_each_placeholder_reaches_keycloak(
    written: tuple[Path, dict[str, str]],
) -> None:
    directory, _ = written
    realm = (directory / "realm.json").read_text()
    placeholders = re.findall(r"\$\{(\w+)\}", realm)
    document = json.loads(realm)
    confidential = [one for one in document["clients"] if not (one["publicClient"] or one.get("bearerOnly"))]
    people = [user for user in document["users"] if "credentials" in user]
    assert len(placeholders) == len(set(placeholders)) == len(confidential) + len(people) == 7
    keycloak = yaml.safe_load((directory / "compose.yaml").read_text())["services"]["keycloak"]
    assert set(placeholders) <= set(keycloak["environment"])


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    config = everything(tmp_path)
    first = COMPOSE.write(context(config), tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert COMPOSE.write(context(config), tmp_path / "out") == first
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


def test_what_compose_cannot_do_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    existing = {"adminClientId": "a", "adminClientSecret": "its"}
    config = {
        "keycloak": {"url": "https://id.example.com", "existing": existing, "tls": {"proxy": True}},
        "mlflow": {"secretEnv": {"MODEL_KEY": "two\nlines"}},
    }
    with pytest.raises(StackError) as caught:
        COMPOSE.write(context(config), tmp_path / "out")
    message = str(caught.value)
    assert "secret mlflow-env-MODEL_KEY = [secret]: expected no line break in it for Compose" in message
    assert "mlflow-sso:keycloak.existing: expected ENGINE=pulumi" in message
    assert "two" not in message
    assert not (tmp_path / "out").exists()


def test_no_stack_is_another_one_to_compose() -> None:
    """docker-compose 1.29 lowers a project's name and drops dots; Compose 2 refuses such a name."""
    stacks = ("ab", "AB", "Ab", "a.b", "a..b", "a-b", "a_b")
    names = [project_name(DockerPlan(PROJECT, stack, ())) for stack in stacks]
    assert names[0] == "mlflow-sso-ab"
    assert [name for name in names if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)] == []
    assert len(set(names)) == len(stacks)


def test_the_env_file_holds_composes_name_of_the_stack(tmp_path: Path) -> None:
    COMPOSE.write(context(stack="Dev"), tmp_path)
    (line,) = [x for x in (tmp_path / "secrets.env").read_text().splitlines() if x.startswith("COMPOSE_PROJECT_NAME=")]
    assert line != "COMPOSE_PROJECT_NAME='mlflow-sso-Dev'"
    assert line.startswith("COMPOSE_PROJECT_NAME='mlflow-sso-dev-")


@pytest.mark.parametrize(
    "realm",
    [
        {"users": [{"username": "eve", "firstName": "${KC_DB_PASSWORD}"}]},
        {"users": [{"username": "eve", "email": "${KC_DB_PASSWORD}@example.com"}]},
        {"groups": {"users": ["a ${KC_DB_PASSWORD}"]}},
        {"displayName": "${REALM_USER_ALICE_PASSWORD}"},
        {"displayName": "KC_DB_PASSWORD ${x}"},
    ],
)
def test_no_text_of_the_realm_draws_a_secret_into_it(realm: dict[str, Any], tmp_path: Path) -> None:
    """Keycloak's import would show its database password to whoever reads that name."""
    COMPOSE.write(context({"realm": realm}), tmp_path)
    text = (tmp_path / "realm.json").read_text()
    placeholders = re.findall(r"\$\{(\w+)\}", text)
    assert len(placeholders) == len(set(placeholders))
    assert all(name.startswith("REALM_") for name in placeholders)
    assert r"\u0024{" in text


@pytest.mark.parametrize("ending", ["url", "expression", "import", "config"])
def test_no_secret_is_read_in_the_place_of_a_spelling_of_another_one(ending: str) -> None:
    secrets = (Secret("api", value="a@b"), Secret(f"api-{ending}"), Secret("api"))
    (problem,) = set(map(str, check_secrets(secrets)))
    assert problem == f"secret api-{ending}: expected another name: a spelling of secret api has its variable"


def test_a_label_arrives_as_it_is() -> None:
    one = workload(ports=(Port("m", 80, Protocol.HTTP, metrics="/m?x=${POSTGRES_PASSWORD}"),))
    assert service(one)["labels"]["prometheus.io/path"] == "/m?x=$${POSTGRES_PASSWORD}"
