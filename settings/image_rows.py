"""versions.yaml as values: a row for each version of each image, and every mistake in it at once.

A new image is a section there and a folder images/<its name>; nothing else in the tree names it, unless a setting
chooses its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from problems import Problem, StackError
from settings.reference import rows

FILE = "versions.yaml"
# Names that something else has: the Debian base and its root, folders of images/, and the image made from others.
RESERVED = frozenset({"base", "debian", "debian-root", "postgres-seeded", "seed"})
# Files that a build finds beside its recipe by these names, so no download may be called so.
CONTEXT = frozenset({"Dockerfile", "build-ca.pem", "requirements.txt"})
# Build arguments that every recipe is given.
ALWAYS = frozenset({"BASE", "VERSION"})
# Keys that a row's tag has of its own: no build argument or package may be called so.
_OWN_KEYS = frozenset({"debian", "downloads", "image", "lock", "sha256"})

# Quoted in YAML: unquoted 8.10 is the number 8.1, silently another version.
Text = Annotated[str, Field(strict=True, min_length=1)]
# A part of a Docker image's name (distribution/reference: path-component).
ImageName = Annotated[str, Field(strict=True), StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Lower = Annotated[str, Field(strict=True), StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
FileName = Annotated[str, Field(strict=True), StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$")]


class VersionsError(StackError):
    """versions.yaml is wrong, or was asked for something it does not name."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Suite(_Row):
    """One release of Debian, as a registry has it. digest: of the image's manifest, such as sha256:..."""

    image: Text
    digest: Text | None = None


class Debian(_Row):
    """What every image stands on. refreshed: part of every tag, so that a new date builds all of them anew."""

    refreshed: Text
    suites: Annotated[Mapping[Lower, Suite], Field(min_length=1)]


class Download(_Row):
    """A file that is put beside the recipe for a build, from one of two places.

    url: http or https; the checksum says whether it is the file that was meant.
    maven: groupId:artifactId:version:packaging in the Maven repository.
    sha256: of its content, in 64 hex digits.
    """

    url: Annotated[str, Field(strict=True), StringConstraints(pattern=r"^https?://[^\s/@]+(/\S*)?$")] | None = None
    maven: Annotated[str, Field(strict=True), StringConstraints(pattern=r"^[^\s:]+(:[^\s:]+){3}$")] | None = None
    sha256: Text

    @field_validator("sha256")
    @classmethod
    def _digits(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError("is not 64 hex digits")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Download:
        if (self.url is None) == (self.maven is None):
            raise ValueError("expected url or maven, and one of them")
        return self

    @property
    def source(self) -> str:
        return self.url or self.maven or ""


class ImageVersion(_Row):
    """How one version of an image is made from the recipe in its folder.

    debian: the suite that it stands on.
    image: upstream's own image of the same software, for comparison; it is not used.
    args: build arguments, by the names of the recipe's ARGs in small letters.
    packages: what the lock decides, for people to read.
    downloads: files in the build's context, by their names there.
    lock: a file of pinned packages below the tree's root; the recipe finds it as requirements.txt.
    variants: the same with another lock, by a name that stands behind the version.
    tree: files of this project; the recipe finds them below tree/, by their paths here.
    """

    debian: Text
    image: Text | None = None
    args: Mapping[Lower, Text] = {}
    packages: Mapping[Lower, Text] = {}
    downloads: Mapping[FileName, Download] = {}
    lock: Text | None = None
    variants: Mapping[Lower, Text] = {}
    tree: tuple[Text, ...] = ()

    def content(self) -> dict[str, Any]:
        """What the row adds to the image's tag: all that can change the image, and where a file comes from cannot.

        Arguments and packages stand flat, and one checksum alone: so did those of the tags there are.
        """
        fixed = {"debian": self.debian, "image": self.image, "lock": self.lock}
        content: dict[str, Any] = {name: value for name, value in fixed.items() if value is not None}
        content |= {**self.args, **self.packages}
        sums = {name: download.sha256 for name, download in self.downloads.items()}
        if len(sums) == 1:
            content["sha256"] = next(iter(sums.values()))
        elif sums:
            content["downloads"] = sums
        return content


class Image(_Row):
    """One image: the versions it can have, and who chooses.

    default: the version where nobody chooses another.
    setting: the key that chooses, such as redis.version; none: it is always the default.
    seconds: how long a build takes, about.
    """

    default: Text
    setting: Text | None = None
    seconds: Annotated[int, Field(strict=True, ge=1)] | None = None
    versions: Annotated[Mapping[Text, ImageVersion], Field(min_length=1)]


@dataclass(frozen=True)
class Versions:
    """What versions.yaml says. root: the tree it stands in, with the recipes below images/."""

    root: Path
    debian: Debian
    images: Mapping[str, Image]

    def image(self, name: str) -> Image:
        if name not in self.images:
            raise VersionsError(f"no image is called {name!r}; there are: {', '.join(self.images)}", ())
        return self.images[name]

    def key(self, name: str, version: str | None = None) -> str:
        """The version asked for, or the default; refused when unknown. A variant's is such as 1.2-name."""
        image = self.image(name)
        key = image.default if version is None else version
        if self._row(image, key) is None:
            known = ", ".join(sorted(image.versions))
            raise VersionsError(f"{name} {key} is not in {FILE}; known: {known}", ())
        return key

    def row(self, name: str, version: str | None = None) -> ImageVersion:
        """How a version, or a variant of one, is made; refused when unknown."""
        row = self._row(self.image(name), self.key(name, version))
        assert row is not None
        return row

    def plain(self, name: str, version: str | None = None) -> str:
        """The version without its variant; refused when unknown."""
        key = self.key(name, version)
        return key if key in self.image(name).versions else key.rpartition("-")[0]

    @staticmethod
    def _row(image: Image, key: str) -> ImageVersion | None:
        if key in image.versions:
            return image.versions[key]
        version, _, variant = key.rpartition("-")
        row = image.versions.get(version)
        if row is None or variant not in row.variants:
            return None
        return row.model_copy(update={"lock": row.variants[variant], "variants": {}})


class _Document(_Row):
    debian: Debian
    images: Annotated[Mapping[ImageName, Image], Field(min_length=1)]


def parse_versions(text: str, root: Path) -> Versions:
    """The rows of a text, held against the recipes below `root`. Raises VersionsError with every mistake."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise VersionsError(f"{FILE} is not YAML: {' '.join(str(error).split())}", ()) from None
    if not isinstance(data, dict):
        raise _wrong([Problem(FILE, "", "expected a section debian, and one for each image")])
    sections = {name: section for name, section in data.items() if name != "debian"}
    try:
        document = _Document.model_validate({"debian": data.get("debian"), "images": sections})
    except ValidationError as error:
        raise _wrong([_problem(detail) for detail in error.errors()]) from None
    versions = Versions(root, document.debian, document.images)
    if problems := [problem for name in versions.images for problem in _check(versions, name)]:
        raise _wrong(problems)
    return versions


@cache
def load_versions(root: Path) -> Versions:
    """The rows of the tree at `root`. Raises VersionsError."""
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VersionsError(
            f"cannot read {root / FILE}: {getattr(error, 'strerror', None) or 'not text'}", ()
        ) from None
    return parse_versions(text, root)


def _wrong(problems: list[Problem]) -> VersionsError:
    count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return VersionsError(f"{FILE} has {count}; nothing was built.", problems)


def _problem(detail: ErrorDetails) -> Problem:
    """What pydantic says of a row, in the words of this file."""
    place = [str(part) for part in detail["loc"] if part != "[key]"]
    where = ".".join(place[1:] if place[0] == "images" and len(place) > 1 else place)
    value, kind = detail["input"], detail["type"]
    shown = "" if isinstance(value, dict | list) or value is None else repr(value)
    if detail["loc"][-1] == "[key]" and not isinstance(value, str):
        return Problem(where, "", f"write the key {shown} in quotes")
    if kind == "missing":
        return Problem(where, "", "required, and not given")
    if kind == "extra_forbidden":
        return Problem(where, shown, "unknown key")
    if kind == "string_type":
        return Problem(where, shown, "expected text in quotes")
    if kind in ("dict_type", "mapping_type", "model_type", "too_short", "string_too_short"):
        return Problem(where, shown, "expected something in it")
    if kind == "string_pattern_mismatch":
        return Problem(where, shown, f"expected text matching {detail['ctx']['pattern']}")
    message = detail["msg"].removeprefix("Value error, ")
    return Problem(where, shown, message[0].lower() + message[1:])


def _check(versions: Versions, name: str) -> Iterator[Problem]:
    """What is wrong between the rows of an image, the rest of the file, its recipe and the settings."""
    image = versions.images[name]
    if name in RESERVED:
        yield Problem(name, "", "expected another name: something else is called so")
    if image.default not in image.versions:
        yield Problem(f"{name}.default", image.default, f"expected one of {', '.join(image.versions)}")
    if image.setting is not None and image.setting not in _texts():
        yield Problem(f"{name}.setting", image.setting, "expected a setting that is text, such as redis.version")
    recipe = versions.root / "images" / name / "Dockerfile"
    asked = _arguments(recipe) if recipe.is_file() else None
    if asked is None:
        yield Problem(name, "", f"expected its recipe, images/{name}/Dockerfile")
    for key, row in image.versions.items():
        where = f"{name}.versions.{key}"
        if row.debian not in versions.debian.suites:
            yield Problem(f"{where}.debian", row.debian, f"expected one of {', '.join(versions.debian.suites)}")
        if row.lock is not None and not (versions.root / row.lock).is_file():
            yield Problem(f"{where}.lock", row.lock, "expected a file that there is")
        for variant, lock in row.variants.items():
            if not (versions.root / lock).is_file():
                yield Problem(f"{where}.variants.{variant}", lock, "expected a file that there is")
        for file in row.tree:
            if not (versions.root / file).is_file():
                yield Problem(f"{where}.tree", file, "expected a file that there is")
        for file in row.downloads:
            if file in CONTEXT or (recipe.parent / file).exists():
                yield Problem(f"{where}.downloads.{file}", "", "expected another name: the recipe has this file")
        if asked is not None:
            yield from _check_arguments(row, where, f"images/{name}/Dockerfile", asked)


def _check_arguments(row: ImageVersion, where: str, recipe: str, asked: Mapping[str, bool]) -> Iterator[Problem]:
    given = {name.upper() for name in row.args}
    for name in row.args:
        if name in _OWN_KEYS or name.upper() in ALWAYS:
            yield Problem(f"{where}.args.{name}", "", "expected another name: this one has a meaning of its own")
        elif name.upper() not in asked:
            yield Problem(f"{where}.args.{name}", "", f"expected an ARG {name.upper()} in {recipe}")
    for name in row.packages:
        if name in _OWN_KEYS or name.upper() in asked:
            yield Problem(f"{where}.packages.{name}", "", "expected another name: this one has a meaning of its own")
    for name in sorted(name for name, needed in asked.items() if needed and name not in given | ALWAYS):
        yield Problem(f"{where}.args.{name.lower()}", "", f"required by ARG {name} in {recipe}, and not given")


def _arguments(recipe: Path) -> dict[str, bool]:
    """The ARGs of a recipe, and whether each has to be given: whether no ARG of the name has a default."""
    needed: dict[str, bool] = {}
    for words in re.findall(r"^[ \t]*ARG[ \t]+(.+)$", recipe.read_text(encoding="utf-8"), re.MULTILINE | re.IGNORECASE):
        for word in words.split():
            name, has_default, _ = word.partition("=")
            needed[name] = needed.get(name, True) and not has_default
    return needed


@cache
def _texts() -> frozenset[str]:
    """The settings that are one text each."""
    return frozenset(row.key for row in rows() if row.type == "text" and "[]" not in row.key)
