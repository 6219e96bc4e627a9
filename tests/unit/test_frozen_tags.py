"""The tag of every image that stacks run, in every version: one that changes by accident replaces what runs.

An image that no release has run yet is run by nobody. It needs a row once a release of its stack is kept
(tests/contract/test_frozen.py).
"""

from __future__ import annotations

import re

from settings.catalogue import ROOT, SEED_SOURCES, SEEDED, base_ref, image_ref, load_versions

FROZEN = ROOT / "tests/contract/frozen"

TAGS = {
    "debian trixie": "mlflow-sso/debian:trixie-7b24b191c33a",
    "debian bookworm": "mlflow-sso/debian:bookworm-c7df662ff7b7",
    "postgres 17": "mlflow-sso/postgres:17-06e08c14be0f",
    "postgres 15": "mlflow-sso/postgres:15-3e4efab44199",
    "redis 8.0": "mlflow-sso/redis:8.0-6e12d14e583c",
    "keycloak 26.7.3": "mlflow-sso/keycloak:26.7.3-0d8eda9f527f",
    "mlflow 11.0.2": "mlflow-sso/mlflow:11.0.2-b0bf474d3c79",
    "postgres-seeded 17": "mlflow-sso/postgres-seeded:17-c5b36316e93a",
    "postgres-seeded 15": "mlflow-sso/postgres-seeded:15-2c50497a989c",
}


def test_every_tag_is_the_one_that_stacks_run() -> None:
    known = load_versions()
    tags = {f"debian {suite}": base_ref(suite) for suite in known.debian.suites}
    tags |= {f"{name} {key}": image_ref(name, key) for name, image in known.images.items() for key in image.versions}
    tags |= {f"{SEEDED} {key}": image_ref(SEEDED, key) for key in known.images["postgres"].versions}
    changed = {name: tag for name, tag in tags.items() if TAGS.get(name) not in (None, tag)}
    assert changed == {}, (
        "These images have other tags than before. At the next `up` of every stack they are built anew, and each "
        "container or pod that runs one of them is replaced (its volumes, claims and passwords stay). Was that meant: "
        "did files below images/ or the rows of versions.yaml change, on purpose? Then say in CHANGELOG.md what people "
        f"will see restart, and put these tags in {__name__}.TAGS. If only the code changed, the code is wrong."
    )
    held = {name: tag for name, tag in tags.items() if name in TAGS or name.partition(" ")[0] in released()}
    assert held == TAGS, f"versions came or went: make {__name__}.TAGS say the same as this"


def released() -> set[str]:
    """The images that the stacks of a release run, and what they are made from."""
    run = {
        name for file in FROZEN.glob("*/*.jsonl") for name in re.findall(r'"mlflow-sso/([a-z0-9-]+):', file.read_text())
    }
    assert run >= {"redis", "keycloak", "mlflow", SEEDED}
    return {"debian", *SEED_SOURCES, *run}
