"""The sizes of the default images, against those of the release before."""

from __future__ import annotations

from platforms.docker.daemon import docker
from settings.catalogue import refs
from tests.bench.figures import Figure, Held

MIB = 1 << 20
# Bytes of the images of commit bd9bdd0, by `docker image inspect`, on a base that debootstrap made.
BEFORE = {"postgres-seeded": 434_476_956, "redis": 88_004_454, "keycloak": 653_722_565, "mlflow": 837_507_023}
# Debian's own packages grow by less from one day to another.
BOUND = 1.02


def sizes() -> list[Held]:
    """A figure for each image of the plain stack."""
    names = refs()
    return [
        Figure(f"image of {name}", [_bytes(names[name]) / MIB], "MiB", [before / MIB], BOUND)
        for name, before in BEFORE.items()
    ]


def _bytes(reference: str) -> int:
    return int(docker("image", "inspect", "--format", "{{.Size}}", reference))
