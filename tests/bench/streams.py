"""A large artifact up and down: the stack against a few lines of Starlette that stream to the same store.

BENCH_GIB says how large; both sides are asked by turns, and each file is removed before the next one comes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from settings import ROOT
from tests.bench.beside import beside
from tests.bench.figures import Figure, Held, timed
from tests.e2e.asking import person
from tests.e2e.harness import Client, Stack, gateway
from tests.unit.store_programs import BUCKET, KEY_ID, REGION, SECRET_KEY, s3_client, s3_server

ROUNDS = 5
MIB = 1 << 20
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
# At least 0.8 of what a bare application moves in a second.
BOUND = 1 / 0.8
SECONDS = 600
PROGRAM = ROOT / "tests/bench/bare_streams.py"


def size_mib() -> int:
    """Of the file, by BENCH_GIB; 1 GiB without it. Raises ValueError for what is no size."""
    text = os.environ.get("BENCH_GIB", "1")
    try:
        mib = int(float(text) * 1024)
    except (ValueError, OverflowError):
        mib = 0
    if mib < 1:
        raise ValueError(f"BENCH_GIB is {text!r}, and has to be a number of GiB")
    return mib


@dataclass(frozen=True)
class Place:
    """Where a file is put, got and deleted. login: the headers of whoever does it."""

    url: str
    path: str
    login: Mapping[str, str]

    def up(self, mib: int) -> None:
        """Raises RuntimeError, as the others do, for an answer that is none."""
        block = os.urandom(MIB)

        def pieces() -> Iterator[bytes]:
            for _ in range(mib):
                yield block

        self._ask("PUT", pieces(), {"Content-Length": str(mib * MIB)})

    def down(self, mib: int) -> None:
        got = self._ask("GET", None, {})
        if got != mib * MIB:
            raise RuntimeError(f"{got} bytes came in place of {mib} MiB")

    def delete(self) -> None:
        self._ask("DELETE", None, {})

    def _ask(self, method: str, body: Iterator[bytes] | None, headers: Mapping[str, str]) -> int:
        """Bytes of the answer."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=SECONDS)
        connection.request(method, self.path, body, {**headers, **self.login})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{method} {self.path}: {answer.status} {answer.read(200)!r}")
        buffer, got = bytearray(MIB), 0
        while size := answer.readinto(buffer):
            got += size
        connection.close()
        return got


def volume(stack: Stack) -> list[Held]:
    """On the volume of a stack that is up."""
    return _figures(stack, "volume", {"BARE_ROOT": "/mlflow/artifacts"})


def bucket(scratch: Path) -> list[Held]:
    """In a bucket of versitygw, on this machine's disk. Raises pytest's Skipped where that is not installed."""
    folder, home = scratch / "bucket", scratch / "bucket-stack"
    folder.mkdir()
    home.mkdir()
    with s3_server(folder, gateway()) as url:
        s3_client(url).create_bucket(Bucket=BUCKET)
        given = {"bucket": BUCKET, "endpointUrl": url, "region": REGION}
        given |= {"accessKeyId": KEY_ID, "secretAccessKey": SECRET_KEY}
        env = {"BARE_BUCKET": BUCKET, "BARE_URL": url, "AWS_DEFAULT_REGION": REGION}
        env |= {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        with Stack.make("compose", home, mlflow={"s3": given}).running() as stack:
            return _figures(stack, "bucket", env)


def _figures(stack: Stack, store: str, env: Mapping[str, str]) -> list[Held]:
    mib = size_mib()
    client = Client(stack.outputs())
    bob = person(client, "bob")
    experiment = bob.experiment()
    path = f"{ARTIFACTS}/{experiment}/{bob.run(experiment)}/artifacts/large.bin"
    program = ("python", "-c", PROGRAM.read_text())
    seconds: dict[str, tuple[list[float], list[float]]] = {"up": ([], []), "down": ([], [])}
    with beside(stack, "streams", program, "/health", lambda _: False, env) as url:
        for number in range(ROUNDS + 1):
            # A token lives for minutes, and is made before the clock runs.
            login = {"Authorization": person(client, "bob").authorization}
            ours = Place(client.outputs["mlflow_url"], path, login)
            for side, place in enumerate((ours, Place(url, "/file", {}))):
                up, down = timed(partial(place.up, mib)), timed(partial(place.down, mib))
                place.delete()
                # The first round warms both sides.
                if number:
                    seconds["up"][side].append(up)
                    seconds["down"][side].append(down)
    name = f"{store}: {mib / 1024:.3g} GiB"
    return [Figure(f"{name} {way}", own, "s", bare, BOUND) for way, (own, bare) in seconds.items()]
