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


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack.make("compose", Path(tmp_path_factory.mktemp("sizes")))
    with made.running():
        yield made


@pytest.fixture(scope="module")
def bob(stack: Stack) -> Person:
    return person(Client(stack.outputs()), "bob")


def anonymous(stack: Stack) -> int:
    """MiB of memory of the container's that are no page cache (Linux, "Control Group v2", memory.stat)."""
    text = run_in(stack.container("mlflow"), "cat", "/sys/fs/cgroup/memory.stat")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("anon ")) // MIB


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
    assert most - before <= GROWTH, f"anonymous memory went from {before} to {most} MiB"


def pieces(mib: int, seed: int, digest: hashlib._Hash) -> Iterator[bytes]:
    block = hashlib.shake_256(str(seed).encode()).digest(MIB)
    for number in range(mib):
        piece = number.to_bytes(8, "big") + block[8:]
        digest.update(piece)
        yield piece


def there_and_back(bob: Person, path: str, mib: int, seed: int) -> None:
    url = f"{bob.client.outputs['mlflow_url']}{path}"
    headers = {"Authorization": bob.authorization}
    sent, got = hashlib.sha256(), hashlib.sha256()
    answer = requests.put(url, data=pieces(mib, seed, sent), headers=headers, timeout=600)
    assert answer.status_code == 200, answer.text
    with requests.get(url, headers=headers, stream=True, timeout=600) as answer:
        assert int(answer.headers["Content-Length"]) == mib * MIB
        for piece in answer.iter_content(MIB):
            got.update(piece)
    assert got.digest() == sent.digest()


@pytest.mark.parametrize(("count", "mib"), [(1, 10 * 1024), (8, 1024)])
def test_artifacts_of_any_size_go_through_in_flat_memory(stack: Stack, bob: Person, count: int, mib: int) -> None:
    experiment = bob.experiment()
    place = f"{ARTIFACTS}/{experiment}/{bob.run(experiment)}/artifacts"
    with flat(stack), ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda n: there_and_back(bob, f"{place}/{n}.bin", mib, n), range(count)))
    for number in range(count):
        assert bob.ask("DELETE", f"{place}/{number}.bin").status_code == 200
