"""A part that Google's store keeps half of, or whose answer is lost, goes on from where the store says that it is."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow_sso.artifacts import gcs
from mlflow_sso.artifacts.gcs import GcsError, GcsParts

KIB = 1 << 10
PART = bytes(range(256)) * 4 * KIB


class Session:
    """A resumable upload of a store in trouble. troubles: what befalls the next calls that bring bytes."""

    def __init__(self) -> None:
        self.troubles: list[str] = []
        self.kept = b""
        self.whole = self.deleted = False

    def put(self, content_range: str, body: bytes) -> tuple[int, dict[str, str]]:
        trouble = self.troubles.pop(0) if self.troubles and body else ""
        if trouble.isdigit():
            return int(trouble), {}
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range)
        assert match is not None
        if body:
            assert (int(match[1]), int(match[2]) + 1 - int(match[1])) == (len(self.kept), len(body))
            self.kept += body[: len(body) // 2] if trouble in ("half", "half lost") else body
        self.whole = match[3] == str(len(self.kept))
        if trouble in ("lost", "half lost"):
            return 0, {}
        return (200, {}) if self.whole else (308, {"Range": f"bytes=0-{len(self.kept) - 1}"} if self.kept else {})


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def parts(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsParts]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = session.put(self.headers["Content-Range"], body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def do_DELETE(self) -> None:
            session.deleted = True
            self.send_response(499)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(gcs, "_WAITS", (0, 0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield GcsParts(f"http://127.0.0.1:{server.server_port}/session")
        server.shutdown()


@pytest.mark.parametrize("trouble", ["", "503", "429", "lost", "half", "half lost"])
@pytest.mark.parametrize("when", [0, 1, 2])
def test_all_of_it_arrives_once(parts: GcsParts, session: Session, trouble: str, when: int) -> None:
    session.troubles = ["ok"] * when + [trouble, trouble]
    parts.send(1, PART)
    parts.send(2, PART[::-1])
    assert not session.whole
    parts.finish(3, b"rest")
    assert session.kept == PART + PART[::-1] + b"rest"
    assert session.whole


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_repeated(parts: GcsParts, session: Session, status: int) -> None:
    session.troubles = [str(status)]
    with pytest.raises(GcsError) as caught:
        parts.send(1, PART)
    assert caught.value.status == status


def test_a_store_that_stays_in_trouble_is_given_up(parts: GcsParts, session: Session) -> None:
    session.troubles = ["503"] * 9
    with pytest.raises(GcsError) as caught:
        parts.send(1, PART)
    assert caught.value.status == 503
    parts.abort()
    assert session.deleted
