"""What the words of the seam promise, held by a Docker engine: throw-away programs under each engine.

What it cannot hold is said beside the words: ports of one program are not told apart, and scratch has no quota.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.e2e.harness import Stack, docker, eventually, inspect, run_in
from tests.e2e.outside import Server, server
from tests.e2e.throwaway import EXIT_CODE, IMAGE, KEPT, SMALL, SWEPT, Throwaway, build

PROGRAMS = ("keeper", "asker", "stranger", "sweep", "restore", "late")
# Those that are given the secret whose version changes.
READERS = {"asker", "restore"}


@dataclass(frozen=True)
class Up:
    """A stack that is up, and where something listens outside; none where that cannot be made here."""

    made: Throwaway
    server: Server | None

    @property
    def stack(self) -> Stack:
        return self.made.stack

    def container(self, name: str) -> str:
        return self.stack.container(name)

    def ids(self) -> dict[str, str]:
        return {name: str(inspect(self.container(name))["Id"]) for name in PROGRAMS}

    def connects(self, name: str, host: str, port: int) -> bool:
        """Whether a TCP connection from a program is taken."""
        script = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{host}/{port}' 2> /dev/null && echo yes || echo no"
        return run_in(self.container(name), "bash", "-c", script).strip() == "yes"

    def reaches(self, name: str, host: str, port: int) -> None:
        """Waits while a busy machine takes longer than one try does."""
        eventually(lambda: self.connects(name, host, port), bool, f"{name} connects to {host}:{port}")

    def logs(self, name: str) -> str:
        return docker("logs", "--timestamps", self.container(name))


@pytest.fixture(scope="session")
def up(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    build()
    stack = Stack(engine, tmp_path_factory.mktemp(f"throwaway-{engine}"), {"environment": "dev"})
    with server() as outside:
        made = Throwaway(stack, f"{outside.host}/32:{outside.port}" if outside else "198.51.100.1/32:443")
        try:
            made.up()
            yield Up(made, outside)
        finally:
            stack.stackctl("cleanup", "--yes", check=False)
            # Protected data goes by its name alone, and what was kept beside it.
            subprocess.run(("docker", "volume", "rm", *stack.leftovers()), capture_output=True, check=False)


def test_a_scheduled_one_comes_back_when_what_waits_ends(up: Up) -> None:
    before = inspect(up.container("sweep"))
    # The command ends with the container that it is in.
    kill = ("docker", "exec", up.container("sweep"), "bash", "-c", "kill -TERM 1")
    subprocess.run(kill, capture_output=True, check=False)
    after = eventually(
        lambda: inspect(up.container("sweep")),
        lambda now: now["RestartCount"] == before["RestartCount"] + 1 and now["State"]["Status"] == "running",
        "the engine starts it again",
    )  # fmt: skip
    assert after["Id"] == before["Id"]


def test_a_scheduled_one_has_no_access_to_the_engine(up: Up) -> None:
    found = inspect(up.container("sweep"))
    assert not [mount for mount in found["Mounts"] if "docker" in mount["Destination"]]
    sockets = run_in(up.container("sweep"), "bash", "-c", "find / -xdev -name '*.sock' -type s 2> /dev/null; true")
    assert sockets == ""


def test_a_program_is_open_to_who_calls_it_and_to_nobody_else(up: Up) -> None:
    up.reaches("asker", "keeper", 8080)
    # A network separates programs, not ports.
    up.reaches("asker", "keeper", 9000)
    # Not by its name, and not by its address either.
    networks = inspect(up.container("keeper"))["NetworkSettings"]["Networks"].values()
    for host in ("keeper", *(network["IPAddress"] for network in networks)):
        assert not up.connects("stranger", host, 8080)
        assert not up.connects("sweep", host, 8080)


def test_a_way_out_is_open_to_whom_it_is_declared_for(up: Up) -> None:
    """The machine itself is no outside: on an internal network, too, programs reach what listens on its addresses."""
    if up.server is None:
        pytest.skip("a network namespace cannot be made here; it needs root and the program ip")
    up.reaches("asker", up.server.host, up.server.port)
    for name in ("keeper", "stranger", "sweep"):
        assert not up.connects(name, up.server.host, up.server.port), name


def test_a_reader_sees_what_another_keeps_and_cannot_write_it(up: Up) -> None:
    assert run_in(up.container("sweep"), "cat", "/kept/note").strip() == KEPT
    told = run_in(up.container("sweep"), "bash", "-c", "touch /kept/no 2>&1 || true")
    assert "Read-only file system" in told
    assert run_in(up.container("keeper"), "ls", "/own").split() == ["note"]


def test_scratch_holds_more_than_memory_does(up: Up) -> None:
    size = 2 * SMALL.memory_mib
    script = f"head -c {size}M /dev/zero > /scratch/large && stat -c %s /scratch/large"
    assert int(run_in(up.container("asker"), "bash", "-c", script)) == size << 20


def test_memory_and_weight_are_bounds(up: Up) -> None:
    asker = up.container("asker")
    limit = "cat /sys/fs/cgroup/memory.max 2> /dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert int(run_in(asker, "bash", "-c", limit)) == SMALL.memory_mib << 20
    assert inspect(asker)["HostConfig"]["CpuShares"] == 1024 * SMALL.cpus * SMALL.weight
    greedy = f'$x = "a" x ({SMALL.memory_mib} << 21); print "it had that"'
    done = subprocess.run(("docker", "exec", asker, "perl", "-e", greedy), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (137, ""), "the kernel ends what takes more"


def test_one_on_demand_runs_when_it_is_asked_for_and_its_exit_code_comes_back(up: Up) -> None:
    for name, code in (("restore", EXIT_CODE), ("late", 124)):
        container = up.container(name)
        assert inspect(container)["State"]["Status"] == "created", "nobody has asked for it"
        done = subprocess.run(("docker", "start", "--attach", container), capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert inspect(container)["RestartCount"] == 0
    assert "restored with 32 letters" in up.logs("restore")


@pytest.mark.restarts
def test_another_version_of_a_secret_starts_what_reads_it_anew_and_nothing_else(up: Up) -> None:
    before, token = up.ids(), run_in(up.container("asker"), "printenv", "TOKEN")
    run_in(up.container("asker"), "touch", "/scratch/left")
    volumes = anonymous(up)
    up.made.up(version=2)
    after = up.ids()
    assert {name for name in PROGRAMS if before[name] != after[name]} == READERS
    assert run_in(up.container("asker"), "printenv", "TOKEN") != token
    left = run_in(up.container("asker"), "ls", "/scratch").split()
    # Compose hands volumes without a name on; a new one for each container would make all containers anew.
    assert ("left" in left) == (up.stack.engine == "compose")
    here = docker("volume", "ls", "-q").split()
    assert not [volume for volume in volumes - anonymous(up) if volume in here], "scratch goes with its container"


def anonymous(up: Up) -> set[str]:
    """The volumes without a name of what reads the secret."""
    mounts = [mount for name in READERS for mount in inspect(up.container(name))["Mounts"]]
    return {mount["Name"] for mount in mounts if mount["Type"] == "volume"}


@pytest.mark.restarts
def test_a_scheduled_one_runs_at_each_of_its_times(up: Up) -> None:
    """Both after what waits for them was started again, and in the log of its container."""
    restarted = _moment(str(inspect(up.container("sweep"))["State"]["StartedAt"]))

    def runs() -> list[datetime]:
        lines = [line for line in up.logs("sweep").splitlines() if f" {SWEPT} {KEPT}" in line]
        return [moment for moment in map(_moment, lines) if moment > restarted]

    found = eventually(runs, lambda some: len(some) >= 2, "two runs", 130)
    minutes = [moment.replace(second=0, microsecond=0) for moment in found]
    assert len(set(minutes)) == len(minutes), "once at each time"
    assert all(moment.second < 20 for moment in found), "at its time, as far as a busy machine lets it"
    assert "written" not in up.logs("sweep")
    assert "the run ended with exit code 0" in up.logs("sweep")
    docker("stop", up.container("sweep"))
    assert inspect(up.container("sweep"))["State"]["ExitCode"] == 143, "it ends when it is asked to, and is not killed"


def _moment(line: str) -> datetime:
    """The time at the start of a line, to the second (RFC 3339)."""
    return datetime.fromisoformat(line[:19])


@pytest.mark.destroys
def test_protected_data_and_its_secrets_outlive_what_removes_the_stack(up: Up) -> None:
    volume = up.container("keeper-data")
    before, scratch = up.ids(), anonymous(up)
    assert scratch
    refused = up.stack.stackctl("destroy", check=False)
    assert refused.returncode == 2
    assert f"volume     {volume}" in refused.stdout
    assert "holds protected data" in refused.stderr
    assert up.ids() == before, "nothing was removed"
    secrets = up.made.secrets()
    assert "token" in secrets
    if up.stack.engine == "pulumi":
        assert "keeper-data" in up.made.refused_by_engine()
    cleaned = up.stack.stackctl("cleanup", "--yes")
    assert not scratch.intersection(docker("volume", "ls", "-q").split()), "scratch goes with its stack"
    assert f"volume {volume}" in cleaned.stderr
    found = up.stack.leftovers()
    assert volume in found
    assert docker("volume", "inspect", *found), "nothing but volumes was kept"
    assert up.made.secrets() == secrets
    keeper = ("run", "--rm", "--network", "none", "--user", "61001", "-v", f"{volume}:/own", "--entrypoint", "cat")
    assert docker(*keeper, IMAGE, "/own/note").strip() == KEPT
