"""A row in versions.yaml: a new one is enough for a new image, and a wrong one is told with all its mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from problems import StackError
from settings import versions as chosen
from settings.catalogue import ROOT, components, image_ref, load_versions, refs
from settings.image_rows import FILE, RESERVED, Versions, VersionsError, parse_versions
from settings.model import Settings
from settings.reference import rows
from settings.versions import choosers, selection
from tests.samples import settings
from tests.unit.image_tree import NAME, plant, section

TEXT = (ROOT / FILE).read_text()
SUM = section()["versions"]["2"]["downloads"]["program.bin"]["sha256"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return plant(tmp_path)


@pytest.fixture
def planted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Versions:
    """The tree with one image more, in the place of the project's own."""
    known = load_versions(tree)
    monkeypatch.setattr(chosen, "load_versions", lambda: known)
    return known


def written(tree: Path, change: dict[str, Any]) -> Versions:
    """The tree with these keys of the throw-away image written over."""
    document = yaml.safe_load((tree / FILE).read_text())
    document[NAME] |= change
    return parse_versions(yaml.safe_dump(document, sort_keys=False), tree)


def mistakes(text: str, root: Path = ROOT) -> list[str]:
    with pytest.raises(VersionsError) as caught:
        parse_versions(text, root)
    return [str(problem) for problem in caught.value.problems]


def test_a_row_and_a_folder_are_an_image_in_its_default_version(planted: Versions) -> None:
    assert NAME in components(planted)
    tags = refs(versions=planted)
    assert {name: tag for name, tag in tags.items() if name != NAME} == refs()
    assert tags[NAME].startswith("mlflow-sso/throw-away:2-")
    assert image_ref(NAME, "1", versions=planted).startswith("mlflow-sso/throw-away:1-")


def test_an_image_without_a_setting_is_chosen_by_nobody(planted: Versions) -> None:
    assert NAME not in choosers()
    assert NAME not in selection(settings())
    assert chosen.known_versions(NAME) == ("1", "2")


def test_a_setting_that_is_named_chooses_and_is_checked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The throw-away image takes the setting of Redis, which the model has already."""
    known = written(tree, {"setting": "redis.version"})
    monkeypatch.setattr(chosen, "load_versions", lambda: known)
    with pytest.raises(StackError, match=r"redis\.version = 8: expected one of 8\.0") as caught:
        settings({"redis": {"version": "8"}})
    # A setting is blamed once, however many images it chooses.
    assert len(caught.value.problems) == 1
    document = yaml.safe_load((tree / FILE).read_text())
    del document["redis"]["setting"]
    document[NAME]["setting"] = "redis.version"
    known = parse_versions(yaml.safe_dump(document), tree)
    assert selection(settings({"redis": {"version": 2}}))[NAME] == "2"
    with pytest.raises(StackError, match=r"redis\.version = 3: expected one of 1, 2"):
        settings({"redis": {"version": "3"}})


def test_every_setting_that_is_called_a_version_chooses_an_image() -> None:
    """A new setting that no row names would be read by nobody."""
    named = {row.key for row in rows() if row.key.lower().endswith("version")}
    assert named == set(choosers().values())


def test_a_setting_below_a_group_that_is_not_set_chooses_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = written(tree, {"setting": "redis.external.host"})
    monkeypatch.setattr(chosen, "load_versions", lambda: known)
    assert selection(Settings())[NAME] is None


def test_an_unknown_version_or_image_is_refused_by_name(planted: Versions) -> None:
    with pytest.raises(VersionsError, match=r"throw-away 3 is not in versions\.yaml; known: 1, 2"):
        image_ref(NAME, "3", versions=planted)
    there = ", ".join((*load_versions().images, NAME))
    with pytest.raises(VersionsError, match=f"no image is called 'eco'; there are: {there}"):
        image_ref("eco", versions=planted)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"debian": "bookworm"}, False),
        ({"args": {"flavour": "sweet"}}, False),
        ({"args": {"flavour": "plain", "colour": "red"}}, False),
        ({"packages": {"six": "1.17.0"}}, False),
        ({"lock": "images/mlflow/requirements-11.0.2.txt"}, False),
        ({"image": "docker.io/library/throw-away:2"}, False),
        ({"downloads": {}}, False),
        ({"downloads": {"program.bin": {"url": "http://127.0.0.1:9/program.bin", "sha256": "0" * 64}}}, False),
        ({"downloads": {n: {"maven": "a:b:1:zip", "sha256": "0" * 64} for n in ("program.bin", "more")}}, False),
        # The checksum says which file it is, wherever it comes from.
        ({"downloads": {"program.bin": {"maven": "a:b:1:zip", "sha256": SUM}}}, True),
    ],
)
def test_all_that_can_change_an_image_is_in_its_tag(change: dict[str, Any], same: bool, tree: Path) -> None:
    before = image_ref(NAME, versions=load_versions(tree))
    row = section()["versions"]["2"]
    after = image_ref(NAME, versions=written(tree, {"versions": {"2": row | change}}))
    assert (after == before) is same


def test_a_wrong_row_is_refused_with_all_its_mistakes(tree: Path) -> None:
    document = yaml.safe_load((tree / FILE).read_text())
    document[NAME] = {
        "default": "3",
        "setting": "throw-away.version",
        "versions": {
            "1": {
                "debian": "buster",
                "args": {"taste": "plain", "version": "1"},
                "packages": {"colour": "red"},
                "downloads": {"Dockerfile": {"url": "https://example.com/x", "sha256": "0" * 64}},
                "lock": "images/throw-away/requirements-1.txt",
            }
        },
    }
    document["redis"]["default"] = "9"
    del document["keycloak"]["versions"]["26.7.3"]["args"]
    document["seed"] = document["redis"]
    row = "throw-away.versions.1"
    assert sorted(mistakes(yaml.safe_dump(document, sort_keys=False), tree)) == sorted(
        [
            "redis.default = 9: expected one of 8.0",
            "keycloak.versions.26.7.3.args.java: required by ARG JAVA in images/keycloak/Dockerfile, and not given",
            "throw-away.default = 3: expected one of 1",
            "throw-away.setting = throw-away.version: expected a setting that is text, such as redis.version",
            f"{row}.debian = buster: expected one of trixie, bookworm",
            f"{row}.lock = images/throw-away/requirements-1.txt: expected a file that there is",
            f"{row}.downloads.Dockerfile: expected another name: the recipe has this file",
            f"{row}.args.taste: expected an ARG TASTE in images/throw-away/Dockerfile",
            f"{row}.args.version: expected another name: this one has a meaning of its own",
            f"{row}.args.flavour: required by ARG FLAVOUR in images/throw-away/Dockerfile, and not given",
            f"{row}.packages.colour: expected another name: this one has a meaning of its own",
            "seed: expected another name: something else is called so",
            "seed.default = 9: expected one of 8.0",
        ]
    )


def test_what_is_no_row_at_all_is_refused_with_all_its_mistakes() -> None:
    document = yaml.safe_load(TEXT)
    document["debian"]["suites"] = {}
    document["Postgres"] = document["postgres"]
    document["redis"] = {"versions": {8.1: {"debian": 13, "sha256": "x"}}, "seconds": "ten"}
    download = document["keycloak"]["versions"]["26.7.3"]["downloads"]["keycloak.zip"]
    download |= {"sha256": "27", "url": "ftp://example.com/x"}
    assert sorted(mistakes(yaml.safe_dump(document))) == sorted(
        [
            "debian.suites: expected something in it",
            "Postgres = 'Postgres': expected text matching ^[a-z0-9]+(-[a-z0-9]+)*$",
            "redis.default: required, and not given",
            "redis.seconds = 'ten': input should be a valid integer",
            "redis.versions.8.1: write the key 8.1 in quotes",
            "redis.versions.8.1.debian = 13: expected text in quotes",
            "redis.versions.8.1.sha256 = 'x': unknown key",
            "keycloak.versions.26.7.3.downloads.keycloak.zip.url = 'ftp://example.com/x': "
            r"expected text matching ^https?://[^\s/@]+(/\S*)?$",
            "keycloak.versions.26.7.3.downloads.keycloak.zip.sha256 = '27': is not 64 hex digits",
        ]
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('default: "17"', "default: 17", "postgres.default = 17: expected text in quotes"),
        ("{debian: bookworm,", "{debain: bookworm,", "postgres.versions.15.debian: required, and not given"),
        ('java: "21"', "java: 21", "keycloak.versions.26.7.3.args.java = 21: expected text in quotes"),
        ("sha256: 27", "sha256: xx", "keycloak.versions.26.7.3.downloads.keycloak.zip.sha256"),
        ("maven: org", "maven: com org", "keycloak.versions.26.7.3.downloads.keycloak.zip.maven"),
        (
            "          maven: org.keycloak:keycloak-quarkus-dist:26.7.3:zip\n",
            "",
            "expected url or maven, and one of them",
        ),
        ('refreshed: "2026-11-24"', "refreshed: 2026-11-24", "debian.refreshed"),
        ("redis:\n", "valkey:\n", "valkey: expected its recipe, images/valkey/Dockerfile"),
        ("requirements-11.0.2", "requirements-11.0.3", "mlflow.versions.11.0.2.lock"),
    ],
)
def test_a_mistake_in_one_place_is_named_by_its_place(old: str, new: str, told: str) -> None:
    assert old in TEXT
    assert [one for one in mistakes(TEXT.replace(old, new, 1)) if told in one] != []


@pytest.mark.parametrize("text", ["", "[]", "debian", "debian: [", "debian: {}"])
def test_a_text_that_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(VersionsError, match=r"versions\.yaml"):
        parse_versions(text, ROOT)


@pytest.mark.parametrize("name", sorted(RESERVED - {"debian"}))
def test_no_image_takes_a_name_that_means_something_else(name: str, tmp_path: Path) -> None:
    plant(tmp_path)
    (tmp_path / "images" / name).mkdir(exist_ok=True)
    shutil.copy(tmp_path / "images" / NAME / "Dockerfile", tmp_path / "images" / name)
    document = yaml.safe_load((tmp_path / FILE).read_text())
    document[name] = section()
    assert f"{name}: expected another name: something else is called so" in mistakes(yaml.safe_dump(document), tmp_path)
