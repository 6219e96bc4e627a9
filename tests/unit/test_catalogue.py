"""versions.yaml, and the image tags that follow from it and from images/."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from settings import catalogue
from settings.catalogue import (
    ROOT,
    VERSIONS_FILE,
    VersionsError,
    base_ref,
    context_files,
    image_ref,
    load_versions,
    parse_versions,
    refs,
)
from stackctl.images import build

TEXT = VERSIONS_FILE.read_text()
ALL = load_versions().components


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what tags are computed from."""
    shutil.copytree(ROOT / "images", tmp_path / "images")
    shutil.copy(VERSIONS_FILE, tmp_path)
    return tmp_path


def tags(tree: Path) -> dict[str, str]:
    versions = parse_versions((tree / "versions.yaml").read_text())
    return {name: image_ref(name, versions=versions, root=tree) for name in versions.components}


def changed(tree: Path, before: dict[str, str]) -> set[str]:
    after = tags(tree)
    return {name for name in after if after[name] != before[name]}


def test_equal_trees_have_equal_tags(tree: Path) -> None:
    assert tags(tree) == refs()


def test_a_tag_names_the_component_and_its_version() -> None:
    known = load_versions()
    for name, ref in refs().items():
        version = known.catalogue(name.removesuffix("-seeded")).default
        assert ref.startswith(f"mlflow-sso/{name}:{version}-")


@pytest.mark.parametrize(
    ("file", "rebuilt"),
    [
        ("images/redis/entrypoint", {"redis"}),
        ("images/mlflow/Dockerfile", {"mlflow", "postgres-seeded"}),
        ("images/keycloak/entrypoint", {"keycloak", "postgres-seeded"}),
        ("images/seed/Dockerfile", {"postgres-seeded"}),
        ("images/mlflow/requirements-11.0.2.txt", {"mlflow", "postgres-seeded"}),
        ("images/base/Dockerfile", set(ALL)),
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
    cache.mkdir()
    (cache / "migrate.pyc").write_text("x")
    assert changed(tree, before) == set()
    (tree / "images/redis/more").write_text("x")
    assert changed(tree, before) == {"redis"}


def test_the_date_rebuilds_everything(tree: Path) -> None:
    before = tags(tree)
    document = yaml.safe_load(TEXT)
    document["debian"]["refreshed"] = "2030-01-01"
    (tree / "versions.yaml").write_text(yaml.safe_dump(document))
    assert changed(tree, before) == set(ALL)


def test_another_generation_of_the_seed_is_another_image_of_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = refs()
    monkeypatch.setattr(catalogue, "SEED_GENERATION", {"generation": 2})
    assert {name for name, ref in refs().items() if ref != before[name]} == {"postgres-seeded"}


def test_a_seed_belongs_to_the_versions_it_was_made_from() -> None:
    assert image_ref("postgres-seeded", "15") != image_ref("postgres-seeded", "17")
    assert image_ref("postgres-seeded", None, {"postgres": "15"}) == image_ref("postgres-seeded", "15")


def test_versions_on_different_suites_stand_on_different_bases() -> None:
    known = load_versions()
    suites = {entry.debian for entry in known.catalogue("postgres").versions.values()}
    assert len(suites) == 2
    assert len({base_ref(suite) for suite in suites}) == 2


def test_the_locks_that_are_named_exist() -> None:
    for key, entry in load_versions().catalogue("mlflow").versions.items():
        assert "requirements.txt" in context_files(ROOT, "mlflow", entry)
        assert f"mlflow-oidc-auth=={key}" in (ROOT / str(entry.lock)).read_text().replace("[cache]", "").replace(
            "_", "-"
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"8.0":', "8.0:", "write the key 8.0 in quotes"),
        ('default: "17"', 'default: "16"', "postgres.default is '16', which is none of 17, 15"),
        ('default: "17"', "default: 17", "postgres.default is 17"),
        ("{debian: bookworm,", "{debian: buster,", "no suite is called 'buster'"),
        ("{debian: bookworm, image", "{debain: bookworm, image", "postgres.versions.15: debian is missing"),
        (
            "  setting: redis.version",
            "  settings: redis.version",
            "redis: unknown settings; allowed: default, versions",
        ),
        ("  seconds: 20", '  seconds: "20"', "setting must be text, and seconds a number"),
        ("      sha256: 27", "      sha265: 27", "keycloak.versions.26.7.3: sha256 of its download is missing"),
        ('java: "21"', "java: 21", "java must be text in quotes, not 21"),
        ("sha256: 27", "sha256: xx", "sha256 is not 64 hex digits"),
        ('refreshed: "2026-11-24"', "refreshed: 2026-11-24", "debian.refreshed must be a date in quotes"),
        ("keycloak:\n", "keyclock:\n", "keycloak is missing"),
        ("debian:\n", "debian: [\n", "versions.yaml is not YAML"),
    ],
)
def test_a_mistake_in_versions_yaml_is_told(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(VersionsError) as caught:
        parse_versions(TEXT.replace(old, new, 1))
    assert message in str(caught.value)


def test_a_new_image_is_a_row_and_a_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed, has a tag of its own, and is built with what its row says; nothing else is made anew for it."""
    before = tags(tree)
    document = yaml.safe_load(TEXT)
    entry = {"debian": "trixie", "port": "9100"}
    document["exporter"] = {"setting": "redis.version", "seconds": 5, "default": "1.0", "versions": {"1.0": entry}}
    (tree / "versions.yaml").write_text(yaml.safe_dump(document))
    (tree / "images/exporter").mkdir()
    (tree / "images/exporter/Dockerfile").write_text("ARG BASE\nFROM $BASE\nARG PORT\nARG VERSION\n")
    after = tags(tree)
    assert {name: ref for name, ref in after.items() if name != "exporter"} == before
    assert after["exporter"].startswith("mlflow-sso/exporter:1.0-")
    versions = parse_versions((tree / "versions.yaml").read_text())
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "ROOT", tree)
    monkeypatch.setattr(build, "missing", lambda refs: [])
    monkeypatch.setattr(build.Builder, "_run", lambda self, command, what: asked.append(command))
    build.Builder(versions, {}, "auto", None, print).make("exporter", after["exporter"])
    (command,) = asked
    given = {word for word in command if "=" in word and not word.startswith("org.")}
    assert given == {"PORT=9100", "VERSION=1.0", f"BASE={base_ref('trixie', versions=versions, root=ROOT)}"}
    with pytest.raises(VersionsError, match=r"exporter 2 is not in versions\.yaml; known: 1\.0"):
        image_ref("exporter", "2", versions=versions, root=tree)


def test_tags_of_stacks_that_are_up_stay() -> None:
    """Another tag makes every container of it anew at the next `up`: it changes with a recipe, on purpose."""
    versions = {
        ("postgres", "17"): "06e08c14be0f",
        ("redis", "8.0"): "6e12d14e583c",
        ("keycloak", "26.7.3"): "e30a7b69a58f",
    }
    versions |= {("mlflow", "11.0.2"): "b2b52a2d1d4e", ("postgres-seeded", "17"): "c5b36316e93a"}
    for (name, version), digest in versions.items():
        assert image_ref(name, version) == f"mlflow-sso/{name}:{version}-{digest}", (
            "stacks that are up get another container; is that meant? Then say so in CHANGELOG.md and note it here"
        )


def test_what_is_not_in_it_is_refused() -> None:
    with pytest.raises(VersionsError, match=r"redis 9 is not in versions\.yaml; known: 8\.0"):
        image_ref("redis", "9")
    with pytest.raises(VersionsError, match="no image is called 'nginx'; there are: postgres, redis"):
        image_ref("nginx")


def test_a_folder_or_lock_that_is_missing_is_told(tree: Path) -> None:
    (tree / "images/mlflow/requirements-11.0.2.txt").unlink()
    with pytest.raises(VersionsError, match=r"requirements-11\.0\.2\.txt, named in versions\.yaml, does not exist"):
        tags(tree)
    shutil.rmtree(tree / "images/redis")
    with pytest.raises(VersionsError, match="images/redis is missing or empty"):
        tags(tree)
    with pytest.raises(VersionsError, match="cannot read"):
        load_versions(tree / "nowhere.yaml")
