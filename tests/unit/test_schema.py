"""The config schema in Pulumi.yaml says what settings/model.py says."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from settings import PROJECT, ROOT, Settings, from_engine

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
SCHEMA: dict[str, dict[str, Any]] = DOCUMENT["config"]
FIELDS = {str(field.alias): field for field in Settings.model_fields.values()}


def group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def test_the_project_is_the_namespace_of_the_settings() -> None:
    assert DOCUMENT["name"] == PROJECT


def test_both_have_the_same_keys() -> None:
    assert set(SCHEMA) == set(FIELDS)


@pytest.mark.parametrize("key", sorted(FIELDS))
def test_type_and_default_are_the_same(key: str) -> None:
    field, entry = FIELDS[key], SCHEMA[key]
    several = get_origin(field.annotation) is tuple
    assert entry["type"] == ("object" if group(field) else "array" if several else "string")
    if group(field):
        assert entry["default"] == {}
    elif several:
        assert entry["default"] == list(field.default)
    else:
        # A schema has no optional text: the empty one stands for none.
        assert entry["default"] == (field.default or "")
    assert entry["description"]


@pytest.mark.parametrize("key", sorted(FIELDS))
def test_a_description_names_no_key_or_choice_that_is_not_there(key: str) -> None:
    model, described = group(FIELDS[key]), SCHEMA[key]["description"]
    kind = FIELDS[key].annotation
    if model is not None:
        named = set(re.findall(r"\b[a-z]+[A-Z]\w*\b", described))
        assert named <= {str(field.alias) for field in model.model_fields.values()}
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        for choice in kind:
            assert re.search(rf"\b{choice}\b", described), f"{key} does not mention {choice}"


def test_the_schemas_defaults_are_the_default_stack() -> None:
    """The engine hands the defaults of the schema to the program like anything else."""
    config = {
        f"{PROJECT}:{key}": entry["default"] if entry["type"] == "string" else json.dumps(entry["default"])
        for key, entry in SCHEMA.items()
    }
    assert from_engine(config, "test") == Settings()


def test_the_engine_runs_in_the_environment_that_make_setup_makes() -> None:
    assert DOCUMENT["runtime"]["options"]["virtualenv"] == ".venv"
    assert (ROOT / "__main__.py").is_file()
