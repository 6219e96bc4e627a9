"""TCP ports of this machine that a stack wants to listen on."""

from __future__ import annotations

import socket


def is_free(address: str, port: int) -> bool:
    """Whether a program could listen on a port of this address now. An address that is not this machine's has none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A connection that has just ended does not hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
