"""A server that is neither this machine nor a container of it: a network namespace at the other end of a cable."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PORT = 7007
_LISTEN = f"import socket, time; s = socket.create_server(('', {PORT})); print(flush=True); time.sleep(3600)"


@dataclass(frozen=True)
class Server:
    """Where it takes connections."""

    host: str
    port: int


@contextmanager
def server() -> Iterator[Server | None]:
    """None where this user cannot make one."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        yield None
        return
    name, here, there = _claim()
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", f"{here}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "address", "add", f"{there}/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", here)
        command = ("ip", "netns", "exec", name, sys.executable, "-c", _LISTEN)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as listening:
            try:
                assert listening.stdout is not None
                listening.stdout.readline()
                yield Server(there, PORT)
            finally:
                listening.terminate()
    finally:
        # The cable goes with one of its ends.
        _ip("netns", "delete", name)


def _claim() -> tuple[str, str, str]:
    """A namespace, and an address at each end of its cable, which no other run on this machine has."""
    # Four addresses each of TEST-NET-2 (RFC 5737).
    for first in random.sample(range(0, 256, 4), 64):
        name = f"outside{first}"
        made = subprocess.run(("ip", "netns", "add", name), stderr=subprocess.PIPE, text=True, check=False)
        if made.returncode == 0:
            return name, f"198.51.100.{first + 1}", f"198.51.100.{first + 2}"
        assert "File exists" in made.stderr, made.stderr
    raise RuntimeError("every address of TEST-NET-2 is taken; `ip netns list` shows by what")


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)
