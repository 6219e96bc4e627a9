"""What both Docker engines promise beyond the contract of every target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from platforms.docker import jobs
from platforms.docker.plan import DockerPlan
from platforms.labels import LABEL_COMPONENT, LABEL_PROJECT, LABEL_STACK
from platforms.workload import OnDemand, Scheduled, Workload
from settings import PROJECT, Settings
from tests.contract.targets import TARGETS, OnDocker, Target
from tests.samples import settings

pytestmark = pytest.mark.usefixtures("components")


@pytest.fixture(params=["docker", "compose"])
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


def deploy(target: Target, sample: Settings) -> dict[str, OnDocker]:
    return {name: made for name, made in target.deploy(sample, "test").items() if isinstance(made, OnDocker)}


def pairs(target: Target, sample: Settings) -> list[tuple[Workload, OnDocker]]:
    made = deploy(target, sample)
    return [(workload, made[workload.name]) for workload in target.workloads(sample, "test")]


def test_ports_are_open_on_the_bind_address_alone_and_only_those_meant_for_people(
    target: Target, sample: Settings
) -> None:
    for workload, made in pairs(target, sample):
        entrances = {("127.0.0.1", entrance.host_port, port.number) for port, entrance in workload.entrances}
        assert made.published == entrances


def test_the_bind_address_is_the_one_in_the_settings(target: Target) -> None:
    proxied = {"tls": {"proxy": True, "trustedProxies": ["10.0.0.7"]}}
    sample = settings(
        {
            "docker": {"bindAddress": "0.0.0.0"},
            "mlflow": {"url": "https://mlflow.example.com", **proxied},
            "keycloak": {"url": "https://id.example.com", **proxied},
        }
    )
    made = deploy(target, sample)
    assert {address for one in made.values() for address, _, _ in one.published} == {"0.0.0.0"}


def test_the_probe_is_run_without_a_shell_of_the_target(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        # One that runs at set times is well when its last run was (tests/contract/test_seam_docker.py).
        probe = jobs.probe(workload)
        if probe is None:
            assert made.probe == ()
            continue
        assert isinstance(workload.runs, Scheduled) or probe is workload.service.probe
        assert made.probe == ("CMD", *probe.local.command)
        assert made.probe_seconds == (probe.interval_seconds, probe.timeout_seconds, probe.start_seconds)


def test_limits_hold_and_swap_does_not_stretch_them(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.memory_mib == workload.resources.memory_mib
        assert made.swap_mib == 0
        assert made.logs_bounded


def test_it_comes_back_after_a_restart_of_the_machine(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.restart == ("no" if isinstance(workload.runs, OnDemand) else "unless-stopped"), workload.name


def test_a_workload_is_reached_by_its_name_on_the_network_it_owns(target: Target, sample: Settings) -> None:
    both = pairs(target, sample)
    for called, called_made in both:
        for caller, caller_made in both:
            if caller.name in called.callers:
                shared = called_made.networks & caller_made.networks
                assert any(called.name in called_made.aliases[network] for network in shared)
                assert not any(called.name in caller_made.aliases[network] for network in shared)


def test_what_nobody_outside_may_reach_is_on_internal_networks_alone(target: Target, sample: Settings) -> None:
    both = pairs(target, sample)
    owned = {w.name: {n for n, names in made.aliases.items() if w.name in names} for w, made in both}
    for workload, made in both:
        outward = made.networks - made.internal
        for called, _ in both:
            if called.entrances and workload.name in called.callers:
                outward -= owned[called.name]
        if workload.entrances:
            assert outward == owned[workload.name] != set(), "a published port on an internal one is not published"
        else:
            assert len(outward) == (1 if workload.outside else 0), workload.name
            assert not any(outward & other.networks for other_workload, other in both if other_workload is not workload)


def test_everything_says_whose_it_is(target: Target, sample: Settings) -> None:
    for workload, made in pairs(target, sample):
        assert made.labels[LABEL_PROJECT] == PROJECT
        assert made.labels[LABEL_STACK] == "test"
        assert made.labels[LABEL_COMPONENT] == workload.name


def test_what_docker_cannot_honour_is_refused_by_name() -> None:
    plain = next(w for w in TARGETS["docker"].workloads(settings(), "test") if w.name == "mlflow")
    for runs in (replace(plain.service, replicas=2), replace(plain.service, max_replicas=2)):
        workload = replace(plain, runs=runs)
        problems = DockerPlan(PROJECT, "test", (workload,)).check()
        assert [str(problem) for problem in problems] == ["workload mlflow = 2 replicas: expected 1 on Docker"]
