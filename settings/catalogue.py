"""Which images the stack runs: versions.yaml, and the tags computed from it and from images/.

Nothing here talks to Docker: a tag is a function of the tree, so a preview can name its images before they exist.
Building them is stackctl.images.build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
VERSIONS_FILE = ROOT / "versions.yaml"
PREFIX = "mlflow-sso"

# Made of other images, and of what their programs write into an empty database.
SEEDED = "postgres-seeded"
# What the seeded image is made from, and by: a change in any of them is another seed.
SEED_PROGRAM = "stackctl/images/seed.py"
SEED_SOURCES = ("postgres", "keycloak", "mlflow")
# What stackctl.images.seed dumps. Another text here is another seed, and makes every Postgres container anew: change it
# where the dumps differ, and not where the program alone does. This first one is the digest that the tags had from the
# program's text, so that stacks made before keep their containers.
SEED_GENERATION = {"stackctl/seed.py": [False, "e7bfcfe400ddb6e85c00756e24a56249016f72b26896c0ceb875a5f0f880cc36"]}


class VersionsError(ValueError):
    """versions.yaml is wrong, or was asked for something it does not name."""


@dataclass(frozen=True)
class DebianSuite:
    image: str
    digest: str | None = None


@dataclass(frozen=True)
class Entry:
    """One version of an image: what its row says, all of it text.

    All of it is part of the tag, and given to the build where the Dockerfile asks for it (ARG NAME). `debian` names the
    suite it stands on, `image` upstream's image of the same, `lock` a lock of Python packages, `sha256` its download.
    """

    said: Mapping[str, str]

    @property
    def debian(self) -> str:
        return self.said["debian"]

    @property
    def lock(self) -> str | None:
        return self.said.get("lock")

    @property
    def sha256(self) -> str | None:
        return self.said.get("sha256")


@dataclass(frozen=True)
class Download:
    """A file that a build needs: its Maven coordinate without the version, and its name in the build context."""

    maven: str
    file: str


@dataclass(frozen=True)
class Catalogue:
    """An image and its known versions: a row of versions.yaml and a folder below images/.

    setting: the setting that chooses the version; empty: none does. seconds: about how long its build takes.
    """

    component: str
    default: str
    versions: Mapping[str, Entry]
    setting: str = ""
    seconds: int = 60
    download: Download | None = None

    def key(self, version: str | None = None) -> str:
        """The version asked for, or the default; refused when unknown."""
        key = self.default if version is None else version
        if key not in self.versions:
            known = ", ".join(sorted(self.versions))
            raise VersionsError(f"{self.component} {key} is not in versions.yaml; known: {known}")
        return key

    def get(self, version: str | None = None) -> Entry:
        return self.versions[self.key(version)]


@dataclass(frozen=True)
class Versions:
    """Everything that versions.yaml says."""

    refreshed: str
    debian: Mapping[str, DebianSuite]
    images: Mapping[str, Catalogue]

    @property
    def components(self) -> tuple[str, ...]:
        """Every image in the order of the file; the seeded one is made of others and comes last."""
        return (*self.images, SEEDED)

    def catalogue(self, component: str) -> Catalogue:
        if component not in self.images:
            raise VersionsError(f"no image is called {component!r}; there are: {', '.join(self.components)}")
        return self.images[component]


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise VersionsError(f"versions.yaml: {where} must be a mapping that is not empty")
    for key in value:
        if not isinstance(key, str):
            # Unquoted 8.10 is the number 8.1: silently another version.
            raise VersionsError(f"versions.yaml: {where}: write the key {key!r} in quotes")
    return value


def _record(cls: type[Any], value: object, where: str) -> Any:
    given = _mapping(value, where)
    fields = cls.__dataclass_fields__
    required = {name for name, field in fields.items() if field.default is not None}
    if unknown := sorted(set(given) - set(fields)):
        raise VersionsError(f"versions.yaml: {where}: unknown {', '.join(unknown)}; allowed: {', '.join(fields)}")
    if lacking := sorted(required - set(given)):
        raise VersionsError(f"versions.yaml: {where}: {', '.join(lacking)} is missing")
    for name, item in given.items():
        if not isinstance(item, str) or not item:
            raise VersionsError(f"versions.yaml: {where}.{name} must be text in quotes, not {item!r}")
    return cls(**given)


def _entry(value: object, where: str, suites: Mapping[str, DebianSuite]) -> Entry:
    given = _mapping(value, where)
    if "debian" not in given:
        raise VersionsError(f"versions.yaml: {where}: debian is missing")
    for name, item in given.items():
        if not isinstance(item, str) or not item:
            raise VersionsError(f"versions.yaml: {where}.{name} must be text in quotes, not {item!r}")
    if given["debian"] not in suites:
        raise VersionsError(f"versions.yaml: {where}.debian: no suite is called {given['debian']!r}")
    digest = given.get("sha256", "0" * 64)
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise VersionsError(f"versions.yaml: {where}.sha256 is not 64 hex digits")
    return Entry(given)


def _catalogue(value: object, name: str, suites: Mapping[str, DebianSuite]) -> Catalogue:
    section = _mapping(value, name)
    allowed = ("default", "versions", "setting", "seconds", "download")
    if unknown := sorted(set(section) - set(allowed)):
        raise VersionsError(f"versions.yaml: {name}: unknown {', '.join(unknown)}; allowed: {', '.join(allowed)}")
    versions = {
        key: _entry(entry, f"{name}.versions.{key}", suites)
        for key, entry in _mapping(section.get("versions"), f"{name}.versions").items()
    }
    default, setting, seconds = section.get("default"), section.get("setting", ""), section.get("seconds", 60)
    if not isinstance(default, str) or default not in versions:
        raise VersionsError(f"versions.yaml: {name}.default is {default!r}, which is none of {', '.join(versions)}")
    if not isinstance(setting, str) or not isinstance(seconds, int):
        raise VersionsError(f"versions.yaml: {name}: setting must be text, and seconds a number")
    download = None
    if "download" in section:
        download = _record(Download, section["download"], f"{name}.download")
        if lacking := sorted(key for key, entry in versions.items() if entry.sha256 is None):
            raise VersionsError(f"versions.yaml: {name}.versions.{lacking[0]}: sha256 of its download is missing")
    return Catalogue(name, default, versions, setting, seconds, download)


def parse_versions(text: str) -> Versions:
    try:
        data = _mapping(yaml.safe_load(text), "the file")
    except yaml.YAMLError as error:
        raise VersionsError(f"versions.yaml is not YAML: {error}") from None
    debian = _mapping(data.get("debian"), "debian")
    refreshed = debian.get("refreshed")
    if not isinstance(refreshed, str):
        raise VersionsError("versions.yaml: debian.refreshed must be a date in quotes")
    suites = {
        key: _record(DebianSuite, value, f"debian.suites.{key}")
        for key, value in _mapping(debian.get("suites"), "debian.suites").items()
    }
    images = {name: _catalogue(value, name, suites) for name, value in data.items() if name != "debian"}
    if lacking := [name for name in SEED_SOURCES if name not in images]:
        raise VersionsError(f"versions.yaml: {', '.join(lacking)} is missing")
    return Versions(refreshed, suites, images)


@cache
def load_versions(path: Path = VERSIONS_FILE) -> Versions:
    try:
        return parse_versions(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VersionsError(f"cannot read {path}: {error.strerror}") from None


def context_files(root: Path, component: str, entry: Entry | None = None) -> dict[str, Path]:
    """The files that make an image, by their name in the build context."""
    folder = root / "images" / component
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("requirements-") and "__pycache__" not in path.parts
    }
    if not files:
        raise VersionsError(f"images/{component} is missing or empty")
    if entry is not None and entry.lock is not None:
        lock = root / entry.lock
        if not lock.is_file():
            raise VersionsError(f"{entry.lock}, named in versions.yaml, does not exist")
        files["requirements.txt"] = lock
    return files


def _digest(recipe: Mapping[str, Any], files: Mapping[str, Path], declared: Mapping[str, Any] | None = None) -> str:
    content = {name: [_executable(path), hashlib.sha256(path.read_bytes()).hexdigest()] for name, path in files.items()}
    content |= declared or {}
    text = json.dumps({"recipe": recipe, "files": content}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def base_ref(suite: str, *, versions: Versions | None = None, root: Path = ROOT) -> str:
    known = versions or load_versions(root / "versions.yaml")
    recipe = {"suite": suite, "refreshed": known.refreshed, "entry": asdict(known.debian[suite])}
    return f"{PREFIX}/debian:{suite}-{_digest(recipe, context_files(root, 'base'))}"


def image_ref(
    component: str,
    version: str | None = None,
    selection: Mapping[str, str | None] | None = None,
    *,
    versions: Versions | None = None,
    root: Path = ROOT,
) -> str:
    """The local tag of a component. Equal trees give equal tags, on every machine.

    `selection` (component -> version) matters for the seeded one alone, which is made from three components.
    """
    known = versions or load_versions(root / "versions.yaml")
    if component == SEEDED:
        chosen = {**(selection or {}), **({"postgres": version} if version else {})}
        sources = [image_ref(name, chosen.get(name), versions=known, root=root) for name in SEED_SOURCES]
        tag = known.catalogue("postgres").key(chosen.get("postgres"))
        digest = _digest({"from": sources}, context_files(root, "seed"), SEED_GENERATION)
        return f"{PREFIX}/{component}:{tag}-{digest}"
    catalogue = known.catalogue(component)
    key = catalogue.key(version)
    entry = catalogue.versions[key]
    # All that versions.yaml says of a version is part of its tag.
    recipe = {"version": key, "entry": dict(entry.said), "base": base_ref(entry.debian, versions=known, root=root)}
    return f"{PREFIX}/{component}:{key}-{_digest(recipe, context_files(root, component, entry))}"


def refs(selection: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Every image of a stack by component; versions not selected are the defaults."""
    chosen = selection or {}
    return {name: image_ref(name, chosen.get(name), chosen) for name in load_versions().components}
