"""A stack whose state is lost is cleared away by its labels, on a real engine."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms.labels import LABEL_COMPONENT, LABEL_PROJECT, LABEL_STACK
from settings import PROJECT
from settings.catalogue import refs
from tests.e2e.harness import DEFINED, Client, Stack, docker


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Stack]:
    """What is left of a stack of which nothing but labelled objects is known: no state, no settings."""
    stack = Stack("compose", tmp_path, {})
    labels = [
        word
        for key, value in ((LABEL_PROJECT, PROJECT), (LABEL_STACK, stack.name), (LABEL_COMPONENT, "redis"))
        for word in ("--label", f"{key}={value}")
    ]
    name, image = stack.container("redis"), f"{PROJECT}/test:{stack.name}"
    docker("tag", refs()["redis"], image)
    docker("network", "create", *labels, stack.physical + "-net")
    docker("volume", "create", *labels, stack.physical + "-data")
    mount = f"{stack.physical}-data:/data"
    docker(
        "run", "-d", "--name", name, *labels, "--network", stack.physical + "-net", "-v", mount,
        "--stop-timeout", "1", "--entrypoint", "sleep", image, "600",
    )  # fmt: skip
    yield stack
    for command in (
        ("rm", "-fv", name, f"holder-{stack.name}"),
        ("network", "rm", stack.physical + "-net"),
        ("volume", "rm", stack.physical + "-data"),
        ("image", "rm", image),
    ):
        subprocess.run(("docker", *command), capture_output=True, check=False)


def images(stack: Stack) -> str:
    return docker("image", "ls", "--format", "{{.Tag}}", f"{PROJECT}/test").strip()


def test_nothing_happens_without_a_yes_or_in_a_dry_run(lost: Stack) -> None:
    before = sorted(lost.leftovers())
    refused = lost.stackctl("cleanup", check=False)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    shown = lost.stackctl("cleanup", "--dry-run", "--yes").stdout
    assert [line.split() for line in shown.splitlines()] == [
        ["container", lost.container("redis")],
        ["network", lost.physical + "-net"],
        ["volume", lost.physical + "-data"],
    ]
    assert sorted(lost.leftovers()) == before


def test_a_lost_stack_goes_with_its_images_and_its_absence_is_proven(lost: Stack) -> None:
    dirty = lost.stackctl("verify-clean", check=False)
    assert dirty.returncode == 1
    assert f"volume {lost.physical}-data" in dirty.stdout
    lost.stackctl("cleanup", "--yes", "--images")
    assert lost.leftovers() == []
    assert lost.name not in images(lost)
    assert lost.stackctl("verify-clean").stdout == ""
    assert "Nothing" in lost.stackctl("cleanup", "--yes").stderr


def test_images_stay_unless_asked_for(lost: Stack) -> None:
    lost.stackctl("cleanup", "--yes")
    assert lost.name in images(lost)


def test_a_volume_in_use_by_a_foreign_container_is_refused_by_its_name(lost: Stack) -> None:
    holder = f"holder-{lost.name}"
    docker(
        "run", "-d", "--name", holder, "-v", f"{lost.physical}-data:/d", "--entrypoint", "sleep", refs()["redis"], "9"
    )
    before = sorted(lost.leftovers())
    refused = lost.stackctl("cleanup", "--yes", check=False)
    assert refused.returncode == 2
    assert f"{lost.physical}-data = in use by {holder}" in refused.stderr
    assert sorted(lost.leftovers()) == before
    lost.stackctl("cleanup", "--yes", "--keep-data")
    assert sorted(lost.leftovers()) == sorted([holder, f"{lost.physical}-data"])
    docker("rm", "-fv", holder)
    lost.stackctl("cleanup", "--yes")
    assert lost.leftovers() == []


def test_the_objects_of_another_stack_are_not_touched(lost: Stack) -> None:
    other = Stack("compose", lost.home, {}, name=f"u{secrets.token_hex(4)}")
    other.stackctl("cleanup", "--yes")
    assert len(lost.leftovers()) == 3


def test_data_that_was_kept_and_the_secrets_it_knows_serve_the_next_up(tmp_path: Path) -> None:
    stack = Stack.make("compose", tmp_path)
    try:
        stack.up()
        before = stack.outputs()
        stack.stackctl("cleanup", "--yes", "--keep-data")
        left = set(stack.leftovers())
        assert stack.container("postgres") + "-data" in left
        assert not left & {stack.container(name) for name in DEFINED}
        assert "There is no stack" in stack.stackctl("outputs", check=False).stderr
        stack.up()
        assert stack.outputs() == before
        # Keycloak still knows alice by the password of the first time, and MLflow's client by its secret.
        Client(before).password_token("alice")
        stack.stackctl("cleanup", "--yes")
        stack.stackctl("verify-clean")
        assert stack.leftovers() == []
    finally:
        stack.destroy(check=False)
