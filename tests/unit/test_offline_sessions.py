"""Sessions that outlive the browser's: logins to MLflow's pages make none, and those that earlier ones left end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow_sso.logins import online
from mlflow_sso_client.errors import KeycloakDownError

from components.stack import stack_spec
from stackctl.clients.keycloak_admin import RealmSession
from stackctl.context import Context
from stackctl.people import offline
from tests.samples import settings


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("openid,email,profile", "openid email profile"),
        ("openid email profile", "openid email profile"),
        (None, "openid email profile"),
        ("openid,offline_access", "openid email profile offline_access"),
        ("openid offline_access email", "openid email profile offline_access"),
        ("openid,not_offline_access", "openid email profile"),
    ],
)
def test_a_login_asks_for_no_offline_session_unless_the_settings_do(told: str | None, asked: str) -> None:
    assert online("openid email profile offline_access", told) == asked


class Keycloak:
    """A realm with two sessions of MLflow's pages. down: whether it does not answer."""

    def __init__(self) -> None:
        self.down = False
        self.sessions = [
            RealmSession(kind, "bob", "1", "", 0, 0, ("mlflow",), offline=kind == "offline")
            for kind in ("offline", "online")
        ]

    def find_client(self, client_id: str) -> str:
        if self.down:
            raise KeycloakDownError("Keycloak does not answer", "start it")
        return client_id

    def client_sessions(self, client: str) -> list[RealmSession]:
        assert client == "mlflow"
        return list(self.sessions)

    def delete_session(self, session: RealmSession) -> None:
        self.sessions.remove(session)

    def left(self) -> list[str]:
        return [one.id for one in self.sessions]


@pytest.fixture
def keycloak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Keycloak:
    made = Keycloak()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sides = SimpleNamespace(keycloak=made, mlflow=None)
    monkeypatch.setattr(offline, "resolve", lambda where: SimpleNamespace(sides=lambda: sides))
    return made


def context(**realm: str) -> Context:
    found = settings({"realm": realm})
    return Context("test", Path("Pulumi.test.yaml"), found, stack_spec(found))


def test_those_that_earlier_logins_left_end_once(keycloak: Keycloak, capsys: pytest.CaptureFixture[str]) -> None:
    before = list(keycloak.sessions)
    offline.end_left(context(), new=False)
    assert keycloak.left() == ["online"]
    assert "1 offline session(s)" in capsys.readouterr().err
    keycloak.sessions = before
    offline.end_left(context(), new=False)
    assert keycloak.left() == ["offline", "online"], "asked once"
    offline.forget("test")
    offline.forget("test")
    offline.end_left(context(), new=False)
    assert keycloak.left() == ["online"], "another stack of the name"


def test_a_new_stack_has_none_and_is_not_asked(keycloak: Keycloak) -> None:
    keycloak.down = True
    offline.end_left(context(), new=True)
    keycloak.down = False
    offline.end_left(context(), new=False)
    assert keycloak.left() == ["offline", "online"]


def test_those_that_the_settings_ask_for_stay(keycloak: Keycloak) -> None:
    offline.end_left(context(scope="openid email profile offline_access"), new=False)
    assert keycloak.left() == ["offline", "online"]


def test_a_keycloak_that_does_not_answer_is_asked_again(keycloak: Keycloak, capsys: pytest.CaptureFixture[str]) -> None:
    keycloak.down = True
    offline.end_left(context(), new=False)
    assert "is not known" in capsys.readouterr().err
    keycloak.down = False
    offline.end_left(context(), new=False)
    assert keycloak.left() == ["online"]
