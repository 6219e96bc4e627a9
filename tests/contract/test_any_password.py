"""Passwords of any signs arrive at every program of the stack as they are, on every target.

Each secret of the definition is given a hostile value, generated ones as well: a store outside may hold anything.
What a target makes of it is then read as its reader reads it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from components.importing import importing_workloads
from components.observed import keycloak_view
from components.program import Component
from components.stack import stack_spec
from platforms.docker import compose
from platforms.docker.plan import DockerPlan
from platforms.docker.site import DockerPlatform
from platforms.kubernetes.objects.render import render
from platforms.kubernetes.plan import NAME_KEY, KubernetesPlan, Manifest
from platforms.secrets import (
    ConfigQuoted,
    ExpressionQuoted,
    ImportQuoted,
    Kept,
    Secret,
    SecretText,
    UrlQuoted,
    Written,
)
from platforms.site import ONLY, Secrets
from platforms.workload import Workload
from problems import StackError
from settings import PROJECT
from settings.kubernetes import Kubernetes
from stackctl.doctor.observed import KCADM
from stackctl.state import env_file
from tests.contract.engine import run_program
from tests.contract.kubernetes_samples import container, keepers, of_kind
from tests.contract.targets import interpolate
from tests.fakes import FakeDocker
from tests.samples import elsewhere, settings

HOSTILE = {
    "two dollars": "pa$$w0rd",
    "a reference": "a${HOME}b$${USER}",
    "an open reference": "a${b",
    "backslashes": "a\\b\\\\c\\$d\\${HOME}\\",
    "quotes": 'it\'s a "quote" `date` $(id)',
    "parts of a URL": "p%40@h:1/#?&=+;",
    "spaces inside": "a  b # c",
    "a dash first": "-n",
    "a sign of lists first": "#a,b|c",
    "braces": "{{ .x }} %s %(x)s {0}",
    "letters of others": "ümläut€日本🔑",
    "all at once": "p$$a${X}b\\$c\\\\d\\${HOME}'\"%@:/#  e ü€ $${X} $x $(id) {{ $",
}
OWN: dict[str, Any] = {"realm": {"users": [{"username": "carol", "password": "x"}]}}
SAMPLES = {"own": OWN, "elsewhere": elsewhere()}


def expression(text: str) -> str:
    """What SmallRye Config makes of a value in which nothing is to be looked up."""
    text = text.replace("\\$", "$$")
    read = re.sub(r"\$\$|\$\{", lambda found: "$" if found[0] == "$$" else "<looked up>", text)
    assert "<looked up>" not in read, text
    return read


def imported(text: str) -> str:
    assert "${" not in text, "Keycloak looks it up"
    return str(json.loads(f'"{text}"'))


def configured(text: str) -> str:
    """The one word that Redis reads (`sdssplitargs`)."""
    if not text.startswith('"'):
        assert not re.search(r"[\s\"']", text), text
        return text
    found = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', text)
    assert found, text
    return re.sub(r"\\(.)", r"\1", found[1])


READERS: Mapping[type, Callable[[str], str]] = {
    UrlQuoted: unquote,
    ExpressionQuoted: expression,
    ImportQuoted: imported,
    ConfigQuoted: configured,
}


def with_value(text: SecretText, value: str) -> SecretText:
    def given(part: str | Secret | Written) -> str | Secret | Written:
        if isinstance(part, str):
            return part
        if isinstance(part, Secret):
            return replace(part, value=value)
        return replace(part, secret=replace(part.secret, value=value))

    return SecretText(tuple(given(part) for part in text.parts))


def surrounded(text: SecretText) -> tuple[type, str, str]:
    """How the one secret in a text is spelt, and what stands before and after it."""
    place = next(number for number, part in enumerate(text.parts) if not isinstance(part, str))
    return type(text.parts[place]), "".join(map(str, text.parts[:place])), "".join(map(str, text.parts[place + 1 :]))


def stack(name: str, value: str) -> tuple[Workload, ...]:
    """The workloads of a sample, with every secret of this value."""
    return tuple(
        replace(w, secret_env={key: with_value(text, value) for key, text in w.secret_env.items()})
        for w in importing_workloads(stack_spec(settings(SAMPLES[name])))
    )


def in_compose(workloads: tuple[Workload, ...]) -> Mapping[str, Mapping[str, str]]:
    plan = DockerPlan(PROJECT, "test", workloads)
    secrets = {s.name: s for w in workloads for s in w.secrets}
    values = {name: secret.value or "" for name, secret in secrets.items()}
    lines = read_back(env_file(compose.env_values(secrets.values(), values, workloads)))
    document = yaml.safe_load(compose.render(plan, "127.0.0.1").compose)
    return {
        name: {key: interpolate(text, lines) for key, text in service.get("environment", {}).items()}
        for name, service in document["services"].items()
    }


def read_back(text: str) -> dict[str, str]:
    """What both generations of Compose read (python-dotenv; dotenv of compose-go), which agree on these forms."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if value.startswith("'"):
            assert re.fullmatch(r"'[^'\\]*'", value), line
            assert "${" not in value, line
            found[name] = value[1:-1]
            continue
        # The first generation ends a value at a quote that no backslash stands before, however many do.
        assert re.fullmatch(r'"(?:\\"|[^"])*"', value), line
        assert re.fullmatch(r'"(?:[^"\\]|\\["\\])*(?<!\\)"', value), line
        unescaped = re.sub(r"\\([\"\\])", r"\1", value[1:-1])
        found[name] = re.sub(r"\$\{(\w+)\}", lambda m: found[m[1]], unescaped)
    return found


def on_docker(workloads: tuple[Workload, ...]) -> Mapping[str, Mapping[str, str]]:
    checked = DockerPlatform(PROJECT, "test", "127.0.0.1").check(workloads)
    assert not checked.problems

    def program() -> Mapping[str, Any]:
        site, secrets = checked.prepare(ONLY), Secrets("secrets", ONLY)
        return {w.name: Component(w, site, secrets, ONLY).ready for w in workloads}

    containers = run_program(program, "test").of_type("docker:index/container:Container")
    return {
        name: dict(one.split("=", 1) for one in made.inputs["envs"])
        for name, made in containers.items()
        if "envs" in made.inputs
    }


def on_kubernetes(workloads: tuple[Workload, ...]) -> Mapping[str, Mapping[str, str]]:
    plan = KubernetesPlan(PROJECT, "test", workloads, Kubernetes())
    values = {s.name: s.value or "" for w in workloads for s in w.secrets}
    made = render(plan, {**values, NAME_KEY.name: "key"}, {})
    # As the files are read by kubectl.
    documents: list[Manifest] = [one for text in made.files().values() for one in yaml.safe_load_all(text)]
    held = of_kind(documents, "Secret")
    return {
        name: {
            one["name"]: held[one["valueFrom"]["secretKeyRef"]["name"]]["stringData"][one["name"]]
            for one in container(keeper)["env"]
            if "valueFrom" in one
        }
        for name, keeper in keepers(documents).items()
    }


TARGETS = {"docker": on_docker, "compose": in_compose, "kubernetes": on_kubernetes}


@pytest.fixture(autouse=True)
def fit(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    docker.images(*{w.image for name in SAMPLES for w in stack(name, "x")})
    docker.publishes(5000, 8080)


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_every_secret_of_a_stack_is_read_as_it_was_given(kind: str, target: str, sample: str) -> None:
    value, seen = HOSTILE[kind], 0
    workloads = stack(sample, value)
    made = TARGETS[target](workloads)
    for workload in workloads:
        for name, text in workload.secret_env.items():
            got = made[workload.name][name]
            spelling, before, after = surrounded(text)
            assert got.startswith(before), name
            assert got.endswith(after), name
            got = got[len(before) : len(got) - len(after)]
            assert READERS.get(spelling, str)(got) == value, f"{workload.name}: {name}"
            seen += 1
    assert seen >= 4


@pytest.mark.parametrize("spelling", READERS)
def test_every_spelling_leaves_letters_and_digits_as_they_are(spelling: type[Written]) -> None:
    """What a stack has generated stays the same text, so that no container of it is made anew."""
    assert spelling(Secret("a")).spelt("abcXYZ0189") == "abcXYZ0189"


@pytest.mark.parametrize("spelling", READERS)
@pytest.mark.parametrize("value", HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_spelt_is_read_back(value: str, spelling: type[Written]) -> None:
    spelt = spelling(Secret("a")).spelt(value)
    assert spelling.read(spelt) == READERS[spelling](spelt) == value


@pytest.mark.parametrize("value", HOSTILE.values(), ids=list(HOSTILE))
def test_a_pod_spells_what_its_cluster_alone_knows(value: str) -> None:
    """From a Secret that is there already: by the command that its pod starts with, in a real shell."""
    login = {"database": "d", "username": "u", "existingSecret": {"name": "db"}}
    external = {"host": "db.example.com", "mlflow": login, "oidc": {**login, "database": "e"}}
    config = {
        "platform": "kubernetes",
        "postgres": {"external": {**external, "keycloak": {**login, "database": "k"}}},
    }
    workloads = stack_spec(settings(config)).workloads
    keycloak = next(w for w in workloads if w.name == "keycloak")
    assert keycloak.secret_env["KC_DB_PASSWORD"].secrets[0].kept == Kept("db", "password")
    plan = KubernetesPlan(PROJECT, "test", workloads, settings(config).kubernetes)
    made = render(plan, {**{s.name: "x" for w in workloads for s in w.secrets}, NAME_KEY.name: "key"}, {})
    only = container(keepers([*made.objects])["keycloak"])
    # The kubelet takes a doubled sign for one (API reference, Container.command).
    bash, option, script, program = (word.replace("$$", "$") for word in only["command"])
    assert program == keycloak.program
    show = (bash, option, script, "bash", "-c", 'printf %s "$KC_DB_PASSWORD"')
    env = {"PATH": "/usr/bin:/bin", "KC_DB_PASSWORD": value}
    done = subprocess.run(show, env=env, capture_output=True, text=True, check=True)
    assert expression(done.stdout) == value


@pytest.mark.parametrize("value", HOSTILE.values(), ids=list(HOSTILE))
def test_the_doctor_reads_what_keycloak_reads(value: str) -> None:
    """From the variables of a container, and by a shell in it."""
    spelt = ExpressionQuoted(Secret("a")).spelt(value)
    env = {"KC_DB_URL": "jdbc:postgresql://db:5432/k", "KC_DB_USERNAME": "k", "KC_DB_PASSWORD": spelt}
    view = keycloak_view({**env, "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": spelt})
    assert view.database is not None
    assert (view.database.password, view.admin_client_secret) == (value, value)
    show = KCADM.format(command="true").partition("; ")[0] + '; printf %s "$KC_CLI_CLIENT_SECRET"'
    given = {"PATH": "/usr/bin:/bin", "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": spelt}
    assert subprocess.run(("bash", "-c", show), env=given, capture_output=True, text=True, check=True).stdout == value


WRONG = {"a line break": "a\nb", "a carriage return": "a\r", "NUL": "a\0b"}


@pytest.mark.parametrize("value", WRONG.values(), ids=list(WRONG))
def test_what_no_program_could_be_given_is_refused_by_its_key(value: str) -> None:
    login = {"username": "u", "password": value}
    config = {
        "realm": {"users": [{"username": "carol", "password": value}]},
        "mlflow": {"s3": {"bucket": "b", "accessKeyId": "a", "secretAccessKey": value}},
        "postgres": {
            "external": {
                "host": "db.example.com",
                **{part: {"database": part, **login} for part in ("mlflow", "oidc", "keycloak")},
            }
        },
        "redis": {"external": {"host": "cache.example.com", "password": value}},
    }
    with pytest.raises(StackError) as caught:
        settings(config)
    told = {problem.where.removeprefix(f"{PROJECT}:") for problem in caught.value.problems}
    assert told == {
        "realm.users[0].password",
        "mlflow.s3.secretAccessKey",
        *(f"postgres.external.{part}.password" for part in ("mlflow", "oidc", "keycloak")),
        "redis.external.password",
    }
    assert value not in str(caught.value)


def test_text_of_several_lines_is_no_password_and_stays_allowed() -> None:
    with pytest.raises(StackError) as caught:
        settings({"mlflow": {"secretEnv": {"A": "a\0b", "B": "two\nlines"}}})
    assert [problem.where for problem in caught.value.problems] == [f"{PROJECT}:mlflow.secretEnv.A"]


@pytest.mark.parametrize("value", [" a", "a ", "\ta"])
def test_spaces_that_keycloak_would_drop_are_refused(value: str) -> None:
    login = {"username": "u", "password": "x"}
    external: dict[str, Any] = {"host": "db.example.com"}
    for part in ("mlflow", "oidc", "keycloak"):
        external[part] = {"database": part, **login}
    external["keycloak"]["password"] = value
    with pytest.raises(StackError) as caught:
        settings({"postgres": {"external": external}})
    assert [problem.where for problem in caught.value.problems] == [f"{PROJECT}:postgres.external.keycloak.password"]
