"""versions.yaml, and the image tags that follow from it and from images/."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from settings import catalogue
from settings.catalogue import ROOT, base_ref, components, image_ref, load_versions, refs
from settings.image_rows import FILE, VersionsError, parse_versions
from tests.unit.image_tree import copy

TEXT = (ROOT / FILE).read_text()
EVERY = set(components())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what tags are computed from."""
    copy(tmp_path)
    return tmp_path


def tags(tree: Path) -> dict[str, str]:
    return refs(versions=parse_versions((tree / FILE).read_text(), tree))


def changed(tree: Path, before: dict[str, str]) -> set[str]:
    after = tags(tree)
    return {name for name in after if after[name] != before[name]}


def test_equal_trees_have_equal_tags(tree: Path) -> None:
    assert tags(tree) == refs()


def test_a_tag_names_the_component_and_its_version() -> None:
    known = load_versions()
    for name, ref in refs().items():
        version = known.images[name.removesuffix("-seeded")].default
        assert ref.startswith(f"mlflow-sso/{name}:{version}-")


@pytest.mark.parametrize(
    ("file", "rebuilt"),
    [
        ("images/redis/entrypoint", {"redis"}),
        ("stackctl/realm/people.py", {"realm"}),
        # The schemas follow from the packages alone: Postgres is not made anew for what MLflow serves beside them.
        ("images/mlflow/Dockerfile", {"mlflow"}),
        ("images/mlflow/app/mlflow_sso/served.py", {"mlflow"}),
        ("images/mlflow/heads.py", {"mlflow", "postgres-seeded"}),
        ("images/keycloak/entrypoint", {"keycloak"}),
        ("images/seed/Dockerfile", {"postgres-seeded"}),
        ("images/mlflow/requirements-11.0.2.txt", {"mlflow", "postgres-seeded"}),
        ("images/base/Dockerfile", EVERY),
        # The source of a lock is no part of what is built from the lock.
        ("images/mlflow/requirements-11.0.2.in", set()),
    ],
)
def test_a_changed_file_rebuilds_what_is_made_from_it_and_nothing_else(
    file: str, rebuilt: set[str], tree: Path
) -> None:
    before = tags(tree)
    with (tree / file).open("a") as target:
        target.write("\n# changed\n")
    assert changed(tree, before) == rebuilt


def test_an_entrypoint_that_loses_its_executable_bit_is_another_image(tree: Path) -> None:
    before = tags(tree)
    (tree / "images/redis/entrypoint").chmod(0o644)
    assert changed(tree, before) == {"redis"}


def test_a_file_that_is_added_is_another_image_and_a_cache_is_not(tree: Path) -> None:
    before = tags(tree)
    cache = tree / "images/mlflow/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "migrate.pyc").write_text("x")
    assert changed(tree, before) == set()
    (tree / "images/redis/more").write_text("x")
    assert changed(tree, before) == {"redis"}


def test_the_date_rebuilds_everything(tree: Path) -> None:
    before = tags(tree)
    document = yaml.safe_load(TEXT)
    document["debian"]["refreshed"] = "2030-01-01"
    (tree / "versions.yaml").write_text(yaml.safe_dump(document))
    assert changed(tree, before) == EVERY


def test_another_generation_of_the_seed_is_another_image_of_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = refs()
    monkeypatch.setattr(catalogue, "SEED_GENERATION", {"generation": 2})
    assert {name for name, ref in refs().items() if ref != before[name]} == {"postgres-seeded"}


def test_a_seed_belongs_to_the_versions_it_was_made_from() -> None:
    assert image_ref("postgres-seeded", "15") != image_ref("postgres-seeded", "17")
    assert image_ref("postgres-seeded", None, {"postgres": "15"}) == image_ref("postgres-seeded", "15")


def test_versions_on_different_suites_stand_on_different_bases() -> None:
    known = load_versions()
    suites = {entry.debian for entry in known.images["postgres"].versions.values()}
    assert len(suites) == 2
    assert len({base_ref(suite) for suite in suites}) == 2


def test_a_lock_holds_the_packages_that_its_row_names() -> None:
    locked = [
        (row.lock, {**row.packages, **({"mlflow-oidc-auth": key} if name == "mlflow" else {})})
        for name, image in load_versions().images.items()
        for key, row in image.versions.items()
        if row.lock is not None
    ]
    assert locked
    for lock, packages in locked:
        text = re.sub(r"\[\w+\]", "", (ROOT / lock).read_text()).replace("_", "-")
        assert [name for name, version in packages.items() if f"\n{name}=={version} " not in f"\n{text}"] == []


def test_what_is_not_in_it_is_refused() -> None:
    with pytest.raises(VersionsError, match=r"redis 9 is not in versions\.yaml; known: 8\.0"):
        image_ref("redis", "9")
    with pytest.raises(VersionsError, match="no image is called 'nginx'; there are: postgres, redis"):
        image_ref("nginx")


def test_a_base_that_is_missing_is_told(tree: Path) -> None:
    shutil.rmtree(tree / "images/base")
    with pytest.raises(VersionsError, match="images/base is missing or empty"):
        tags(tree)
    with pytest.raises(VersionsError, match="cannot read"):
        load_versions(tree / "nowhere")
