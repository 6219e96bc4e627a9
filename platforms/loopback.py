"""Who listens on a port of this machine: loopback ports have no owner until somebody takes them."""

from __future__ import annotations

import os
from pathlib import Path

# State "listening" in the kernel's tables (include/net/tcp_states.h).
_LISTEN = "0A"


def strangers(port: int, tables: Path = Path("/proc/net")) -> set[int]:
    """The users, other than this one and root, that listen on a TCP port here; none where the kernel does not tell.

    Columns of the tables: proc_net_tcp in the kernel's documentation.
    """
    owners: set[int] = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = (tables / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                owners.add(int(words[7]))
    return owners - {0, os.getuid()}
