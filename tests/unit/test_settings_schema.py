"""docs/settings.schema.json says what the model says, in the words of editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from settings import PROJECT, ROOT
from settings.reference import Row, rows
from settings.schema import document, text
from tests.contract.kubernetes_samples import SAMPLES as KUBERNETES
from tests.samples import elsewhere, everything, settings

FILE = ROOT / "docs" / "settings.schema.json"
STACKS = sorted(ROOT.glob("Pulumi.*.yaml"))
SCHEMA = Draft7Validator(document())
GROUPS = sorted({row.key.rpartition(".")[0] for row in rows()} - {""})


def config(given: dict[str, Any]) -> dict[str, Any]:
    return {"config": {f"{PROJECT}:{key}": value for key, value in given.items()}}


def at(key: str, value: object) -> dict[str, Any]:
    """A file in which a value stands at a key and nothing else does; the first of a list stands for all."""
    for name in reversed(key.split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    assert isinstance(value, dict)
    return config(value)


def errors(instance: object) -> Iterator[ValidationError]:
    """Every error, those of each choice among types too."""

    def inner(found: Iterable[ValidationError]) -> Iterator[ValidationError]:
        for error in found:
            yield error
            yield from inner(error.context or ())

    return inner(SCHEMA.iter_errors(instance))


def places(instance: object, rule: str) -> set[str]:
    """Where a rule of the schema is broken, as the table of settings writes keys."""
    return {written(error) for error in errors(instance) if error.validator == rule}


def written(error: ValidationError) -> str:
    """The key that an error is about; empty for the file as a whole."""
    path = "".join("[]" if isinstance(part, int) else f".{part}" for part in list(error.absolute_path)[1:])
    return path.removeprefix(".").removeprefix(f"{PROJECT}:")


def test_the_written_schema_is_the_model() -> None:
    assert FILE.read_text() == text(), "run `make docs`"


def test_it_is_a_schema_of_its_draft() -> None:
    Draft7Validator.check_schema(document())


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.name)
def test_the_stacks_here_are_accepted_and_name_their_schema(path: Path) -> None:
    assert list(errors(yaml.safe_load(path.read_text()))) == []
    named = path.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named) == FILE


def test_there_are_stacks_here() -> None:
    assert STACKS


def test_what_the_program_accepts_is_accepted(tmp_path: Path) -> None:
    clusters = [{"platform": "kubernetes", **sample} for sample in KUBERNETES.values()]
    samples = [{}, everything(tmp_path), elsewhere(), *clusters]
    for sample in samples:
        settings(sample)
        assert [error.message for error in errors(config(sample))] == []


@pytest.mark.parametrize("document", [None, {}, {"config": None}, {"config": {}, "encryptionsalt": "v1:x"}])
def test_a_file_without_settings_is_accepted(document: object) -> None:
    assert list(errors(document)) == []


@pytest.mark.parametrize("version", [17, 17.2, "17"])
def test_a_version_is_accepted_with_and_without_quotes(version: object) -> None:
    assert list(errors(at("postgres.version", version))) == []


@pytest.mark.parametrize("row", [row for row in rows() if row.type in ("secret", "text")], ids=lambda row: row.key)
def test_a_secret_may_be_encrypted_and_another_text_may_not(row: Row) -> None:
    rules = ("type", "additionalProperties", "anyOf", "required")
    blamed = {place for rule in rules for place in places(at(row.key, {"secure": "v1:x"}), rule)}
    assert (row.key in blamed) is (row.type == "text")
    assert row.key in places(at(row.key, {"secure": 1}), "anyOf" if row.type == "secret" else "type")


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.key)
def test_a_value_of_a_wrong_type_is_refused_at_its_key(row: Row) -> None:
    # No setting is a list of lists.
    wrong = at(row.key, [[1]])
    assert row.key in {place.removesuffix("[]") for place in places(wrong, "type")}


@pytest.mark.parametrize("group", GROUPS)
def test_an_unknown_key_is_refused_in_every_group(group: str) -> None:
    assert group in places(at(f"{group}.noSuchKey", [1]), "additionalProperties")


@pytest.mark.parametrize("name", [f"{PROJECT}:noSuchKey", "mlflow", "mlflow:url", f"{PROJECT}:", "other:x"])
def test_an_unknown_name_is_refused_and_those_of_providers_are_not(name: str) -> None:
    providers = {"keycloak:url": "http://x", "docker:host": "x"}
    assert list(errors({"config": providers})) == []
    assert places({"config": {name: "x", **providers}}, "additionalProperties") == {""}


def test_every_key_of_the_table_has_its_meaning_in_the_schema() -> None:
    described = str(document())
    assert [row.key for row in rows() if row.meaning and repr(row.meaning)[1:-1] not in described] == []
