"""How the seed of the databases is made: with real servers, and without a password in a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl import seed
from tests.fakes import FakeDocker

IMAGES = {"postgres": "p:1", "keycloak": "k:1", "mlflow": "m:1"}


def test_no_command_line_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of the host reads command lines, and reaches its containers."""
    docker = FakeDocker(tmp_path / "docker", monkeypatch)
    monkeypatch.setattr("stackctl.seed.secrets.token_hex", lambda size: "of-the-seed" if size == 16 else "0")
    seed.dump_schemas(IMAGES, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.sql")) == ["keycloak.sql", "mlflow.sql", "oidc.sql"]
    runs = [call for call in docker.calls if call.startswith("run ")]
    assert [image for image in IMAGES.values() if not any(image in call for call in runs)] == []
    assert [call for call in docker.calls if "of-the-seed" in call] == []
