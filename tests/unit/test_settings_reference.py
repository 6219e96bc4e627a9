"""docs/settings.md says what the model says."""

from __future__ import annotations

from settings import ROOT
from settings.reference import markdown, rows


def test_every_setting_has_a_meaning() -> None:
    assert [row.key for row in rows() if not row.meaning] == []


def test_the_documented_table_is_the_model() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert text.endswith(markdown()), "run `make docs`"
