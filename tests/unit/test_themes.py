"""Themes of Keycloak's pages and mails: what is declared is written, and one that Keycloak does not have is told."""

from __future__ import annotations

from typing import Any, cast

import pytest
import requests

from components.realm.document import realm_import
from components.realm.spec import realm_spec
from components.realm_words import unknown_themes
from stackctl.clients.keycloak_admin import KeycloakAdmin, Provisioner
from stackctl.doctor.checks_themes import themes
from stackctl.realm.actual import Actual
from stackctl.realm.themes import unknown
from tests.samples import settings
from tests.unit.doctor import observed
from tests.unit.fake_realm import FakeRealm, apply

DECLARED = {"login": "acme", "account": "keycloak.v3"}


def document(**realm: Any) -> dict[str, Any]:
    return realm_import(realm_spec(settings({"realm": realm})), lambda _: "x")


def test_a_theme_is_written_and_the_others_stay() -> None:
    none, wanted = document(), document(themes=DECLARED)
    realm = FakeRealm(none)
    realm.settings |= {"emailTheme": "ours", "loginTheme": "keycloak"}
    said = apply(realm, wanted, none)
    assert said == ["settings: accountTheme: none -> keycloak.v3; loginTheme: keycloak -> acme"]
    assert realm.settings["emailTheme"] == "ours"
    assert apply(realm, none, wanted) == [], "what is declared no more stays"


def test_one_that_keycloak_does_not_have_is_named_with_those_that_it_has() -> None:
    wanted = document(themes=DECLARED)
    realm = FakeRealm(document())
    (found,) = unknown(wanted, Actual(cast("KeycloakAdmin", realm)))
    assert (found.where, found.value) == ("realm.themes.login", "acme")
    assert found.expected == "expected one that Keycloak has: base, keycloak.v2"
    realm.looks["login"].append("acme")
    assert list(unknown(wanted, Actual(cast("KeycloakAdmin", realm)))) == []


def test_one_that_the_realm_has_already_stops_no_change() -> None:
    wanted = document(themes=DECLARED)
    realm = FakeRealm(document())
    realm.settings["loginTheme"] = "acme"
    assert list(unknown(wanted, Actual(cast("KeycloakAdmin", realm)))) == []


def test_keycloak_is_not_asked_where_no_theme_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    realm = FakeRealm(document())
    monkeypatch.setattr(realm, "themes", lambda: pytest.fail("nobody needs to know"))
    assert list(unknown(document(), Actual(cast("KeycloakAdmin", realm)))) == []
    seen = observed()
    seen.__dict__["realm_admin"] = realm
    assert list(themes(seen)) == []


@pytest.mark.parametrize("there", [{}, {"login": []}, {"email": [{"name": "base"}]}])
def test_what_keycloak_does_not_tell_is_not_judged(there: dict[str, Any]) -> None:
    assert unknown_themes({"loginTheme": "acme"}, there) == {}


def test_the_doctor_finds_one_that_was_set_in_the_console_too() -> None:
    realm = FakeRealm(document())
    realm.settings["emailTheme"] = "gone"
    seen = observed()
    seen.__dict__["realm_admin"] = realm
    (found,) = themes(seen)
    assert found.id == "theme"
    assert found.evidence == "emailTheme of the realm is gone, and Keycloak has base, keycloak"
    assert "console" in found.fix, "no setting says so"


@pytest.mark.parametrize(("status", "told"), [(200, {"login": [{"name": "base"}]}), (403, {}), (404, {})])
def test_a_server_that_may_not_tell_its_themes_tells_none(
    status: int, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = KeycloakAdmin("http://localhost:1", "mlflow", Provisioner("p", "s"))
    answer = requests.Response()
    answer.status_code, answer._content = status, b'{"themes": {"login": [{"name": "base"}]}}'
    monkeypatch.setattr(admin, "_login", lambda: "token")
    monkeypatch.setattr(admin.web, "ask", lambda *_, **__: answer)
    assert admin.themes() == told
