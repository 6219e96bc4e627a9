"""Artifacts of sizes that CI cannot hold: 10 GiB alone, and eight of 1 GiB at once, both ways, in flat memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.e2e.asking import Person, person
from tests.e2e.harness import Client, Stack, run_in

MIB = 1 << 20
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
# What MLflow's anonymous memory may grow by, however much goes through it.
GROWTH = 64
# Keycloak refuses some of several logins of one user at once.
LOGIN = threading.Lock()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack.make("compose", Path(tmp_path_factory.mktemp("sizes")))
    with made.running():
        yield made


def bob(stack: Stack) -> Person:
    """With a token of now: one is good for five minutes, and these tests take longer."""
    with LOGIN:
        return person(Client(stack.outputs()), "bob")


def anonymous(stack: Stack) -> int:
    """MiB of memory of the container's that are no page cache.

    Source: Linux, "Control Group v2" and "Memory Resource Controller" (v1), memory.stat.
    """
    names = {"memory.stat": "anon ", "memory/memory.stat": "total_rss "}
    script = " || ".join(f"grep '^{name}' /sys/fs/cgroup/{file} 2> /dev/null" for file, name in names.items())
    return int(run_in(stack.container("mlflow"), "sh", "-c", script).split()[1]) // MIB


@contextmanager
def flat(stack: Stack) -> Iterator[None]:
    """Holds that memory does not grow within."""
    before, most, over = anonymous(stack), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.5):
            most = max(most, anonymous(stack))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    print(f"anonymous memory: {before} MiB before, {most} MiB at most")
    assert most - before <= GROWTH, f"anonymous memory went from {before} to {most} MiB"


def pieces(mib: int, seed: int, digest: hashlib._Hash) -> Iterator[bytes]:
    block = hashlib.shake_256(str(seed).encode()).digest(MIB)
    for number in range(mib):
        piece = number.to_bytes(8, "big") + block[8:]
        digest.update(piece)
        yield piece


def there_and_back(stack: Stack, path: str, mib: int, seed: int) -> None:
    url = f"{stack.outputs()['mlflow_url']}{path}"
    sent, got = hashlib.sha256(), hashlib.sha256()
    headers = {"Authorization": bob(stack).authorization}
    answer = requests.put(url, data=pieces(mib, seed, sent), headers=headers, timeout=600)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": bob(stack).authorization}
    with requests.get(url, headers=headers, stream=True, timeout=600) as answer:
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["Content-Length"]) == mib * MIB
        for piece in answer.iter_content(MIB):
            got.update(piece)
    assert got.digest() == sent.digest()


@pytest.mark.parametrize(("count", "mib"), [(1, 10 * 1024), (8, 1024)])
def test_artifacts_of_any_size_go_through_in_flat_memory(stack: Stack, count: int, mib: int) -> None:
    owner = bob(stack)
    experiment = owner.experiment()
    place = f"{ARTIFACTS}/{experiment}/{owner.run(experiment)}/artifacts"
    with flat(stack), ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda n: there_and_back(stack, f"{place}/{n}.bin", mib, n), range(count)))
    owner = bob(stack)
    for number in range(count):
        assert owner.ask("DELETE", f"{place}/{number}.bin").status_code == 200
