"""CPU, memory and durations as the targets spell them."""

from __future__ import annotations

import re
from math import ceil

# Suffixes of a quantity of bytes (Kubernetes API reference, "Quantity").
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([A-Za-z]*)")


def millicores(cores: float) -> str:
    """CPU in thousandths of a core, the finest that Kubernetes takes: 2.0 is 2000m. A smaller part counts as one."""
    return f"{_thousandths(cores)}m"


def canonical_cpu(cores: float) -> str:
    """CPU in the canonical form (Kubernetes API reference, "Quantity"), as an operator writes it back: 2.0 is 2."""
    number = _thousandths(cores)
    return f"{number}m" if number % 1000 else str(number // 1000)


def _thousandths(cores: float) -> int:
    # What a product of decimals misses by is no part of a core: 3 * 0.1 is 300 thousandths, not 301.
    return ceil(round(cores * 1000, 6))


def mebibytes(number: int) -> str:
    """Memory or disk in MiB: 1536 is 1536Mi."""
    return f"{number}Mi"


def docker_memory(mib: int) -> str:
    """Memory as Compose takes it (Compose specification, "Specifying byte values"), where m stands for MiB: 512m."""
    return f"{mib}m"


def gibibytes(number: int) -> str:
    """Memory or disk in GiB: 10 is 10Gi."""
    return f"{number}Gi"


def canonical_memory(mib: int) -> str:
    """Memory in the canonical form, with the largest suffix that leaves a whole number below Ti: 2048 is 2Gi."""
    return mebibytes(mib) if mib % 1024 else gibibytes(mib // 1024)


def read_mebibytes(quantity: str) -> int:
    """Whole MiB of a quantity of bytes, whoever wrote it: 1Gi is 1024. 0 for what is none."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None or match[2] not in _BYTES:
        return 0
    return int(float(match[1]) * _BYTES[match[2]]) >> 20


def go_duration(seconds: int) -> str:
    """A duration in the canonical spelling of Go (time.Duration.String): 90 is 1m30s, 5400 is 1h30m0s.

    Docker's engine and Keycloak's provider spell it so. What is read back from them is spelt this way, so any other
    spelling is a difference at every `up`.
    """
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
