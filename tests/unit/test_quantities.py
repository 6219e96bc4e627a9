"""CPU, memory and durations are spelt as the targets read them, and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from platforms import quantities
from platforms.quantities import (
    canonical_cpu,
    canonical_memory,
    docker_memory,
    gibibytes,
    go_duration,
    mebibytes,
    millicores,
    read_mebibytes,
)

ROOM = Path(quantities.__file__).parent


@pytest.mark.parametrize(
    ("cores", "plain", "canonical"),
    [
        (2.0, "2000m", "2"),
        (0.5, "500m", "500m"),
        (1.25, "1250m", "1250m"),
        (3 * 0.1, "300m", "300m"),
        (0.7 * 0.1, "70m", "70m"),
        (0.0001, "1m", "1m"),
        (0.05004, "51m", "51m"),
        (0.0, "0m", "0"),
    ],
)
def test_cpu_is_spelt_in_thousandths_and_a_smaller_part_counts_as_one(cores: float, plain: str, canonical: str) -> None:
    """Less than one thousandth is refused by Kubernetes, and none would be no promise."""
    assert (millicores(cores), canonical_cpu(cores)) == (plain, canonical)


@pytest.mark.parametrize(("mib", "canonical"), [(512, "512Mi"), (1024, "1Gi"), (1536, "1536Mi"), (2048, "2Gi")])
def test_memory_is_spelt_with_the_largest_suffix_that_leaves_it_whole(mib: int, canonical: str) -> None:
    assert canonical_memory(mib) == canonical
    assert read_mebibytes(canonical) == read_mebibytes(mebibytes(mib)) == mib
    assert read_mebibytes(gibibytes(mib)) == mib * 1024
    assert docker_memory(mib) == f"{mib}m", "which would be thousandths on Kubernetes"


@pytest.mark.parametrize(
    ("quantity", "mib"),
    [
        ("1Gi", 1024),
        ("1.5Gi", 1536),
        (".5Gi", 512),
        ("2.Gi", 2048),
        ("1073741824", 1024),
        ("1G", 953),
        ("64Ki", 0),
        ("2Ti", 2 << 20),
    ],
)
def test_memory_is_read_however_a_person_wrote_it(quantity: str, mib: int) -> None:
    assert read_mebibytes(quantity) == mib


@pytest.mark.parametrize("quantity", ["", "Gi", "1Xi", "1.2.3Gi", ".", "-1Gi", "1 Gi", "a lot"])
def test_what_is_no_quantity_is_none(quantity: str) -> None:
    assert read_mebibytes(quantity) == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (5400, "1h30m0s")]
)
def test_durations_are_spelt_as_go_spells_them(seconds: int, text: str) -> None:
    assert go_duration(seconds) == text


def units(tree: ast.AST) -> list[str]:
    """The texts of a module that put a unit behind a value."""
    return [
        str(part.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for before, part in zip(node.values, node.values[1:], strict=False)
        if isinstance(before, ast.FormattedValue) and isinstance(part, ast.Constant)
        if part.value in ("m", "Mi", "Gi", "Ki")
    ]


def test_no_other_module_spells_a_quantity() -> None:
    others = [path for path in sorted(ROOM.rglob("*.py")) if path != Path(quantities.__file__)]
    assert {path.name: found for path in others if (found := units(ast.parse(path.read_text())))} == {}
    assert units(ast.parse(Path(quantities.__file__).read_text())), "the scan sees nothing at all"
