"""What is asked of a Docker engine: is it fit, is a container ready, and if not, why."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.stack import stack_spec
from platforms.docker import daemon
from platforms.docker.daemon import DockerError, examine, last_lines, state, wait_ready
from platforms.docker.plan import DockerPlan
from platforms.labels import LABEL_STACK
from platforms.workload import Entrance, Port, Workload
from settings import PROJECT
from settings.catalogue import refs
from tests.fakes import FakeDocker
from tests.samples import settings

pytestmark = pytest.mark.usefixtures("components")

ADDRESS = "127.0.0.1"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker(tmp_path / "docker", monkeypatch)
    fake.engine()
    fake.images(*(workload.image for workload in plan().workloads))
    fake.publishes(*(entrance.host_port for workload in plan().workloads for _, entrance in workload.entrances))
    return fake


def plan() -> DockerPlan:
    return DockerPlan(PROJECT, "test", stack_spec(settings()).workloads)


def one(wait_seconds: int = 300) -> Workload:
    workload = next(w for w in plan().workloads if w.name == "redis")
    return replace(workload, runs=replace(workload.service, wait_seconds=wait_seconds))


def problems(*, images: bool = True) -> list[str]:
    return [str(problem) for problem in examine(plan(), ADDRESS, images=images).problems]


# Is it fit?


def test_a_fit_engine_has_no_problem(docker: FakeDocker) -> None:
    assert problems() == []


def test_healthy_containers_are_named_by_their_whole_ids(docker: FakeDocker) -> None:
    docker.runs("0123abcd", 5000, 8080, health="healthy")
    docker.also_runs("4567ef01", health="starting")
    docker.also_runs("89ab")
    assert examine(plan(), ADDRESS).healthy == {"0123abcd"}
    (asked,) = (call for call in docker.calls if call.startswith("ps "))
    assert f"label={LABEL_STACK}=test" in asked
    assert "--no-trunc" in asked


def test_an_engine_that_does_not_answer_has_no_healthy_container(docker: FakeDocker) -> None:
    docker.runs("0123abcd", health="healthy")
    docker.fail("info", "Cannot connect to the Docker daemon.")
    assert examine(plan(), ADDRESS).healthy == frozenset()


def test_no_docker_command_is_one_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert problems() == [
        "docker engine: expected one that answers (the docker command is not installed); start it, or run `make engine`"
    ]


def test_an_engine_that_does_not_answer_is_one_problem(docker: FakeDocker) -> None:
    docker.fail("info", "Cannot connect to the Docker daemon. Is it running?")
    (problem,) = problems()
    assert "Cannot connect to the Docker daemon. Is it running?" in problem
    assert "run `make engine`" in problem


def test_a_client_without_its_server_is_one_problem(docker: FakeDocker) -> None:
    docker.answer("info", '{"ServerErrors": ["permission denied on the socket"]}')
    (problem,) = problems()
    assert "permission denied on the socket" in problem


@pytest.mark.parametrize("version", ["19.03.15", "20.9", "1.13.1", "unknown", ""])
def test_an_engine_too_old_is_named_with_its_version(version: str, docker: FakeDocker) -> None:
    docker.engine(version)
    (problem,) = problems()
    assert problem.startswith("docker engine")
    assert problem.endswith("expected 20.10 or later")
    assert version in problem


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "24.0.7", "28.0.0-rc.1", "20.10.0~ce"])
def test_an_engine_of_today_is_taken(version: str, docker: FakeDocker) -> None:
    docker.engine(version)
    assert problems() == []


def test_every_image_that_is_missing_is_named(docker: FakeDocker) -> None:
    docker.images(refs()["redis"])
    lacking = {workload.image for workload in plan().workloads} - {refs()["redis"]}
    assert len(lacking) >= 3
    assert {problem.removeprefix("image = ").rpartition(": ")[0] for problem in problems()} == lacking
    assert len(problems()) == len(lacking)
    assert problems(images=False) == []


def test_a_full_disk_is_named_with_what_is_free(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.answer("info", f'{{"ServerVersion": "24.0", "DockerRootDir": "{tmp_path}"}}')
    assert problems() == []
    monkeypatch.setattr(daemon, "MINIMUM_FREE_BYTES", 1 << 60)
    (problem,) = problems()
    assert f"MiB free in {tmp_path}" in problem


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_named_with_who_wants_it(address: str, docker: FakeDocker) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as holder:
        try:
            holder.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        holder.listen()
        port = holder.getsockname()[1]
        people = Port("redis", 6379, entrance=Entrance("", port))
        asked = DockerPlan(PROJECT, "test", (replace(one(), ports=(people,)),))
        found = [str(problem) for problem in examine(asked, address, images=False).problems]
        assert found == [f"port of redis = {port}: in use on {address}; expected a free one"]
        # What the stack holds itself is no hindrance to bringing it up again.
        docker.publishes(port)
        assert examine(asked, address, images=False).problems == []


@pytest.fixture
def neighbours() -> Iterator[list[int]]:
    """Three ports in a row that somebody listens on."""
    for first in range(20000, 60000, 7):
        with ExitStack() as held:
            try:
                for port in range(first, first + 3):
                    holder = held.enter_context(socket.socket())
                    holder.bind((ADDRESS, port))
                    holder.listen()
            except OSError:
                continue
            yield [first, first + 1, first + 2]
            return


def test_neighbouring_ports_that_the_stack_holds_are_its_own(docker: FakeDocker, neighbours: list[int]) -> None:
    """Docker lists them as one range, which is for people to read."""
    ports = tuple(Port(f"p{port}", port, entrance=Entrance("", port)) for port in neighbours)
    asked = DockerPlan(PROJECT, "test", (replace(one(), ports=ports),))
    assert len(examine(asked, ADDRESS, images=False).problems) == len(neighbours)
    docker.publishes(*neighbours)
    assert examine(asked, ADDRESS, images=False).problems == []


def test_only_the_ports_that_the_stack_holds_are_its_own(docker: FakeDocker, neighbours: list[int]) -> None:
    first, between, last = neighbours
    asked = DockerPlan(PROJECT, "test", (replace(one(), ports=(Port("redis", 6379, entrance=Entrance("", between)),)),))
    docker.publishes(first, last)
    (problem,) = examine(asked, ADDRESS, images=False).problems
    assert problem.value == str(between)


def test_everything_wrong_is_told_at_once(docker: FakeDocker) -> None:
    docker.engine("19.03")
    docker.images("other:1")
    assert len(problems()) == 1 + len({workload.image for workload in plan().workloads})


# Is it ready?


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(workload: Workload, clock: Clock, told: list[str] | None = None) -> None:
    say = (told if told is not None else []).append
    wait_ready(workload, "c", say, clock=clock, sleep=clock.sleep)


def test_a_container_whose_check_passes_is_ready_at_once(docker: FakeDocker) -> None:
    clock = Clock()
    docker.container("running")
    wait(one(), clock)
    assert clock.now == 0
    assert docker.calls == ["inspect --type container c", "exec c redis-cli -e -h 127.0.0.1 ping"]


def test_a_container_that_the_engine_calls_healthy_is_not_asked_again(docker: FakeDocker) -> None:
    docker.container("running", health="healthy")
    wait(one(), Clock())
    assert docker.calls == ["inspect --type container c"]


@pytest.mark.parametrize(
    ("status", "health"), [("running", "starting"), ("running", "unhealthy"), ("exited", "healthy")]
)
def test_any_other_status_is_not_believed(status: str, health: str, docker: FakeDocker) -> None:
    docker.container(status, health=health)
    wait(one(), Clock())
    assert docker.calls[-1].startswith("exec")


def published(number: int) -> Workload:
    return replace(one(20), ports=(Port("http", 80, entrance=Entrance("http://localhost", number)),))


def questions(docker: FakeDocker, port: int) -> int:
    """How often a container that never gets ready was asked by a command, with that port published."""
    docker.fail("exec", "not yet")
    docker.container("running")
    docker.answer("logs", "")
    with pytest.raises(DockerError):
        wait(published(port), Clock())
    return len([call for call in docker.calls if call.startswith("exec")])


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a server with that handler."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_published_port_without_an_answer_saves_most_questions(docker: FakeDocker) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert 3 <= questions(docker, silent.getsockname()[1]) <= 5


def test_a_published_port_with_an_answer_is_asked_about_twice_a_second(docker: FakeDocker) -> None:
    with served(BaseHTTPRequestHandler) as port:
        assert questions(docker, port) >= 40


def test_a_published_port_that_answers_503_is_not_ready(docker: FakeDocker) -> None:
    class Starting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

    with served(Starting) as port:
        assert questions(docker, port) <= 8


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::1", "::1"), ("192.0.2.7", "192.0.2.7")],
)
def test_a_published_port_is_asked_where_it_is_bound(
    bound: str, asked: str, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[tuple[str, int]] = []

    def connect(place: tuple[str, int], timeout: float) -> socket.socket:
        places.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    docker.fail("exec", "not yet")
    docker.container("running")
    clock = Clock()
    with pytest.raises(DockerError):
        wait_ready(published(5000), "c", lambda _: None, address=bound, clock=clock, sleep=clock.sleep)
    assert set(places) == {(asked, 5000)}


def test_it_waits_as_long_as_the_workload_allows_and_says_so(docker: FakeDocker) -> None:
    docker.fail("exec", "not yet")
    docker.container("running")
    docker.answer("logs", "loading ...\n")
    clock, told = Clock(), list[str]()
    with pytest.raises(DockerError) as caught:
        wait(one(20), clock, told)
    assert clock.now == 21
    assert told == [f"not ready yet (running, {seconds} s of at most 20 s)" for seconds in (5, 10, 15, 20)]
    assert str(caught.value).splitlines() == [
        "redis is not ready after 21 s: container c is running.",
        "Its last lines:",
        "loading ...",
        "Next: docker logs c; when the cause is mended, run the same command again.",
    ]


@pytest.mark.parametrize(
    ("status", "code", "restarts", "shown"),
    [
        ("exited", 3, 0, "container c is exited, last exit code 3."),
        ("dead", 137, 0, "container c is dead, last exit code 137."),
        ("restarting", 1, 3, "container c is restarting, last exit code 1."),
    ],
)
def test_it_does_not_wait_for_what_will_not_come(
    status: str, code: int, restarts: int, shown: str, docker: FakeDocker
) -> None:
    docker.fail("exec", "container is not running")
    docker.container(status, code, restarts)
    docker.answer("logs", "FATAL: no\n")
    clock = Clock()
    with pytest.raises(DockerError) as caught:
        wait(one(), clock)
    assert clock.now == 0
    assert shown in str(caught.value)
    assert "FATAL: no" in str(caught.value)


def test_a_container_that_restarts_once_or_twice_is_waited_for(docker: FakeDocker) -> None:
    docker.fail("exec", "no")
    docker.container("restarting", 1, restarts=2)
    clock = Clock()
    with pytest.raises(DockerError):
        wait(one(3), clock)
    assert clock.now > 3


def test_a_container_that_is_gone_is_told(docker: FakeDocker) -> None:
    docker.fail("exec", "No such container: c")
    docker.fail("inspect", "Error: No such container: c")
    with pytest.raises(DockerError, match="container c is gone"):
        wait(one(), Clock())
    assert state("c") is None


def test_the_last_lines_hold_both_streams_and_are_few(docker: FakeDocker) -> None:
    docker.answer("logs", "one\ntwo\n\n")
    assert last_lines("c", 7) == "one\ntwo"
    assert docker.calls == ["logs --tail 7 c"]


def test_a_failed_command_is_told_by_its_last_line(docker: FakeDocker) -> None:
    docker.fail("ps", "warning: x\nError: the reason")
    with pytest.raises(DockerError, match=r"^Error: the reason$"):
        daemon.docker("ps")


def test_a_command_that_hangs_is_given_up(docker: FakeDocker, tmp_path: Path) -> None:
    script = tmp_path / "docker" / "bin" / "docker"
    script.write_text("#!/bin/sh\nexec sleep 5\n")
    with pytest.raises(DockerError, match="docker info gave no answer in 0 s"):
        daemon.docker("info", timeout=0.2)
