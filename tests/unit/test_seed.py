"""How the seed of the databases is made: with real servers, and without a password in a command line."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from components.postgres import DATA_DIRECTORY, DATABASES_VARIABLE, SUPERUSER_VARIABLE, password_variable
from stackctl.errors import ImageError
from stackctl.images import seed
from tests.fakes import FakeDocker

# The program that made the present generation, without its imports.
KNOWN_PROGRAM = "06d0592ded00"
IMAGES = {"postgres": "p:1", "keycloak": "k:1", "mlflow": "m:1"}


def test_no_command_line_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of the host reads command lines, and reaches its containers."""
    docker = FakeDocker(tmp_path / "docker", monkeypatch)
    docker.answer("exec", "26.7.3\n")
    monkeypatch.setattr("stackctl.images.seed.secrets.token_hex", lambda size: "of-the-seed" if size == 16 else "0")
    seed.dump_schemas(IMAGES, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.sql")) == ["keycloak.sql", "mlflow.sql", "oidc.sql"]
    runs = [call for call in docker.calls if call.startswith("run ")]
    assert [image for image in IMAGES.values() if not any(image in call for call in runs)] == []
    assert [call for call in docker.calls if "of-the-seed" in call] == []


def test_the_seeds_server_is_told_by_the_names_that_a_stacks_is_told_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = FakeDocker(tmp_path / "docker", monkeypatch)
    docker.answer("exec", "26.7.3\n")
    seed.dump_schemas(IMAGES, tmp_path)
    (server,) = [call for call in docker.calls if call.startswith("run ") and " p:1" in call]
    passwords = {password_variable(name) for name in seed.CHANGE_LOGS}
    assert set(re.findall(r"-e (\S+)", server)) == {"PGDATA", DATABASES_VARIABLE, SUPERUSER_VARIABLE, *passwords}
    assert f'"{DATA_DIRECTORY}"' in Path(seed.__file__).read_text()


def test_keycloaks_schema_says_of_which_version_it_is_and_each_database_has_an_id_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDocker(tmp_path / "docker", monkeypatch).answer("exec", "26.7.3\n")
    seed.dump_schemas(IMAGES, tmp_path)
    (inserted,) = re.findall(r"^VALUES .*$", (tmp_path / "keycloak.sql").read_text(), re.MULTILINE)
    assert "gen_random_uuid()" in inserted
    assert "'26.7.3'" in inserted
    assert "migration_model" not in (tmp_path / "mlflow.sql").read_text()


@pytest.mark.parametrize("version", ["", "26", "26.7.3'); DROP TABLE realm; --", "26.7.3\n26.6.0"])
def test_a_schema_of_no_version_is_not_used(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDocker(tmp_path / "docker", monkeypatch).answer("exec", f"{version}\n")
    with pytest.raises(ImageError, match="the seed of keycloak would be of version"):
        seed.dump_schemas(IMAGES, tmp_path)


def test_a_change_of_the_program_asks_for_the_generation_of_its_seed() -> None:
    """A tag follows SEED_GENERATION. Whoever changes what is dumped has to change that too."""
    lines = Path(seed.__file__).read_text().splitlines()
    program = "\n".join(line for line in lines if not line.startswith(("from ", "import ")))
    digest = hashlib.sha256(program.encode()).hexdigest()[:12]
    assert digest == KNOWN_PROGRAM, (
        "stackctl/images/seed.py says something else than before. Do its dumps differ? Then change SEED_GENERATION in "
        f"settings/catalogue.py: the next `up` makes every Postgres container anew. In any case note {digest} here."
    )


def test_no_message_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that fails repeats what it was given, and messages end in logs."""
    docker = FakeDocker(tmp_path / "docker", monkeypatch)
    monkeypatch.setattr("stackctl.images.seed.secrets.token_hex", lambda size: "of-the-seed" if size == 16 else "0")
    docker.fail("run", "cannot start with of-the-seed")
    with pytest.raises(ImageError, match=r"docker run failed: cannot start with \[secret\]"):
        seed.dump_schemas(IMAGES, tmp_path)
