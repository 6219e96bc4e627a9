"""What the words of the seam promise, held by a cluster: throw-away programs, by kubectl and by the Pulumi engine.

Both make the same objects, so each word is asked of one stack; what the engine itself does is asked of another.
Needs KUBECONFIG, and IMAGE_LOADER for the image of these programs.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from stackctl.engines import pulumi_cli
from tests.e2e.cluster import cluster_or_skip, connects, enforces_policies, get, kubectl, namespace, reaches, until
from tests.e2e.harness import Stack
from tests.e2e.throwaway import EXIT_CODE, IMAGE, KEPT, SMALL, SWEPT, Throwaway, build

# Those that are given the secret whose version changes and run for ever.
READERS = {"asker"}
PROGRAMS = {"keeper", "asker", "stranger"}


def pods(stack: Stack, name: str = "") -> list[Any]:
    """The pods of a stack, or of one of its programs, that are not going."""
    chosen = f"mlflow-sso.component={name}" if name else "mlflow-sso.component"
    items = get("pods", "-n", stack.physical, "-l", chosen)["items"]
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


def serving(stack: Stack) -> dict[str, str]:
    """The pods of what runs for ever, by program; those that were evicted are only there to be read."""
    alive = [pod for pod in pods(stack) if pod["status"]["phase"] == "Running"]
    found = {pod["metadata"]["labels"]["mlflow-sso.component"]: str(pod["metadata"]["name"]) for pod in alive}
    return {name: pod for name, pod in found.items() if name in PROGRAMS}


def inside(stack: Stack, name: str, script: str, *, check: bool = True) -> str:
    return kubectl("exec", "-n", stack.physical, serving(stack)[name], "--", "bash", "-c", script, check=check)


@pytest.fixture(scope="module")
def server() -> tuple[str, int]:
    """The API server as the node has it: outside every stack."""
    cluster_or_skip()
    if not os.environ.get("IMAGE_LOADER"):
        pytest.skip("IMAGE_LOADER names no command that brings an image to the cluster")
    build()
    subprocess.run((*shlex.split(os.environ["IMAGE_LOADER"]), IMAGE), check=True, capture_output=True)
    chosen = ("-n", "default", "-l", "kubernetes.io/service-name=kubernetes")
    slices = get("endpointslices", *chosen)["items"]
    return str(slices[0]["endpoints"][0]["addresses"][0]), int(slices[0]["ports"][0]["port"])


def scrapers(stack: Stack) -> str:
    """The namespace that may read metrics of a stack."""
    return f"{stack.physical}-scrapers"


def brought_up(engine: str, home: Path, server: tuple[str, int]) -> Iterator[Throwaway]:
    config: dict[str, Any] = {
        "environment": "dev",
        "platform": "kubernetes",
        "kubernetes": {"mesh": {"enabled": False}},
    }
    stack = Stack(engine, home, config)
    stack.config["kubernetes"]["scrapers"] = [scrapers(stack)]
    made = Throwaway(stack, f"{server[0]}/32:{server[1]}")
    try:
        made.up()
        yield made
    finally:
        kubectl("delete", "namespace", made.stack.physical, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def up(server: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Throwaway]:
    yield from brought_up("render", tmp_path_factory.mktemp("throwaway-rendered"), server)


@pytest.fixture(scope="module")
def overfull(up: Throwaway) -> str:
    """The pod of a program that has written more to its scratch space than that may hold."""
    pod = serving(up.stack)["asker"]
    inside(up.stack, "asker", "head -c 100M /dev/zero > /scratch/large")
    return pod


def test_a_port_is_open_to_who_calls_it_and_to_nobody_else(up: Throwaway, server: tuple[str, int]) -> None:
    where, own = up.stack.physical, serving(up.stack)
    reaches(where, own["asker"], "keeper", 8080)
    with namespace(scrapers(up.stack)) as other:
        kubectl(
            "run", "asking", "-n", other, f"--image={IMAGE}", "--image-pull-policy=IfNotPresent", "--", "sleep", "999"
        )
        kubectl("wait", "-n", other, "pod/asking", "--for=condition=Ready", "--timeout=60s")
        if not enforces_policies(other, "asking"):
            pytest.skip("the cluster enforces no NetworkPolicy")
        reaches(other, "asking", f"keeper.{where}", 9000)
        assert not connects(other, "asking", f"keeper.{where}", 8080), "what reads metrics reads nothing else"
    assert not connects(where, own["asker"], "keeper", 9000), "another port of the same program"
    address = pods(up.stack, "keeper")[0]["status"]["podIP"]
    for host in ("keeper", address):
        assert not connects(where, own["stranger"], host, 8080)
    # The way out is one address and one port, of one program.
    reaches(where, own["asker"], *server)
    assert not connects(where, own["asker"], server[0], 10250), "another port of the same server"
    for name in ("stranger", "keeper"):
        assert not connects(where, own[name], *server), name


def test_memory_is_a_bound(up: Throwaway) -> None:
    limit = "cat /sys/fs/cgroup/memory.max 2> /dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert int(inside(up.stack, "stranger", limit)) == SMALL.memory_mib << 20
    greedy = f'perl -e \'$x = "a" x ({SMALL.memory_mib} << 21); print "it had that"\''
    assert "exit code 137" in inside(up.stack, "stranger", greedy, check=False)


def test_one_on_demand_runs_when_it_is_asked_for_and_its_exit_code_is_kept(up: Throwaway, overfull: str) -> None:
    where = up.stack.physical
    assert not pods(up.stack, "restore"), "nobody has asked for it"
    for name in ("restore", "late"):
        kubectl("create", "job", "-n", where, f"{name}-now", f"--from=cronjob/{name}")
    until(
        lambda: "BackoffLimitExceeded" in reasons(where, "restore-now"), "its failure is told, and not tried again", 60
    )
    until(lambda: "DeadlineExceeded" in reasons(where, "late-now"), "a run that takes too long is ended", 60)
    (pod,) = pods(up.stack, "restore")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == EXIT_CODE
    assert "restored with 32 letters" in kubectl("logs", "-n", where, "job/restore-now")


def reasons(where: str, job: str) -> set[str]:
    return {str(c.get("reason")) for c in get("job", job, "-n", where)["status"].get("conditions", ())}


def test_a_scheduled_one_runs_at_each_of_its_times_and_reads_what_another_keeps(up: Throwaway) -> None:
    """Its pod goes with the run after it, so each run is seen while it is the last."""
    seen: dict[str, str] = {}

    def runs() -> dict[str, str]:
        for pod in pods(up.stack, "sweep"):
            if pod["status"]["phase"] == "Succeeded":
                read = ("kubectl", "logs", "-n", up.stack.physical, pod["metadata"]["name"])
                done = subprocess.run(read, capture_output=True, text=True, check=False)
                if done.returncode == 0:  # else the pod went between the two questions
                    seen[pod["metadata"]["creationTimestamp"]] = done.stdout
        return seen

    until(lambda: len(runs()) >= 2, "two runs", 150)
    moments = [datetime.fromisoformat(moment[:19]) for moment in sorted(seen)]
    assert all(moment.second < 20 for moment in moments), "at its time, as far as a busy machine lets it"
    assert {text.strip() for text in seen.values()} == {f"{SWEPT} {KEPT}"}, "and it wrote nothing"
    assert inside(up.stack, "keeper", "ls /own").split() == ["note"]


def test_scratch_has_its_size_and_is_gone_with_its_pod(up: Throwaway, overfull: str) -> None:
    """The kubelet looks every ten seconds; a cluster that measures no scratch space lets it grow."""
    where = up.stack.physical

    def evicted() -> bool:
        found = get("pods", "-n", where, "--field-selector", f"metadata.name={overfull}")["items"]
        return any(pod["status"].get("reason") == "Evicted" for pod in found)

    until(evicted, "a pod with too much scratch is evicted", 90)
    until(lambda: "asker" in serving(up.stack), "another takes its place", 60)
    assert inside(up.stack, "asker", "ls /scratch") == ""


def test_protected_data_and_its_secrets_outlive_what_removes_the_stack(up: Throwaway) -> None:
    refused(up)
    secrets = up.secrets()
    cleaned = up.stack.stackctl("cleanup", "--yes")
    assert f"PersistentVolumeClaim {up.stack.physical}/keeper-data" in cleaned.stderr
    assert not get("deployments,statefulsets,cronjobs", "-n", up.stack.physical)["items"]
    assert get("pvc", "keeper-data", "-n", up.stack.physical)["status"]["phase"] == "Bound"
    assert up.secrets() == secrets


def refused(up: Throwaway) -> None:
    before = serving(up.stack)
    told = up.stack.stackctl("destroy", check=False)
    assert told.returncode == 2
    assert f"PersistentVolumeClaim {up.stack.physical}/keeper-data" in told.stdout
    assert "holds protected data" in told.stderr
    assert serving(up.stack) == before, "nothing was removed"


def renewed(up: Throwaway) -> None:
    """Another version of a secret starts what reads it anew, and nothing else."""
    before, token = serving(up.stack), inside(up.stack, "asker", "printenv TOKEN")
    up.up(version=2)
    until(lambda: len(pods(up.stack, "asker")) == 1, "one is left", 60)
    after = serving(up.stack)
    assert {name for name in PROGRAMS if before[name] != after[name]} == READERS
    assert inside(up.stack, "asker", "printenv TOKEN") != token


def test_the_engine_starts_readers_of_a_secret_anew_and_holds_to_protected_data(
    server: tuple[str, int], tmp_path: Path
) -> None:
    reason = pulumi_cli.unavailable("kubernetes")
    if reason:
        pytest.skip(reason)
    for up in brought_up("pulumi", tmp_path, server):
        renewed(up)
        refused(up)
        secrets = up.secrets()
        assert '"token"' in secrets
        assert "keeper-data" in up.refused_by_engine()
        assert up.secrets() == secrets
        assert get("pvc", "keeper-data", "-n", up.stack.physical)["status"]["phase"] == "Bound"
        left = {item["metadata"]["name"] for item in get("deployments,cronjobs", "-n", up.stack.physical)["items"]}
        assert not left, "what the engine no longer knows is not there either"
