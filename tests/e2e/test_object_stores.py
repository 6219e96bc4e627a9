"""A stack whose artifacts are in an object store: MLflow's own calls, pages and links, against real servers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.asking import Person, person
from tests.e2e.harness import Client, Stack, gateway, run_in
from tests.unit.object_servers import ACCOUNT, ACCOUNT_KEY, azurite, fake_gcs, versitygw
from tests.unit.store_programs import BUCKET

pytestmark = pytest.mark.e2e
MIB = 1 << 20
PROXY = "/api/2.0/mlflow-artifacts"
SERVERS = {"s3": versitygw, "gcs": fake_gcs, "azure": azurite}
# A stack for each takes minutes, and tests/unit asks every server without one.
STACKS = SERVERS if os.environ.get("SOAK") else {"s3"}


@dataclass(frozen=True)
class Kept:
    """A stack and the name of its store in the settings. end: of the store's server."""

    stack: Stack
    store: str
    bob: Person
    end: Callable[[], None]


def settings(store: str, url: str) -> dict[str, Any]:
    if store == "s3":
        keys = {"accessKeyId": "id", "secretAccessKey": "secret-key", "region": "us-east-1"}
        return {"bucket": BUCKET, "prefix": "runs", "endpointUrl": url, "direct": True, **keys}
    if store == "gcs":
        return {"bucket": BUCKET, "prefix": "runs", "endpointUrl": url, "anonymous": True}
    place = {"account": ACCOUNT, "container": BUCKET, "prefix": "runs"}
    return {**place, "endpointUrl": f"{url}/{ACCOUNT}", "accountKey": ACCOUNT_KEY}


@pytest.fixture(scope="module", params=SERVERS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    if request.param not in STACKS:
        pytest.skip(f"`make soak` runs a stack with {request.param}")
    with ExitStack() as servers:
        server = servers.enter_context(SERVERS[request.param](Path(tmp_path_factory.mktemp("store")), gateway()))
        given = settings(request.param, server.url)
        stack = Stack.make("compose", Path(tmp_path_factory.mktemp("stack")), mlflow={request.param: given})
        with stack.running():
            yield Kept(stack, request.param, person(Client(stack.outputs()), "bob"), servers.close)


@pytest.fixture(scope="module")
def place(kept: Kept) -> str:
    experiment = kept.bob.experiment()
    return f"{experiment}/{kept.bob.run(experiment)}/artifacts"


@pytest.mark.parametrize("size", [5, 12 * MIB])
def test_what_is_logged_is_listed_shown_and_removed(kept: Kept, place: str, size: int) -> None:
    bob, content = kept.bob, os.urandom(size)
    bob.put(f"{place}/models/a b.bin", content)
    run = place.split("/")[1]
    (file,) = bob.must("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}&path=models")["files"]
    assert (file["path"], int(file["file_size"])) == ("models/a b.bin", size)
    for path in (f"{PROXY}/artifacts/{place}/models/a b.bin", f"/get-artifact?run_id={run}&path=models/a b.bin"):
        answer = bob.ask("GET", path)
        assert (answer.status_code, answer.content == content) == (200, True)
    assert bob.ask("DELETE", f"{PROXY}/artifacts/{place}/models/a b.bin").status_code == 200
    assert bob.ask("GET", f"{PROXY}/artifacts/{place}/models/a b.bin").status_code == 404


def test_links_are_made_for_who_may_and_where_the_setting_says_so(kept: Kept, place: str) -> None:
    bob, direct = kept.bob, kept.store == "s3"
    bob.put(f"{place}/linked", b"linked")
    told = bob.must("GET", "/api/3.0/mlflow/server-info")
    assert [told[f"multipart_{way}_enabled"] for way in ("uploads", "downloads")] == [direct, direct]
    owner = person(bob.client, "alice")
    foreign = owner.experiment()
    calls = {
        "mpu/create": ("POST", {"path": "x", "num_parts": 1}),
        "mpu/complete": ("POST", {"path": "x", "upload_id": "none", "parts": [{"part_number": 1, "etag": "e"}]}),
        "mpu/abort": ("POST", {"path": "x", "upload_id": "none"}),
        "presigned": ("GET", None),
    }
    for call, (method, body) in calls.items():
        path = f"{PROXY}/{call}/{place}" + ("/linked" if call == "presigned" else "")
        expected = {"mpu/create": 200, "presigned": 200}.get(call, 400) if direct else 501
        assert bob.ask(method, path, body).status_code == expected, call
        elsewhere = f"{PROXY}/{call}/{foreign}/artifacts" + ("/linked" if call == "presigned" else "")
        assert bob.ask(method, elsewhere, body).status_code == 403, call


def test_no_secret_of_the_store_is_told(kept: Kept) -> None:
    logs = kept.stack.logs("mlflow")
    command = run_in(kept.stack.container("mlflow"), "cat", "/proc/1/cmdline")
    labels = json.dumps(
        subprocess.run(
            ("docker", "inspect", "--format", "{{json .Config.Labels}}", kept.stack.container("mlflow")),
            capture_output=True, text=True, check=True,
        ).stdout
    )  # fmt: skip
    for secret in ("secret-key", ACCOUNT_KEY):
        assert secret not in logs + command + labels


def test_what_is_asked_of_a_store_that_is_away_is_told_so(kept: Kept, place: str) -> None:
    """The last one: the server is not started again."""
    bob, run = kept.bob, place.split("/")[1]
    asked = [
        ("GET", f"{PROXY}/artifacts/{place}/linked"),
        ("PUT", f"{PROXY}/artifacts/{place}/more"),
        ("DELETE", f"{PROXY}/artifacts/{place}/linked"),
        ("GET", f"{PROXY}/artifacts?path={place}"),
        ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}"),
        ("GET", f"/get-artifact?run_id={run}&path=linked"),
    ]
    if kept.store == "s3":
        asked.append(("GET", f"{PROXY}/presigned/{place}/linked"))
    kept.end()
    for method, path in asked:
        answer = bob.ask(method, path)
        assert (answer.status_code, "cannot be asked" in answer.text) == (503, True), f"{path}: {answer.text[:200]}"
        assert json.loads(answer.text)["error_code"] == "TEMPORARILY_UNAVAILABLE"
