"""A tree of images for tests: what tags are computed from, with an image that the project does not have."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import yaml

from settings.catalogue import ROOT, load_versions
from settings.image_rows import FILE

NAME = "throw-away"
PROGRAM = b"#!/bin/sh\nexec cat\n"
RECIPE = """\
ARG BASE
FROM ${BASE}
ARG VERSION
ARG FLAVOUR
ARG COLOUR=grey
COPY program.bin requirements.txt /opt/
"""


def section(url: str = "http://127.0.0.1:9/program.bin") -> dict[str, Any]:
    """What is written into versions.yaml for it."""
    program = {"url": url, "sha256": hashlib.sha256(PROGRAM).hexdigest()}
    row = {"debian": "trixie", "args": {"flavour": "plain"}, "lock": "images/throw-away/requirements-2.txt"}
    newest = {**row, "downloads": {"program.bin": program}}
    return {"default": "2", "versions": {"1": {"debian": "bookworm", "args": {"flavour": "old"}}, "2": newest}}


def copy(tree: Path) -> None:
    """Copy what tags are computed from into `tree`."""
    shutil.copytree(ROOT / "images", tree / "images")
    shutil.copy(ROOT / FILE, tree)
    for image in load_versions().images.values():
        for name in (name for row in image.versions.values() for name in row.tree):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)


def plant(tree: Path, row: dict[str, Any] | None = None) -> Path:
    """Copy the project's images into `tree`, and add one row and one folder."""
    copy(tree)
    document = yaml.safe_load((ROOT / FILE).read_text())
    document[NAME] = row or section()
    (tree / FILE).write_text(yaml.safe_dump(document, sort_keys=False))
    folder = tree / "images" / NAME
    folder.mkdir()
    (folder / "Dockerfile").write_text(RECIPE)
    (folder / "requirements-2.txt").write_text("six==1.17.0\n")
    return tree
