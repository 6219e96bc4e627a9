"""Texts of Keycloak's pages and mails: which are taken, how they are written, and that all others stay."""

from __future__ import annotations

from typing import Any

import pytest

from components.realm.document import realm_import
from components.realm.spec import realm_spec
from settings.realm.texts import language_tag, text_languages, wrong_in
from tests.samples import settings
from tests.unit.fake_realm import FakeRealm, apply
from tests.unit.test_logins_declared import refused

TITLE = {"loginAccountTitle": "Bei Acme anmelden"}


def document(**realm: Any) -> dict[str, Any]:
    return realm_import(realm_spec(settings({"realm": realm})), lambda secret: f"value of {secret.name}")


class TestTaken:
    @pytest.mark.parametrize(
        ("written", "found"),
        [
            ("de", "de"), ("DE", "de"), ("pt-br", "pt-BR"), ("zh-hans", "zh-Hans"), ("zh-Hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"), ("pt_BR", ""), ("german", ""), ("", ""), ("en-", ""),
        ],
    )  # fmt: skip
    def test_a_language_is_spelled_as_keycloak_looks_for_it(self, written: str, found: str) -> None:
        assert language_tag(written) == found

    @pytest.mark.parametrize(
        ("languages", "found"),
        [
            ((), ("en",)),
            (("de", "en"), ("de", "en")),
            (("de",), ("de", "en")),
            (("de-CH", "pt_BR"), ("de-CH", "de", "en")),
            (("zh-Hans",), ("zh-Hans", "en")),
            (("zh-Hant-TW",), ("zh-Hant-TW", "zh", "en")),
        ],
    )
    def test_texts_are_those_of_languages_that_are_offered(
        self, languages: tuple[str, ...], found: tuple[str, ...]
    ) -> None:
        """With those that Keycloak falls back on (`LocaleUtil.getParentLocale`)."""
        assert text_languages(languages) == found

    @pytest.mark.parametrize(
        "text",
        ["Grüße — 😀", "It''s {0} of {1}", "<b>two</b>\n\tlines", "a '{' b '}' c", "costs $5, $$ 100%"],
    )
    def test_a_text_is_taken(self, text: str) -> None:
        assert wrong_in(text) == ""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "not empty"),
            (" \n", "not empty"),
            ("Don't", "expected '' for an apostrophe"),
            ("It's Tom's", "expected '' for an apostrophe"),
            ("a {x} b", "expected braces around the number"),
            ("a {{x}} b", "expected braces around the number"),
            ("a { b", "expected braces around the number"),
            ("a } b", "expected braces around the number"),
            ("{0,number}", "expected braces around the number"),
            ("at ${HOME}", "expected none of ${"),
            ("bell \a", "expected no control characters"),
        ],
    )
    def test_a_text_that_keycloak_cannot_show_is_refused(self, text: str, expected: str) -> None:
        assert expected in wrong_in(text)


class TestRefused:
    @pytest.mark.parametrize(
        ("texts", "keys"),
        [
            ({"en": TITLE}, []),
            ({"de": TITLE, "en": TITLE}, []),
            ({"fr": TITLE}, ["realm.texts.fr"]),
            ({"DE": TITLE}, ["realm.texts.DE"]),
            ({"de": {}}, ["realm.texts.de"]),
            ({"de": "x"}, ["realm.texts.de"]),
            ({"de": {"a": 5, "b": ""}}, ["realm.texts.de.a", "realm.texts.de.b"]),
            ({"de": {"a/b": "x", "": "x", "..": "x"}}, ["realm.texts.de.", "realm.texts.de...", "realm.texts.de.a/b"]),
            ({"de": {"profile.attributes.team-1_x": "Team"}}, []),
            ({"de": {"a": "x" * 100_001}}, ["realm.texts"]),
        ],
    )
    def test_each_is_named_by_its_key(self, texts: dict[str, Any], keys: list[str]) -> None:
        found = refused({"realm": {"languages": ["de"], "texts": texts}})
        assert sorted(one.partition(": ")[0] for one in found) == keys

    def test_without_languages_there_is_english(self) -> None:
        assert refused({"realm": {"texts": {"en": TITLE}}}) == []
        (found,) = refused({"realm": {"texts": {"de": TITLE}}})
        assert found == "realm.texts.de: expected one of en: realm.languages names no other one"

    def test_nothing_is_said_of_languages_that_are_wrong_themselves(self) -> None:
        found = refused({"realm": {"languages": ["german"], "texts": {"de": TITLE}}})
        assert [one.partition(": ")[0] for one in found] == ["realm.languages[0]"]


class TestSteps:
    """On a realm in memory; tests/e2e asks a Keycloak."""

    def test_what_nobody_declared_is_not_written(self) -> None:
        assert "localizationTexts" not in document()

    def test_the_import_has_them(self) -> None:
        assert document(texts={"en": TITLE})["localizationTexts"] == {"en": TITLE}

    def test_nothing_is_left_to_do(self) -> None:
        wanted = document(texts={"en": TITLE})
        assert apply(FakeRealm(wanted), wanted, wanted) == []

    def test_what_differs_is_written_and_what_else_is_there_stays(self) -> None:
        fake = FakeRealm(document())
        fake.texts = {"en": {"loginAccountTitle": "Ours", "doLogIn": "In"}, "fr": {"doLogIn": "Entrer"}}
        wanted = document(texts={"en": {**TITLE, "termsText": "One\nTwo"}})
        assert apply(fake, wanted, document()) == [
            "texts en: loginAccountTitle: Ours -> Bei Acme anmelden; termsText: none -> One\\nTwo"
        ]
        assert fake.texts == {
            "en": {**TITLE, "termsText": "One\nTwo", "doLogIn": "In"}, "fr": {"doLogIn": "Entrer"},
        }  # fmt: skip
        assert fake.calls == ["POST /localization/en"]

    def test_what_is_no_longer_declared_stays(self) -> None:
        before = document(texts={"en": {**TITLE, "doLogIn": "In"}})
        fake = FakeRealm(before)
        assert apply(fake, document(texts={"en": TITLE}), before) == []
        assert apply(fake, document(), before) == []
        assert fake.texts == {"en": {**TITLE, "doLogIn": "In"}}
