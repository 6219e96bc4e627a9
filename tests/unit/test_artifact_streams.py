"""Artifacts between client and store: whole or not at all, parts on demand, and one clear answer where it fails."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_sso.artifacts.pieces import Incoming
from mlflow_sso.artifacts.ranges import part
from mlflow_sso.artifacts.volume import Volume
from mlflow_sso.guard.answers import Refusal
from mlflow_sso.guard.pace import Calls, Pace

from tests.unit.artifact_server import Server, cut
from tests.unit.asgi_client import run

MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


@pytest.fixture
def server(store: Volume) -> Server:
    return Server(store)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 17])
@pytest.mark.parametrize("step", [65536, 3 * MIB])
def test_what_was_sent_is_what_is_read(server: Server, tmp_path: Path, size: int, step: int) -> None:
    content = os.urandom(size)
    sent = server.ask("PUT", "1/run/artifacts/a.bin", cut(content, step))
    assert sent.status == 200
    assert files(tmp_path) == ["1/run/artifacts/a.bin"]
    got = server.ask("GET", "1/run/artifacts/a.bin")
    assert (got.status, got.body == content, got.whole) == (200, True, True)
    assert got.headers["content-length"] == str(size)
    head = server.ask("HEAD", "1/run/artifacts/a.bin")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(size))


def test_an_upload_replaces_what_was_there_at_once(server: Server) -> None:
    server.ask("PUT", "1/a", [b"old"])
    server.ask("PUT", "1/a", [b"new" * MIB], leaves=True)
    assert server.ask("GET", "1/a").body == b"old"
    server.ask("PUT", "1/a", [b"newer"])
    assert server.ask("GET", "1/a").body == b"newer"


@pytest.mark.parametrize("how", [{"leaves": True}, {"hangs": True}])
def test_nothing_is_left_of_half_an_upload(server: Server, tmp_path: Path, how: dict[str, bool]) -> None:
    answer = server.ask("PUT", "1/run/artifacts/a.bin", [b"x" * MIB] * 3, **how)
    assert answer.status in (0, 408)
    assert files(tmp_path) == []
    assert server.ask("GET", "1/run/artifacts/a.bin").status == 404


def test_a_server_removes_what_a_dead_one_left(server: Server, store: Volume, tmp_path: Path) -> None:
    upload = store.begin("1/a", None)
    upload.write([b"half"])
    store.forget_lost()
    assert len(files(tmp_path)) == 1, "another server may be at it"
    (left,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    os.utime(left, (time.time() - 90_000,) * 2)
    store.forget_lost()
    assert files(tmp_path) == []


@pytest.mark.parametrize("call", ["write", "fdatasync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_volume_is_one_clear_answer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def full(*_: Any) -> int:
        raise OSError(number, "full")

    monkeypatch.setattr(f"mlflow_sso.artifacts.volume.os.{call}", full)
    answer = server.ask("PUT", "1/a", [b"x" * MIB] * 3)
    assert (answer.status, "full" in answer.message) == (507, True)
    monkeypatch.undo()
    assert files(tmp_path) == []


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EIO, 503)])
def test_what_fails_as_the_file_is_closed_leaves_nothing_and_says_why(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    close, failed = os.close, list[int]()

    def late(file: int) -> None:
        close(file)
        if not failed:
            failed.append(file)
            raise OSError(number, "late")

    monkeypatch.setattr("mlflow_sso.artifacts.volume.os.close", late)
    answer = server.ask("PUT", "1/a", [b"x" * MIB] * 3)
    monkeypatch.undo()
    assert (answer.status, bool(failed)) == (status, True)
    assert files(tmp_path) == []


def fails(number: int) -> Callable[..., Any]:
    """What stands in the place of a call to a file system that is in trouble."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["os.open", "os.write", "os.fdatasync", "os.statvfs", "Path.mkdir", "Path.replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOENT])
def test_an_upload_to_a_volume_that_fails_may_be_sent_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    monkeypatch.setattr(f"mlflow_sso.artifacts.volume.{call}", fails(number))
    answer = server.ask("PUT", "1/a", [b"x" * MIB] * 3)
    monkeypatch.undo()
    assert (answer.status, "retry-after" in answer.headers, "volume" in answer.message) == (503, True, True)
    assert str(tmp_path) not in answer.message
    assert files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_download_from_a_volume_that_fails_may_be_asked_for_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    server.ask("PUT", "1/a", [b"x"])
    file = (tmp_path / "1/a").open("rb")
    unreadable = SimpleNamespace(fileno=file.fileno, seek=file.seek, close=file.close, read=fails(number))
    steps = (("Path.open", fails(number)), ("os.fstat", fails(number)), ("Path.open", lambda *_, **__: unreadable))
    for call, by in steps:
        with monkeypatch.context() as trouble:
            trouble.setattr(f"mlflow_sso.artifacts.volume.{call}", by)
            answer = server.ask("GET", "1/a")
        assert (answer.status, "retry-after" in answer.headers, "volume" in answer.message) == (503, True, True)
    assert file.closed
    assert server.ask("GET", "1/a").body == b"x"


def test_what_cannot_fit_is_refused_before_it_is_sent(server: Server) -> None:
    answer = server.ask("PUT", "1/a", [b"x" * MIB] * 3, headers={"content-length": str(1 << 60)})
    assert (answer.status, answer.message) == (
        507,
        "The volume of the artifacts is full: nothing of this artifact was kept.",
    )


@pytest.mark.parametrize(
    "path",
    ["../a", "1/../../a", "/etc/a", "link/a", ".artifact.uploading./a", ".artifact.uploading.", "", "1/link2"],
)
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_no_path_leads_outside(server: Server, store: Volume, tmp_path: Path, method: str, path: str) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "1").mkdir()
    (tmp_path / "1/link2").symlink_to(outside / "secret")
    (outside / "secret").write_text("secret")
    work = store.begin if method == "PUT" else store.find
    with pytest.raises(Refusal):
        work(path, None, *([None] if method == "GET" else []))
    assert files(outside) == ["secret"]


@pytest.mark.parametrize("path", ["1/file/below", "1", "1/run/" + "n" * 300])
def test_a_path_that_cannot_be_is_the_clients_fault(server: Server, path: str) -> None:
    server.ask("PUT", "1/file", [b"x"])
    assert server.ask("PUT", path, [b"y"]).status == 400
    assert server.ask("GET", path).status in (400, 404)
    assert server.ask("GET", "1/file").body == b"x"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", (0, 1)), ("bytes=10-19", (10, 10)), ("bytes=90-", (90, 10)), ("bytes=-5", (95, 5)),
        ("bytes=-500", (0, 100)), ("bytes=50-1000", (50, 50)), ("bytes=0-1,5-6", None), ("lines=1-2", None),
        ("bytes=9-3", None), ("bytes=-", None), (None, None), ("bytes=x-y", None),
    ],
)  # fmt: skip
def test_a_part_is_what_the_rfc_says(wanted: str | None, expected: tuple[int, int] | None) -> None:
    assert part(wanted, 100) == expected


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_a_part_behind_the_end_is_refused_with_the_length(server: Server, wanted: str) -> None:
    server.ask("PUT", "1/a", [b"x" * 100])
    answer = server.ask("GET", "1/a", headers={"range": wanted})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */100")


def test_a_download_goes_on_where_it_was_cut(server: Server) -> None:
    content = os.urandom(3 * MIB)
    server.ask("PUT", "1/a", [content])
    first = server.ask("GET", "1/a")
    rest = server.ask("GET", "1/a", headers={"range": f"bytes={MIB}-", "if-range": first.headers["etag"]})
    assert (rest.status, rest.headers["content-range"]) == (206, f"bytes {MIB}-{3 * MIB - 1}/{3 * MIB}")
    assert rest.body == content[MIB:]
    server.ask("PUT", "1/a", [b"another"])
    anew = server.ask("GET", "1/a", headers={"range": "bytes=3-", "if-range": first.headers["etag"]})
    assert (anew.status, anew.body) == (200, b"another")


@pytest.mark.parametrize("name", ["page.html", 'a".html', "naïve 日本.html", "x;y.svg"])
def test_an_artifact_is_never_shown_as_a_page(server: Server, name: str) -> None:
    server.ask("PUT", f"1/{name}", [b"<script>"])
    shown = server.ask("GET", f"1/{name}").headers
    assert shown["content-disposition"].startswith('attachment; filename="')
    assert shown["content-disposition"].count('"') == 2
    assert shown["x-content-type-options"] == "nosniff"


def test_pieces_are_of_one_size_however_they_come() -> None:
    async def scenario(steps: list[int]) -> list[int]:
        queue = [b"x" * step for step in steps]

        async def receive() -> Any:
            piece = queue.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(queue)}

        incoming, sizes = Incoming(receive, 100, Pace(Calls()).step), list[int]()
        while (piece := await incoming.next()) is not None:
            sizes.append(sum(map(len, piece)))
        return sizes

    assert run(scenario([250])) == [100, 100, 50]
    assert run(scenario([60, 60, 60, 70])) == [100, 100, 50]
    assert run(scenario([100, 100])) in ([100, 100], [100, 100, 0])
    assert sum(run(scenario([1] * 333))) == 333
