"""Servers that answer something else than the protocol says: one line, the next step, and no traceback."""

from __future__ import annotations

import gzip
import io
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow_sso_client import bounds
from mlflow_sso_client.command import main
from mlflow_sso_client.errors import KeycloakDownError
from mlflow_sso_client.logins import Login, LoginStore
from mlflow_sso_client.web import KEYCLOAK, Web, session

from stackctl.doctor.probes import ask
from tests.unit.fakes import Fake, fake_server

REALM = "/realms/mlflow/protocol/openid-connect"
DISCOVERY = "GET /realms/mlflow/.well-known/openid-configuration"
TOKENS = {"access_token": "t", "expires_in": 300, "refresh_token": "r"}
CODE = {"verification_uri": "https://keycloak.test/device", "user_code": "AB", "device_code": "d", "expires_in": 5}
# What is no length of time, for JSON as Python reads it.
NO_TIMES: tuple[Any, ...] = (float("inf"), float("nan"), -5, 10**400)
# What is no object, and objects that lack something or hold it in another type.
NO_OBJECTS: tuple[Any, ...] = ([], ["x"], "null", "5", '"text"')


def without(document: dict[str, Any]) -> list[Any]:
    """The document without each of its fields, and with each of another type."""
    less = [{key: value for key, value in document.items() if key != gone} for gone in document]
    return [*NO_OBJECTS, *less, *({**document, name: ["x"]} for name in document)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("STACK", "MLFLOW_SSO_URL", "STACKCTL_URL", "MLFLOW_TRACKING_URI", "MLFLOW_SSO_ISSUER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_server() as fake:
        issuer = fake.issuer()
        fake.routes["GET /login"] = 302, {}, {"Location": f"{issuer}/protocol/openid-connect/auth"}
        fake.routes[f"POST {REALM}/token"] = 200, TOKENS
        fake.routes[f"POST {REALM}/auth/device"] = 200, CODE
        fake.routes["GET /api/2.0/mlflow/users/current"] = 200, {"username": "bob"}
        yield fake


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """One line, and an exit code that says which kind."""
    code = main(words)
    done = capsys.readouterr()
    assert code in (2, 3, 4, 7, 8), (code, done.err)
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.err
    assert "; " in lines[0], "cause and next step"
    return lines[0]


def test_tokens_that_are_none(server: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    LoginStore("dev").write(
        Login(
            mlflow_url=server.url, issuer=server.issuer(), client_id="mlflow-cli", username="bob", kind="device",
            offline=False, access_token="old", access_from=0, access_until=time.time() - 1, refresh_token="r",
        )
    )  # fmt: skip
    optional = {"access_token": "t", "expires_in": 300}
    checked = 0
    for status in (200, 400):
        for document in (*without(optional), {**optional, "refresh_token": 5}):
            server.routes[f"POST {REALM}/token"] = status, document
            refused(capsys, "token")
            checked += 1
    assert checked > 15
    assert LoginStore("dev").read().access_token == "old"


def test_an_issuer_that_does_not_describe_itself(server: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    described = server.routes[DISCOVERY]
    assert isinstance(described, tuple)
    needed = {name: described[1][name] for name in ("issuer", "token_endpoint", "authorization_endpoint")}
    for document in without(needed):
        server.routes[DISCOVERY] = 200, document
        refused(capsys, "login", "--url", server.url)


def test_a_code_that_is_none(server: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"expires_in": 5, "interval": 5}
    for document in (*NO_OBJECTS, *({k: v for k, v in CODE.items() if k != gone} for gone in CODE)):
        server.routes[f"POST {REALM}/auth/device"] = 200, document
        refused(capsys, "login", "--url", server.url)
    for name in numbers:
        for value in ("soon", *NO_TIMES):
            server.routes[f"POST {REALM}/auth/device"] = 200, {**CODE, name: value}
            refused(capsys, "login", "--url", server.url)


@pytest.mark.parametrize(
    "document",
    [
        *({**TOKENS, name: value} for name in ("expires_in", "refresh_expires_in") for value in NO_TIMES),
        *({**TOKENS, "access_token": text} for text in ("a\nX-Else: b", "a\x1b[2J", "a\u2019; calc; \u2018", "a b")),
        *({**TOKENS, "refresh_token": text} for text in ("r\n", "\x1b]0;x\x07", "\u00fc")),
    ],
)
def test_tokens_that_would_end_a_header_a_line_or_a_clock(
    document: dict[str, Any], server: Fake, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes[f"POST {REALM}/auth/device"] = 200, {**CODE, "interval": 0}
    server.routes[f"POST {REALM}/token"] = 200, document
    refused(capsys, "login", "--url", server.url)
    assert not list(home.rglob("*.json"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"expires_in": 1' + "0" * 5000 + "}"])
def test_json_that_no_program_can_read(text: str) -> None:
    answer = requests.Response()
    answer.status_code, answer._content = 200, text.encode()
    with pytest.raises(KeycloakDownError, match="not JSON"):
        Web(KEYCLOAK, "https://keycloak.test").json(answer)


def test_a_code_stays_on_its_line(server: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    place = "https://keycloak.test/device\nPassword:"
    code = {**CODE, "interval": 0, "user_code": "AB\nPassword:", "verification_uri": place}
    server.routes[f"POST {REALM}/auth/device"] = 200, code
    assert main(["login", "--url", server.url]) == 0
    assert not [line for line in capsys.readouterr().err.splitlines() if line.startswith("Password")]


@pytest.mark.parametrize("document", NO_OBJECTS)
def test_an_mlflow_that_does_not_say_who_is_logged_in(
    document: Any, server: Fake, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes["GET /api/2.0/mlflow/users/current"] = 200, document
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    refused(capsys, "login", "--url", server.url, "--username", "bob", "--password-stdin")
    assert not list(home.rglob("*.json"))


@pytest.mark.parametrize(
    "url", ["http://[::1", "https://mlflow.test:port", "https://mlflow.test:99999", "https://", "//mlflow.test", "a b"]
)
def test_an_address_that_is_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a URL" in refused(capsys, "login", "--url", url)


def test_a_ca_bundle_of_requests_own_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    assert main(["login", "--url", "https://127.0.0.1:1"]) == 9
    told = capsys.readouterr().err
    assert "/no/such/file.pem" in told
    assert "give its place with --ca-bundle FILE" in told


@contextmanager
def endless(*, head: bytes, piece: bytes, pause: float) -> Iterator[str]:
    """A server that sends the beginning of an answer, and then a piece again and again."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with suppress(OSError):
                self.request.sendall(head)
                while not over.wait(pause):
                    self.request.sendall(piece)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("head", "piece"), [(HEAD, b"X-More: y\r\n"), (HEAD + b"Content-Length: 100000\r\n\r\n", b" ")],
    ids=["head", "body"],
)  # fmt: skip
def test_an_answer_a_byte_at_a_time_ends(
    head: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.5)
    with endless(head=head, piece=piece, pause=0.05) as url:
        line = refused(capsys, "login", "--url", url, "--issuer", f"{url}/realms/mlflow")
        assert "no whole answer" in ask(session(), url).error, "for stackctl doctor as well"
    assert "no whole answer" in line


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "401 Unauthorized"])
def test_an_answer_without_end_is_read_to_a_bound(status: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that leads to another place, which nobody follows."""
    head = f"HTTP/1.1 {status}\r\nLocation: /x\r\n\r\n".encode()
    with endless(head=head, piece=b" " * 65536, pause=0) as url:
        line = refused(capsys, "login", "--url", url, "--issuer", f"{url}/realms/mlflow")
        assert "more than 1 MiB" in ask(session(), url).error
    assert "more than 1 MiB" in line


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(b" " * (8 << 20), mtime=0), id="much"),
        pytest.param(gzip.compress(b"", mtime=0)[:-8] + b"\0\0\0\xff\xff", id="cut off"),
    ],
)
def test_an_answer_that_is_packed_is_not_unpacked(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A few bytes of it are gigabytes, or nothing without end."""
    with endless(head=HEAD + b"Content-Encoding: gzip\r\n\r\n" + body, piece=body, pause=0) as url:
        line = refused(capsys, "login", "--url", url, "--issuer", f"{url}/realms/mlflow")
    assert "a compressed answer, which was not asked for" in line


def test_what_is_not_read_in_time_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.5)
    with endless(head=HEAD + b"\r\n", piece=b" ", pause=0.05) as url:
        with pytest.raises(KeycloakDownError, match="no whole answer"):
            Web(KEYCLOAK, url).ask("GET", "/")
        end = time.monotonic() + 10
        while any(one.name == "answer" for one in threading.enumerate()) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(one.name == "answer" for one in threading.enumerate())


def test_an_answer_is_read_where_no_thread_can_be_had(server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python ends, which is when MLflow ends a run, and beyond a limit of processes."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    web = Web(KEYCLOAK, server.url)
    monkeypatch.setattr(threading.Thread, "start", lambda self: refuse(self) if self.name == "answer" else START(self))
    assert web.ask("GET", "/login").status_code == 302


START = threading.Thread.start
