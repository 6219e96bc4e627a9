"""What a Docker engine makes of the words that no component of the stack needs yet, whoever brings the stack up."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from platforms.docker import jobs
from platforms.docker.plan import DockerPlan
from platforms.labels import LABEL_PROTECTED, LABEL_RUNS
from platforms.secrets import Kept, Secret, SecretText
from platforms.workload import OnDemand
from settings import PROJECT
from tests.contract.seam import (
    ADAPT,
    CLIENT,
    ECHO,
    ON_DOCKER,
    RESTORE,
    STACK,
    SWEEP,
    WORKLOADS,
    DockerFacts,
    in_compose,
    on_docker,
)
from tests.fakes import FakeDocker

Waiting = subprocess.Popen[str]


@pytest.fixture(autouse=True)
def images(docker: FakeDocker) -> None:
    docker.images(*(w.image for w in WORKLOADS))
    docker.publishes(18080)


@pytest.fixture(params=sorted(ON_DOCKER))
def facts(request: pytest.FixtureRequest) -> DockerFacts:
    return ON_DOCKER[request.param](WORKLOADS)


def physical(name: str) -> str:
    return DockerPlan(PROJECT, STACK, WORKLOADS).physical(name)


def test_a_scheduled_one_waits_in_its_own_container_and_comes_back(facts: DockerFacts) -> None:
    sweep = facts["sweep"]
    assert sweep["command"][:2] == ("bash", "-c")
    times = sweep["command"][4:9]
    assert times[0] == ",30,"
    assert times[1] == ",3,"
    assert times[4] == ",1,2,3,4,5,"
    assert sweep["command"][9:] == ("600", "20", *SWEEP.args), "its bounds, and its arguments as they were given"
    assert sweep["restart"] == "unless-stopped"
    assert sweep["starts"]
    assert sweep["health"], "a failed run has to be seen"
    assert sweep["labels"][LABEL_RUNS] == "scheduled"


def test_one_on_demand_is_there_and_does_not_run(facts: DockerFacts) -> None:
    restore = facts["restore"]
    assert restore["command"] == ("timeout", "--kill-after=20", "3600", *RESTORE.args)
    assert (restore["starts"], restore["restart"]) == (False, "no"), "the engine would run it by itself"
    assert restore["health"] == ()
    assert restore["labels"][LABEL_RUNS] == "on-demand"


def test_one_at_changes_is_refused_by_name() -> None:
    problems = DockerPlan(PROJECT, STACK, (*WORKLOADS, ADAPT)).check()
    assert [str(p).partition(":")[0] for p in problems] == ["workload adapt = runs at changes"]


def test_one_on_demand_that_takes_too_long_is_ended_and_has_failed() -> None:
    runs = OnDemand(timeout_seconds=1)
    command = jobs.command(replace(RESTORE, runs=runs, args=("sleep", "300")))
    started = time.monotonic()
    assert subprocess.run(command, check=False).returncode == 124
    assert time.monotonic() - started < 60
    quick = jobs.command(replace(RESTORE, runs=runs, args=("bash", "-c", "exit 3")))
    assert subprocess.run(quick, check=False).returncode == 3, "its own exit code is told"


def test_what_runs_for_ever_is_marked_as_nothing_else(facts: DockerFacts) -> None:
    """A label that is added makes the containers of every stack anew."""
    assert LABEL_RUNS not in facts["echo"]["labels"]
    assert LABEL_RUNS not in facts["client"]["labels"]


def test_nobody_is_given_the_socket_of_the_engine(facts: DockerFacts) -> None:
    assert "docker.sock" not in str(facts)


def test_a_way_out_is_open_to_whom_it_is_declared_for_and_shared_with_nobody(facts: DockerFacts) -> None:
    internal = {n["name"]: n["internal"] for n in in_compose()["networks"].values()}
    out = {name for name, inside in internal.items() if not inside}
    for workload in WORKLOADS:
        mine = facts[workload.name]["networks"] & out
        assert bool(mine) == bool(workload.outside or workload.entrances or workload.name == "client"), workload.name
    for name in ("client", "sweep"):
        (own,) = {n for n in facts[name]["networks"] & out if n.endswith("-outside")}
        assert [w for w in facts if own in facts[w]["networks"]] == [name]
    assert facts["restore"]["alone"], "it calls nobody, and has no network"
    assert facts["restore"]["networks"] == frozenset()


def test_ports_of_one_workload_cannot_be_told_apart_on_a_network(facts: DockerFacts) -> None:
    """Documented beside `Port.callers`: who may call one of its ports shares a network with it, and so reaches all."""
    both = facts["echo"]["networks"] & facts["client"]["networks"]
    assert both == {physical("echo")}
    uncalled = replace(ECHO, ports=(replace(ECHO.ports[0], callers=()), *ECHO.ports[1:]), reserved=None)
    made = ON_DOCKER["compose"]((uncalled, CLIENT))
    assert not made["echo"]["networks"] & made["client"]["networks"], "nobody who calls no port is on its network"


def test_what_is_read_belongs_to_another_and_is_never_written(facts: DockerFacts) -> None:
    assert facts["sweep"]["reads"] == {(physical("echo-data"), "/echo")}
    assert facts["sweep"]["groups"] == (str(ECHO.uid),), "the owner's files are its group's to read"
    assert facts["client"]["groups"] == ()


def test_scratch_on_disk_goes_with_the_container(facts: DockerFacts) -> None:
    assert facts["client"]["scratch"] == {"/scratch"}
    assert facts["echo"]["scratch"] == frozenset()


def test_metrics_are_where_prometheus_is_told_they_are(facts: DockerFacts) -> None:
    marks = {key.removeprefix("prometheus.io/"): v for key, v in facts["echo"]["labels"].items() if "prometheus" in key}
    assert marks == {"scrape": "true", "port": "9100", "path": "/metrics", "scheme": "http"}
    assert "prometheus" not in str(facts["client"]["labels"])


def test_protected_data_is_marked_and_the_engine_does_not_remove_it() -> None:
    (volume,) = on_docker().of_type("docker:index/volume:Volume").values()
    assert volume.protect
    assert {label["label"]: label["value"] for label in volume.inputs["labels"]}[LABEL_PROTECTED] == "true"
    assert in_compose()["volumes"]["echo-data"]["labels"][LABEL_PROTECTED] == "true"


def test_the_secrets_that_protected_data_knows_stay_with_it() -> None:
    """The engine removes what depends on something before that, and stops at what is protected."""
    run = on_docker()
    (volume,) = run.of_type("docker:index/volume:Volume").values()
    passwords = {u for u, r in run.resources.items() if r.type.startswith("random:")}
    assert passwords
    assert passwords <= volume.depends
    bare = replace(ECHO, volumes=(replace(ECHO.volumes[0], protected=False),))
    (free,) = on_docker((bare, *WORKLOADS[1:])).of_type("docker:index/volume:Volume").values()
    assert not free.depends


def test_no_label_is_worth_the_data_of_a_volume() -> None:
    """Docker cannot change a label of a volume: the engine would make it anew, and empty."""
    bare = replace(ECHO, volumes=(replace(ECHO.volumes[0], protected=False),))
    (volume,) = on_docker((bare, CLIENT)).of_type("docker:index/volume:Volume").values()
    assert not volume.protect
    assert volume.ignored == ("labels",)


def test_a_second_version_of_a_secret_is_another_value() -> None:
    first = on_docker().of_type("random:index/randomPassword:RandomPassword")["sweep-token"]
    assert "keepers" not in first.inputs, "a value that is kept today would be made anew"
    turned = replace(next(iter(SWEEP.secrets)), version=2)
    changed = replace(SWEEP, secret_env={"TOKEN": replace(SWEEP.secret_env["TOKEN"], parts=(turned,))})
    second = on_docker((ECHO, CLIENT, changed)).of_type("random:index/randomPassword:RandomPassword")["sweep-token"]
    assert second.inputs["keepers"] == {"version": "2"}


def test_the_arguments_of_a_job_are_read_back_as_they_were_given() -> None:
    """Otherwise the doctor calls each job outdated."""
    plan = DockerPlan(PROJECT, STACK, WORKLOADS)
    for workload in WORKLOADS:
        label = plan.container_labels(workload).get(LABEL_RUNS, "")
        assert jobs.arguments(jobs.command(workload), label) == workload.args, workload.name
    for own in (jobs.command(RESTORE), jobs.command(SWEEP), ("timeout",), ()):
        assert jobs.arguments(own, "") == own, "a program that serves may be started by the same words"


ALWAYS = "," + ",".join(map(str, range(60))) + ","


def waiting(folder: Path, *command: str, minutes: str = ALWAYS, hours: str = ALWAYS, limit: int = 60) -> Waiting:
    """The program that waits, with minutes of a tenth of a second, in a time zone that is not UTC."""
    fast = folder / "bin"
    fast.mkdir(exist_ok=True)
    (fast / "sleep").write_text(f"#!/bin/bash\n: > {folder}/waits\nexec /bin/sleep 0.1\n")
    (fast / "sleep").chmod(0o755)
    program = jobs.command(SWEEP)[2].replace(jobs.FAILED, str(folder / "failed"))
    words = ["bash", "-c", program, "schedule", minutes, hours, ALWAYS, ALWAYS, ALWAYS, str(limit), "10", *command]
    env = {"PATH": f"{fast}:/usr/bin:/bin", "TZ": "Asia/Tokyo"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)


def end(process: Waiting) -> int:
    process.terminate()
    return process.wait(timeout=60)


def lines(process: Waiting, count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def test_at_each_of_its_times_it_runs_and_says_what_came_of_it(tmp_path: Path) -> None:
    process = waiting(tmp_path, "bash", "-c", "echo working; exit 3")
    told = lines(process, 4)
    assert told[:3] == ["schedule: a run starts", "working", "schedule: the run ended with exit code 3"]
    assert told[3] == "schedule: a run starts", "it waits for the next time, whatever came of the last"
    assert (tmp_path / "failed").exists()
    assert end(process) == 143


def test_a_good_run_clears_the_mark_of_a_failed_one(tmp_path: Path) -> None:
    (tmp_path / "failed").touch()
    process = waiting(tmp_path, "true")
    assert lines(process, 2)[1] == "schedule: the run ended with exit code 0"
    end(process)
    assert not (tmp_path / "failed").exists()


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    process = waiting(tmp_path, "/bin/sleep", "60", limit=1)
    assert lines(process, 3)[1:] == [
        "schedule: the run ended with exit code 124",
        "schedule: it was ended after 1 s, the most it may take",
    ]
    end(process)


def test_nothing_runs_at_another_time(tmp_path: Path) -> None:
    process = waiting(tmp_path, "touch", str(tmp_path / "ran"), minutes=",99,")
    deadline = time.monotonic() + 60
    while not (tmp_path / "waits").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # For some of its minutes.
    time.sleep(0.5)
    assert end(process) == 143
    assert not (tmp_path / "ran").exists()


def test_a_run_is_asked_to_end_with_its_container(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; echo ready; while :; do /bin/sleep 0.05; done"
    process = waiting(tmp_path, "bash", "-c", script)
    assert lines(process, 2) == ["schedule: a run starts", "ready"]
    assert end(process) == 143
    assert ended.exists(), "a run that writes is not cut off"


def test_times_are_in_utc_wherever_the_machine_is(tmp_path: Path) -> None:
    hour = time.gmtime().tm_hour
    process = waiting(tmp_path, "true", hours=f",{hour},{(hour + 1) % 24},")
    assert lines(process, 1) == ["schedule: a run starts"]
    end(process)


def test_a_secret_that_is_kept_elsewhere_is_refused_by_name() -> None:
    """Docker has no such place: a value would be generated, and let nobody in."""
    text = SecretText.of(Secret("given", kept=Kept("there", "password")))
    problems = DockerPlan(PROJECT, STACK, (replace(CLIENT, secret_env={"PASSWORD": text}),)).check()
    assert [str(problem) for problem in problems] == [
        "workload client = secret given, kept as there: expected a value or a generated one: Docker keeps no secrets"
    ]
