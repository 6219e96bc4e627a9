"""The doctor's look at a mail server: its words are run here as Keycloak's container runs them."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from platforms.running import EXEC_SECONDS, Answer, Instance
from stackctl.doctor.checks_mail import mail
from stackctl.doctor.findings import Finding
from tests.samples import settings
from tests.unit.doctor import FakeRunning, observed

KEYCLOAK = Instance("x-keycloak", "keycloak", True, "mlflow-sso/keycloak:26", env={})


class Here(FakeRunning):
    """Runs what it is given on this machine."""

    def execute(
        self,
        instance: Instance,
        command: Sequence[str],
        secrets: Mapping[str, str] | None = None,
        seconds: int = EXEC_SECONDS,
    ) -> Answer:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            return Answer(124, "", "")
        return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def serving(greeting: bytes | None, hello: bytes = b"") -> Iterator[int]:
    """A server that says these two, and waits for each word of its client; without a greeting it hangs up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            if greeting is None:
                return
            connection.sendall(greeting)
            if connection.recv(100).startswith(b"EHLO"):
                connection.sendall(hello)
                connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(15)


def looked(port: int, encryption: str = "starttls", **more: Any) -> list[Finding]:
    server = {"host": "mail.example.com", "port": port, "sender": "a@example.com", "encryption": encryption}
    given = settings({"realm": {"mail": server}})
    # The rules refuse a name that means the container itself, which here is where the server is.
    there = given.realm.mail.model_copy(update={"host": "127.0.0.1"}) if given.realm.mail else None
    changed = given.model_copy(update={"realm": given.realm.model_copy(update={"mail": there})})
    return list(mail(observed(KEYCLOAK, running=Here(), settings=changed, **more)))


FULL = b"250-mail.example.com\r\n250-STARTTLS\r\n250 SIZE 1000\r\n"


def test_a_server_that_speaks_as_declared_is_none() -> None:
    with serving(b"220-Welcome\r\n220 mail.example.com ESMTP\r\n", FULL) as port:
        assert looked(port) == []


def test_one_in_clear_needs_no_starttls() -> None:
    with serving(b"220 sink\r\n", b"250 sink\r\n") as port:
        assert looked(port, "none") == []


def test_tls_from_the_first_byte_is_only_connected_to() -> None:
    with serving(b"") as port:
        assert looked(port, "tls") == []


@pytest.mark.parametrize(
    ("greeting", "hello", "seen"),
    [
        (b"220 sink\r\n", b"250-sink\r\n250 SIZE 1\r\n", "it offers SIZE"),
        (b"220 sink\r\n", b"250 sink\r\n", "it offers nothing"),
        (b"220 sink\r\n", b"550 not from there\r\n", "550 not from there"),
        (b"554 no\r\n", b"", "554 no"),
        (None, b"", "no greeting"),
    ],
)
def test_what_is_wrong_is_told(greeting: bytes | None, hello: bytes, seen: str) -> None:
    with serving(greeting, hello) as port:
        (finding,) = looked(port)
    assert finding.id == "mail-server"
    assert f"127.0.0.1:{port}: " in finding.evidence
    assert seen in finding.evidence


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (finding,) = looked(port)
    assert "refused" in finding.evidence


def test_without_mail_or_a_keycloak_nothing_is_asked() -> None:
    assert list(mail(observed(KEYCLOAK, settings=settings()))) == []
    assert list(mail(observed(KEYCLOAK))) == []
    given = settings({"realm": {"mail": {"host": "m.example.com", "sender": "a@example.com"}}})
    running = FakeRunning()
    assert list(mail(observed(running=running, settings=given))) == []
    assert running.commands == []
