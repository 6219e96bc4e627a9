"""Where a stack is looked for, with and without its settings."""

from __future__ import annotations

import pytest

from settings import Platform
from stackctl.engines import kubectl
from stackctl.engines.targets import platform_of
from tests.samples import settings


def test_what_was_asked_wins_over_the_settings_and_these_over_what_is_kept_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kubectl, "owns", lambda stack: stack == "mine")
    docker = settings()
    assert platform_of("mine", docker) is Platform.DOCKER
    assert platform_of("mine", docker, Platform.KUBERNETES) is Platform.KUBERNETES
    assert platform_of("mine", None) is Platform.KUBERNETES
    assert platform_of("other", None) is Platform.DOCKER
