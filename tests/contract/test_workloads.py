"""What a Workload promises is true on every target, or the target refuses it by name."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import combinations
from urllib.parse import quote

import pytest

from platforms.docker_plan import LABEL_COMPONENT, LABEL_PROJECT, LABEL_STACK, DockerPlan
from platforms.workload import Secret, SecretText, UrlQuoted, Workload
from settings import PROJECT, Settings
from tests.contract.targets import TARGETS, Made, Target, secret_value
from tests.samples import OPERATORS_PASSWORD, settings

# Where each promise is kept to: a field that is added has to be put to the test, or named here with the reason.
TESTED = {
    *("name", "image", "uid", "resources", "probe", "args", "env", "secret_env", "files", "ports", "volumes"),
    *("writable", "callers", "replicas"),
}
OF_THE_ENGINE_ALONE = {"stop_seconds", "wait_seconds"}


def pairs(target: Target, sample: Settings) -> list[tuple[Workload, Made]]:
    made = target.deploy(sample, "test")
    workloads = target.workloads(sample, "test")
    assert sorted(made) == sorted(workload.name for workload in workloads)
    return [(workload, made[workload.name]) for workload in workloads]


def filled(text: SecretText) -> str:
    parts = []
    for part in text.parts:
        if isinstance(part, UrlQuoted):
            parts.append(quote(secret_value(part.secret), safe=""))
        else:
            parts.append(secret_value(part) if isinstance(part, Secret) else part)
    return "".join(parts)


def test_every_field_of_a_workload_is_under_contract() -> None:
    assert {field.name for field in fields(Workload)} == TESTED | OF_THE_ENGINE_ALONE


def test_it_runs_the_image_with_its_arguments_and_exactly_its_variables(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.image == workload.image
        assert made.args == workload.args
        expected = {**workload.env, **{name: filled(text) for name, text in workload.secret_env.items()}}
        assert dict(made.env) == expected


def test_ports_are_open_on_the_bind_address_alone_and_only_those_meant_for_people(
    target: Target, sample: Settings
) -> None:
    for workload, made in pairs(target, sample):
        assert made.published == {("127.0.0.1", port.published, port.number) for port in workload.published}


def test_the_bind_address_is_the_one_in_the_settings(target: Target) -> None:
    proxied = {"tls": {"proxy": True}}
    sample = settings(
        {
            "docker": {"bindAddress": "0.0.0.0"},
            "mlflow": {"url": "https://mlflow.example.com", **proxied},
            "keycloak": {"url": "https://id.example.com", **proxied},
        }
    )
    made = target.deploy(sample, "test")
    assert {address for one in made.values() for address, _, _ in one.published} == {"0.0.0.0"}


def test_data_and_files_are_where_the_program_looks_for_them(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert set(made.volumes) == {volume.path for volume in workload.volumes}
        assert dict(made.files) == {file.path: file.content for file in workload.files}


def test_the_probe_is_run_without_a_shell_of_the_target(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        probe = workload.probe
        assert made.probe == ("CMD", *probe.local.command)
        assert made.probe_seconds == (probe.interval_seconds, probe.timeout_seconds, probe.start_seconds)


def test_limits_hold_and_swap_does_not_stretch_them(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.memory_mib == workload.resources.memory_mib
        assert made.swap_mib == 0
        assert made.logs_bounded


def test_nothing_is_privileged(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert (made.uid, made.gid) == (workload.uid, workload.uid)
        assert made.uid > 0
        assert made.read_only
        assert made.writable == set(workload.writable)
        assert made.dropped == ("ALL",)
        assert made.added == ()
        assert not made.privilege_kept


def test_it_comes_back_after_a_restart_of_the_machine(target: Target, sample: Settings) -> None:
    assert {made.restart for _, made in pairs(target, sample)} == {"unless-stopped"}


def test_only_callers_and_those_they_call_share_a_network(target: Target, sample: Settings) -> None:
    both = pairs(target, sample)
    for (one, one_made), (other, other_made) in combinations(both, 2):
        related = one.name in other.callers or other.name in one.callers
        shared = one_made.networks & other_made.networks
        assert bool(shared) == related, f"{one.name} and {other.name} share {sorted(shared)}"


def test_a_workload_is_reached_by_its_name_on_the_network_it_owns(target: Target, sample: Settings) -> None:
    both = pairs(target, sample)
    for called, called_made in both:
        for caller, caller_made in both:
            if caller.name in called.callers:
                shared = called_made.networks & caller_made.networks
                assert any(called.name in called_made.aliases[network] for network in shared)
                assert not any(called.name in caller_made.aliases[network] for network in shared)


def test_what_nobody_outside_may_reach_is_on_internal_networks_alone(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        if not workload.published:
            assert made.networks == made.internal
        else:
            assert made.networks - made.internal, "a published port on an internal network is not published"


def test_everything_says_whose_it_is(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.labels[LABEL_PROJECT] == PROJECT
        assert made.labels[LABEL_STACK] == "test"
        assert made.labels[LABEL_COMPONENT] == workload.name


def test_two_stacks_share_no_name(target: Target, sample: Settings) -> None:
    def names(stack: str) -> set[str]:
        made = target.deploy(sample, stack).values()
        return {n for one in made for n in (one.physical, *one.volumes.values(), *one.networks)}

    first, second = names("test"), names("other")
    assert first
    assert not first & second


def test_operators_secrets_are_quoted_in_urls_and_nowhere_else(target: Target) -> None:
    external = {
        "host": "db.example.com",
        "mlflow": {"database": "m", "username": "someone", "password": OPERATORS_PASSWORD},
        "oidc": {"database": "o", "username": "someone", "password": OPERATORS_PASSWORD},
        "keycloak": {"database": "k", "username": "someone", "password": OPERATORS_PASSWORD},
    }
    made = target.deploy(settings({"postgres": {"external": external}}), "test")
    assert (
        ":operators-own%2Fp%40ss%3Aw%25rd%20%231%3F@db.example.com:5432/m"
        in made["mlflow"].env["MLFLOW_BACKEND_STORE_URI"]
    )
    assert made["keycloak"].env["KC_DB_PASSWORD"] == OPERATORS_PASSWORD


def test_what_docker_cannot_honour_is_refused_by_name() -> None:
    workload = replace(TARGETS["docker"].workloads(settings(), "test")[-1], replicas=2)
    problems = DockerPlan(PROJECT, "test", (workload,)).check()
    assert [str(problem) for problem in problems] == ["workload mlflow = 2 replicas: expected 1 on Docker"]


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_dollar_sign_of_the_operator_arrives_as_it_is(name: str) -> None:
    made = TARGETS[name].deploy(settings({"mlflow": {"env": {"PRICE": "$5 $$ ${HOME} $HOME"}}}), "test")
    assert made["mlflow"].env["PRICE"] == "$5 $$ ${HOME} $HOME"
