"""What is told of a kubectl that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from platforms.kubernetes.kubectl import Kubectl, KubernetesError
from tests.fakes import FakeCommand

_LOG = 'E1128 05:52:17.123456 4242 memcache.go:265] "Unhandled Error" err="couldn\'t get the list"'
_REFUSED = "The connection to the server localhost:8080 was refused"
_DENIED = 'Error from server (Forbidden): pods is forbidden: User "dana" cannot list resource "pods"'
_FLAG = "Error: unknown flag: --nosuch"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{_LOG}\n{_LOG}\n{_REFUSED}", _REFUSED),
        (_DENIED, _DENIED),
        (f"Warning: v1 is deprecated\n{_DENIED}", f"Warning: v1 is deprecated\n{_DENIED}"),
        (f"{_LOG}\n{_DENIED}", _DENIED),
        (_FLAG, _FLAG),
        (_LOG, _LOG),
    ],
)
def test_its_reason_is_told_and_its_log_is_not(
    said: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeCommand("kubectl", tmp_path / "kubectl")
    fake.fail("get", said)
    monkeypatch.setenv("PATH", f"{fake.path.parent}:/usr/bin:/bin")
    with pytest.raises(KubernetesError) as caught:
        Kubectl().run("get", "pods")
    assert str(caught.value) == told
