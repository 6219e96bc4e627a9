"""Whose a listening port is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from platforms.loopback import strangers

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 1509 1 0\n"
ME = os.getuid()


@pytest.mark.parametrize(
    ("uid", "port", "state", "found"),
    [(ME + 4711, 8080, "0A", {ME + 4711}), (ME, 8080, "0A", set()), (0, 8080, "0A", set()),
     (ME + 4711, 8081, "0A", set()), (ME + 4711, 8080, "01", set())],
)  # fmt: skip
@pytest.mark.parametrize(("table", "address"), [("tcp", "0100007F"), ("tcp6", "0" * 32)])
def test_only_another_users_listening_socket_is_a_stranger(
    table: str, address: str, uid: int, port: int, state: str, found: set[int], tmp_path: Path
) -> None:
    (tmp_path / table).write_text(HEAD + ROW.format(address=address, port=port, state=state, uid=uid))
    assert strangers(8080, tmp_path) == found


def test_what_this_process_listens_on_is_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        assert strangers(own.getsockname()[1]) == set()
