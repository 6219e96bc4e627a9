"""What every target promises, and where a stack is looked for, with and without its settings."""

from __future__ import annotations

import pytest

from settings import Platform
from stackctl.engines.kubectl import KubectlTarget
from stackctl.engines.targets import TARGETS, Target, platform_of
from tests.samples import settings


def test_what_was_asked_wins_over_the_settings_and_these_over_what_is_kept_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(KubectlTarget, "owns", lambda self, stack: stack == "mine")
    docker = settings()
    assert platform_of("mine", docker) is Platform.DOCKER
    assert platform_of("mine", docker, Platform.KUBERNETES) is Platform.KUBERNETES
    assert platform_of("mine", None) is Platform.KUBERNETES
    assert platform_of("other", None) is Platform.DOCKER


def test_every_platform_has_a_target_and_every_promise_says_what_it_means() -> None:
    assert set(TARGETS) == set(Platform)
    promises = {name: value for name, value in vars(Target).items() if not name.startswith("_")}
    assert len(promises) > 15
    assert [name for name, value in promises.items() if not value.__doc__] == []
