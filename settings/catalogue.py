"""Which images the stack runs: the tags computed from versions.yaml and from images/.

Nothing here talks to Docker: a tag is a function of the tree, so a preview can name its images before they exist.
Building them is stackctl.images.build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from settings import image_rows
from settings.image_rows import ImageVersion, Versions, VersionsError

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "mlflow-sso"

# Postgres with the empty schemas of Keycloak and MLflow. It is made from other images, so it has no row of its own.
SEEDED = "postgres-seeded"
# What the seeded image is made from.
SEED_SOURCES = ("postgres", "keycloak", "mlflow")
# What stackctl.images.seed dumps. Another text here is another seed, and makes every Postgres container anew: change it
# where the dumps differ, and not where the program alone does. This first one is the digest that the tags had from the
# program's text, so that stacks made before keep their containers.
SEED_GENERATION = {"stackctl/seed.py": [False, "e7bfcfe400ddb6e85c00756e24a56249016f72b26896c0ceb875a5f0f880cc36"]}
# The files of an image that its schemas depend on, and the tags of the first images whose schemas have a digest: stacks
# made before this was looked at keep their containers of Postgres.
_SCHEMA_FILES: Mapping[str, tuple[str, ...]] = {"keycloak": (), "mlflow": ("requirements.txt", "heads.py")}
_FIRST_SCHEMAS = {
    "5c6e89167cf6": "mlflow-sso/mlflow:11.0.2-b2b52a2d1d4e",
    "608db4474415": "mlflow-sso/keycloak:26.7.3-e30a7b69a58f",
}


def load_versions(root: Path = ROOT) -> Versions:
    """What versions.yaml says. Raises VersionsError with every mistake in it."""
    return image_rows.load_versions(root)


def components(versions: Versions | None = None) -> tuple[str, ...]:
    """Every image of a stack, each after those it is made from."""
    return (*(versions or load_versions()).images, SEEDED)


def context_files(root: Path, folder: str, row: ImageVersion | None = None) -> dict[str, Path]:
    """The files that make an image, by their name in the build context; downloads are not among them."""
    recipe = root / "images" / folder
    files = {
        path.relative_to(recipe).as_posix(): path
        for path in sorted(recipe.rglob("*"))
        if path.is_file() and not path.name.startswith("requirements-") and "__pycache__" not in path.parts
    }
    if not files:
        raise VersionsError(f"images/{folder} is missing or empty", ())
    if row is not None and row.lock is not None:
        lock = root / row.lock
        if not lock.is_file():
            raise VersionsError(f"{row.lock}, named in {image_rows.FILE}, does not exist", ())
        files["requirements.txt"] = lock
    for name in row.tree if row is not None else ():
        path = root / name
        if not path.is_file():
            raise VersionsError(f"{name}, named in {image_rows.FILE}, does not exist", ())
        files[f"tree/{name}"] = path
    return files


def _digest(recipe: Mapping[str, Any], files: Mapping[str, Path], declared: Mapping[str, Any] | None = None) -> str:
    content = {name: [_executable(path), hashlib.sha256(path.read_bytes()).hexdigest()] for name, path in files.items()}
    content |= declared or {}
    text = json.dumps({"recipe": recipe, "files": content}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def base_ref(suite: str, *, versions: Versions | None = None) -> str:
    """The local tag of the Debian base of a suite."""
    known = versions or load_versions()
    recipe = {"suite": suite, "refreshed": known.debian.refreshed, "entry": known.debian.suites[suite].model_dump()}
    return f"{PREFIX}/debian:{suite}-{_digest(recipe, context_files(known.root, 'base'))}"


def image_ref(
    component: str,
    version: str | None = None,
    selection: Mapping[str, str | None] | None = None,
    *,
    versions: Versions | None = None,
) -> str:
    """The local tag of a component. Equal trees give equal tags, on every machine.

    `selection` (component -> version) matters for the seeded image alone, which is made from three components.
    Raises VersionsError for a component or version that versions.yaml does not name.
    """
    known = versions or load_versions()
    if component == SEEDED:
        chosen = {**(selection or {}), **({"postgres": version} if version else {})}
        sources = [_seed_source(name, chosen.get(name), known) for name in SEED_SOURCES]
        tag = known.key("postgres", chosen.get("postgres"))
        digest = _digest({"from": sources}, context_files(known.root, "seed"), SEED_GENERATION)
        return f"{PREFIX}/{component}:{tag}-{digest}"
    key = known.key(component, version)
    row = known.row(component, key)
    recipe = {"version": key, "entry": row.content(), "base": base_ref(row.debian, versions=known)}
    return f"{PREFIX}/{component}:{key}-{_digest(recipe, context_files(known.root, component, row))}"


def _seed_source(component: str, version: str | None, known: Versions) -> str:
    """What the seed depends on of an image that it is made from.

    MLflow's schemas follow from its packages, those of its variants excepted, and Keycloak's from its version. What the
    images have beside them changes more often, and Postgres must not be made anew for it.
    """
    ref = image_ref(component, known.plain(component, version), versions=known)
    if component not in _SCHEMA_FILES:
        return ref
    row = known.row(component, known.plain(component, version))
    context = context_files(known.root, component, row)
    files = {name: path for name, path in context.items() if name in _SCHEMA_FILES[component]}
    base = base_ref(row.debian, versions=known)
    digest = _digest({"entry": row.content(), "base": base}, files)
    return _FIRST_SCHEMAS.get(digest, f"{ref.rpartition('-')[0]}-{digest}")


def refs(selection: Mapping[str, str | None] | None = None, *, versions: Versions | None = None) -> dict[str, str]:
    """Every image of a stack by component; versions not selected are the defaults."""
    chosen, known = selection or {}, versions or load_versions()
    return {name: image_ref(name, chosen.get(name), chosen, versions=known) for name in components(known)}
