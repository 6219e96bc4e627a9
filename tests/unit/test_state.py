"""What is kept on this machine: private, made once, never lost."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from mlflow_sso_client.files import config_home, write_private

from platforms.secrets import Secret, SecretText, UrlQuoted
from problems import StackError
from stackctl.context import check_name, stack_directory
from stackctl.directories import cache_home, state_home
from stackctl.state import ALPHABET, SecretStore, generated_passphrase


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secrets.json"
    first = SecretStore(path).values([Secret("a"), Secret("b", length=48)])
    assert (len(first["a"]), len(first["b"])) == (32, 48)
    assert set(first["a"] + first["b"]) <= set(ALPHABET)
    assert first["a"] != first["b"][:32]
    assert SecretStore(path).values([Secret("b", length=48), Secret("a")]) == first


def test_two_stacks_have_different_secrets(tmp_path: Path) -> None:
    one, other = (SecretStore(tmp_path / name).values([Secret("a")]) for name in ("one", "other"))
    assert one != other


def test_the_file_and_its_folder_are_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secrets.json"
    path.parent.mkdir(mode=0o755)
    path.write_text("{}")
    path.chmod(0o644)
    SecretStore(path).values([Secret("a")])
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


def test_a_secret_that_is_no_longer_used_stays(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets.json")
    kept = store.values([Secret("old")])["old"]
    store.values([Secret("new")])
    assert store.values([Secret("old")])["old"] == kept


def test_an_operators_own_secret_counts_and_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    store = SecretStore(path)
    generated = store.values([Secret("a")])["a"]
    assert store.values([Secret("a", value="mine")])["a"] == "mine"
    assert "mine" not in path.read_text()
    # Without the operator's value, the old one is back: the volume may still know it.
    assert store.values([Secret("a")])["a"] == generated


def test_a_file_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    SecretStore(path).values([Secret("a")])
    before = path.stat().st_mtime_ns, path.stat().st_ino
    SecretStore(path).values([Secret("a")])
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


@pytest.mark.parametrize("text", ["", "{", '{"a": "x"', "[]", "5", '{"a": 5}'])
def test_a_damaged_file_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    with pytest.raises(StackError, match=r"secrets\.json: expected the JSON that was written here; restore it"):
        SecretStore(path).values([Secret("a")])
    assert path.read_text() == text


def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secrets.json"
    SecretStore(path).values([Secret("a")])
    before = path.read_text()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, "half")
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["secrets.json"], "a half-written file with secrets was left"


def test_homes_follow_the_xdg_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "k"))
    assert state_home() == tmp_path / "s" / "mlflow-sso"
    assert config_home() == tmp_path / "c" / "mlflow-sso"
    assert cache_home() == tmp_path / "k" / "mlflow-sso"
    assert cache_home().is_dir()
    assert stack_directory("dev") == tmp_path / "s" / "mlflow-sso" / "dev"
    # An empty variable counts as one that is not set (XDG Base Directory Specification).
    monkeypatch.setenv("XDG_STATE_HOME", "")
    assert state_home() == Path.home() / ".local" / "state" / "mlflow-sso"


def test_a_passphrase_is_made_when_asked_for_and_then_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert generated_passphrase(create=False) is None
    path = generated_passphrase(create=True)
    assert path is not None
    assert mode(path) == 0o600
    text = path.read_text()
    assert len(text.strip()) == 48
    assert generated_passphrase(create=True) == generated_passphrase(create=False) == path
    assert path.read_text() == text


def test_a_passphrase_that_another_process_has_just_made_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stack is encrypted with it already: to replace it would lock that stack's owner out."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = config_home() / "passphrase"
    exists = Path.exists

    def not_yet(self: Path) -> bool:
        if self == path and not exists(self):
            write_private(self, "of the other\n")
            return False
        return exists(self)

    monkeypatch.setattr(Path, "exists", not_yet)
    assert generated_passphrase(create=True) == path
    assert path.read_text() == "of the other\n"
    assert mode(path) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["passphrase"]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "-a", ".a", "a b", "a" * 101, "ü", "a\n"])
def test_a_name_that_would_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(StackError, match="That cannot be the name of a stack"):
        check_name(name)


@pytest.mark.parametrize("name", ["dev", "Team-1", "a.b_c", "0"])
def test_a_usual_name_is_taken(name: str) -> None:
    assert check_name(name) == name


def test_a_secret_shows_its_name_alone() -> None:
    secret = Secret("db", value="hunter2")
    for value in (secret, SecretText.of("x", secret, UrlQuoted(secret)), {"a": [UrlQuoted(secret)]}):
        assert "hunter2" not in repr(value)
        assert "hunter2" not in str(value)
    with pytest.raises(TypeError):
        json.dumps(secret)
