"""Jobs: what the setting makes of a stack, what contradicts it, and what the image decides about a job by itself."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow_sso import jobs
from mlflow_sso.jobs import runner
from mlflow_sso.jobs.rights import refused, shown
from mlflow_sso.jobs.tickets import is_ticket, job_of, ticket

from components.stack import stack_spec
from platforms.workload import Workload
from problems import StackError
from settings import server_turns
from tests.samples import settings, write_pem

JOB = "01234567-89ab-cdef-0123-456789abcdef"
PAST = "gateway alone"
BUCKET = {"s3": {"bucket": "models"}}


def workloads(config: dict[str, Any], **more: Any) -> dict[str, Workload]:
    spec = stack_spec(settings({"mlflow": config, **more}))
    return {workload.name: workload for workload in spec.workloads}


def wrong(config: dict[str, Any], **more: Any) -> str:
    with pytest.raises(StackError) as caught:
        workloads(config, **more)
    return str(caught.value)


def test_a_stack_runs_no_jobs_unless_it_is_told_to() -> None:
    made = workloads({})
    assert "mlflow-jobs" not in made
    assert "MLFLOW_SSO_JOBS_KEY" not in made["mlflow"].secret_env
    assert "mlflow-jobs" not in {*made["mlflow"].callers, *made["postgres"].callers}


def test_jobs_run_beside_the_server_with_its_database_and_nothing_of_its_login_or_gateway() -> None:
    made = workloads({"jobs": {}})
    runs, server = made["mlflow-jobs"], made["mlflow"]
    assert runs.image == server.image
    assert set(runs.secret_env) == {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_SSO_JOBS_KEY"}
    assert runs.secret_env["MLFLOW_SSO_JOBS_KEY"] == server.secret_env["MLFLOW_SSO_JOBS_KEY"]
    assert runs.uid not in {workload.uid for name, workload in made.items() if name != runs.name}
    assert {name for name, workload in made.items() if runs.name in workload.callers} == {"mlflow", "postgres"}
    assert (runs.outside, runs.ports, runs.volumes) == ((), (), ())


def test_jobs_have_no_way_out_but_to_a_database_that_is_outside() -> None:
    login = {"database": "mlflow", "username": "m", "password": "p"}
    oidc = {**login, "database": "oidc"}
    external = {"host": "db.example.com", "mlflow": login, "oidc": oidc, "keycloak": {**login, "database": "k"}}
    egress = {"egress": [{"host": "api.openai.com", "port": 443}]}
    made = workloads({"jobs": {}, **egress}, postgres={"external": external})
    assert [way.host for way in made["mlflow-jobs"].outside] == ["db.example.com"]


def test_memory_follows_the_number_of_jobs_at_once() -> None:
    one, four = (workloads({"jobs": {"workers": count}})["mlflow-jobs"].resources.memory_mib for count in (1, 4))
    assert four - one == 3 * 512
    assert workloads({"jobs": {"memoryMib": 4096}})["mlflow-jobs"].resources.memory_mib == 4096


def test_what_jobs_are_told_arrives() -> None:
    env = workloads({"jobs": {"workers": 3, "timeoutSeconds": 600}})["mlflow-jobs"].env
    assert env["MLFLOW_SSO_JOBS_WORKERS"] == "3"
    assert env["MLFLOW_SERVER_JOB_DEFAULT_TIMEOUT"] == "600"
    assert env["MLFLOW_GATEWAY_URI"] == "http://mlflow:5000"


def test_one_runner_serves_any_number_of_servers() -> None:
    made = workloads({"jobs": {}, "replicas": 3, "workers": 2, **BUCKET}, platform="kubernetes")
    assert made["mlflow"].service.replicas == 3
    assert made["mlflow-jobs"].service.replicas == 1


def test_connections_of_jobs_are_taken_from_those_of_requests() -> None:
    many = {"replicas": 4, **BUCKET}
    without, with_jobs = (
        server_turns(settings({"mlflow": {**many, **more}, "platform": "kubernetes"}))
        for more in ({}, {"jobs": {"workers": 16}})
    )
    assert with_jobs < without


def test_more_jobs_than_connections_are_refused_by_their_key() -> None:
    text = wrong({"replicas": 30, "jobs": {"workers": 16}, **BUCKET}, platform="kubernetes")
    assert "fewer mlflow.jobs.workers" in text


def test_jobs_and_a_certificate_of_mlflows_own_are_refused_by_their_keys(tmp_path: Path) -> None:
    pem = write_pem(tmp_path)
    tls = {"certificateFile": pem["certificate"], "keyFile": pem["key"]}
    text = wrong({"url": "https://ml.example.com:5000", "tls": tls, "jobs": {}})
    assert "mlflow.jobs and mlflow-sso:mlflow.tls.certificateFile" in text


@pytest.mark.parametrize(
    ("given", "key"),
    [({"workers": 0}, "jobs.workers"), ({"workers": 17}, "jobs.workers"), ({"memoryMib": 100}, "jobs.memoryMib")],
)
def test_a_value_out_of_bounds_is_refused_by_its_key(given: dict[str, Any], key: str) -> None:
    assert key in wrong({"jobs": given})


@pytest.mark.parametrize("name", ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_SSO_JOBS_KEY"])
def test_variables_turn_no_jobs_on(name: str) -> None:
    assert f"mlflow.env.{name}" in wrong({"env": {name: "true"}})


def test_code_of_users_is_not_turned_on_beside_jobs() -> None:
    name = "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS"
    assert f"mlflow.env.{name}" in wrong({"jobs": {}, "env": {name: "true"}})


def test_a_ticket_names_its_job_to_whoever_has_the_key() -> None:
    assert job_of("key", ticket("key", JOB)) == JOB
    assert job_of("other", ticket("key", JOB)) is None
    assert job_of("", ticket("", JOB)) is None, "where there are no jobs there is no key, and no ticket"


@pytest.mark.parametrize("change", ["x{}", "{}0", "{}.", "mlflow-job.{}", " {}"])
def test_a_ticket_that_somebody_changed_names_no_job(change: str) -> None:
    assert job_of("key", change.format(ticket("key", JOB))) is None


@pytest.mark.parametrize("other", ["01234567", "01234567-89ab-cdef-0123-456789abcdee", "", "ä"])
def test_a_ticket_is_for_no_other_job(other: str) -> None:
    seal = ticket("key", JOB).rpartition(".")[2]
    assert job_of("key", f"mlflow-job.{other}.{seal}") is None


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_ticket_is_shown_as_a_password_whoever_it_is_said_to_be_of() -> None:
    own = ticket("key", JOB)
    assert shown(basic(f"job:{own}")) == shown(basic(f"alice:{own}")) == own


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ?",
        "Basic \xfc",
        "Basic gICA",
        basic("alice:mlf_secret"),
        basic("mlflow-job.x.y:z"),
        f"Bearer {ticket('key', JOB)}",
    ],
)
def test_everything_else_is_left_to_the_plugin(header: str) -> None:
    assert shown(header) is None


def test_no_token_of_the_plugins_looks_like_a_ticket() -> None:
    assert not is_ticket("mlf_0123_abc")


@pytest.mark.parametrize(
    ("name", "params", "direct", "why"),
    [
        ("invoke_scorer", {}, False, ""),
        ("invoke_scorer", {}, True, PAST),
        ("invoke_genai_evaluate", {}, True, PAST),
        ("invoke_issue_detection", {"model": "gateway:/judge"}, False, ""),
        ("invoke_issue_detection", {"model": "openai:/gpt"}, False, PAST),
        ("invoke_issue_detection", {}, False, PAST),
        ("invoke_issue_detection", {"model": ["gateway:/judge"]}, False, PAST),
        ("optimize_prompts", {}, False, "not optimized"),
    ],
)
def test_a_job_that_calls_a_model_past_the_gateway_is_not_taken(
    name: str, params: Mapping[str, Any], direct: bool, why: str
) -> None:
    reason = refused(name, params, lambda *_: direct)
    assert why in reason
    assert bool(reason) == bool(why)


def test_the_server_takes_jobs_where_it_has_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"
    monkeypatch.setenv(name, "false")
    monkeypatch.delenv("MLFLOW_SERVER_JOB_EXECUTION_ENGINE", raising=False)
    monkeypatch.delenv(jobs.KEY, raising=False)
    jobs.share()
    assert os.environ[name] == "false"
    monkeypatch.setenv(jobs.KEY, "key")
    monkeypatch.setenv("MLFLOW_SERVER_JOB_EXECUTION_ENGINE", "")
    jobs.share()
    assert os.environ[name] == "true"


def test_each_wait_of_the_runner_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "ALIVE", tmp_path / "alive")
    beat = runner.Beat(lambda: True)
    assert not beat.wait(0.001)
    assert int((tmp_path / "alive").read_text()) > 0
    threading.Timer(0.01, beat.set).start()
    assert beat.wait(30)


def test_a_runner_without_the_lock_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Ended(Exception):
        pass

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(runner, "ALIVE", tmp_path / "alive")
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended, match="1"):
        runner.Beat(lambda: False).wait(0)
    assert not (tmp_path / "alive").exists()


@dataclass
class Waits:
    name: str
    creator: str | None


def in_turn(waiting: str, running: str = "") -> str:
    """Each letter is a job, of the user that it names."""
    jobs = [Waits(f"{creator}{number}", creator) for number, creator in enumerate(waiting)]
    return "".join(job.creator or "" for job in runner.in_turn(jobs, [Waits("", creator) for creator in running]))


def test_nobody_waits_for_the_second_job_of_somebody_else() -> None:
    assert in_turn("aaabbc") == "abcaba"
    assert in_turn("aab", running="aa") == "baa", "what runs counts"
    assert in_turn("") == ""


def test_the_oldest_job_of_a_user_comes_first() -> None:
    jobs = [Waits(name, creator) for name, creator in (("a1", "a"), ("a2", "a"), ("n1", None), ("b1", "b"))]
    assert [job.name for job in runner.in_turn(jobs, ())] == ["a1", "n1", "b1", "a2"]


@pytest.mark.parametrize(("asked", "expected"), [(None, 60), (5, 5), (61, 60), (float("nan"), 60), (-1, 60), (0, 60)])
def test_no_job_takes_longer_than_the_settings_say(asked: float | None, expected: float) -> None:
    assert runner.bounded(asked, 60) == expected
