"""A forward in the background that was made for pods of before."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

from stackctl.engines import forward


def plan(*ports: int) -> Any:
    return SimpleNamespace(forwarded=lambda: [SimpleNamespace(local=port) for port in ports])


def test_the_first_connection_to_a_pod_that_has_gone_is_nobodys() -> None:
    """`kubectl port-forward` takes one more connection, drops it, and ends; the next one leads to a pod of now."""
    dropped = []
    with socket.create_server((forward.ADDRESS, 0)) as server:

        def serve() -> None:
            for number in range(5):
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    # Each look is a plain request, and a handshake where that is not answered.
                    if number < 4:
                        dropped.append(number)
                    else:
                        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        forward.settle(plan(server.getsockname()[1]), 120)
    assert dropped == [0, 1, 2, 3]


def test_what_never_answers_is_waited_for_no_longer_than_said() -> None:
    with socket.create_server((forward.ADDRESS, 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    forward.settle(plan(port, port), 0.2)
    assert time.monotonic() - began < forward.SETTLE_SECONDS


def test_a_program_that_has_tls_of_its_own_is_there(foreign: str) -> None:
    began = time.monotonic()
    forward.settle(plan(int(foreign.rpartition(":")[2])), 120)
    assert time.monotonic() - began < 60
