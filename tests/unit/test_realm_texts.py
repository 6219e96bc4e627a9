"""Texts of Keycloak's pages and mails, and terms of use: which are taken, how they are written, and what stays."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from mlflow_sso_client.errors import RefusedError

from components.importing import IMPORT_PATH, importing_workloads
from components.realm.document import realm_import
from components.realm.spec import realm_spec
from components.stack import stack_spec
from settings.realm.texts import language_tag, text_languages, wrong_in
from stackctl.doctor import checks_terms
from stackctl.people import terms
from tests.samples import settings
from tests.unit.doctor import observed
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
        [
            "Grüße — 😀",
            "Voulez-vous continuer\u00a0?",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f4bb",
            "It''s {0} of {1}",
            "<b>two</b>\n\tlines",
            "a '{' b '}' c",
            "costs $5, $$ 100%",
        ],
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
            ("l'utilisateur {0} n'est pas là", "expected '' for an apostrophe"),
            ("a \u202e turn", "expected no control characters"),
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
            ({"de": {"a": "x" * 600_000}}, ["realm.texts"]),
            ({"de": {"a": "\U0001f600" * 60_000}}, ["realm.texts"]),
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


TERMS: dict[str, Any] = {"terms": "newcomers", "texts": {"en": {"termsText": "<p>Be kind.</p>"}}}
CAROL = {"users": [{"username": "carol"}]}


class TestTerms:
    @pytest.mark.parametrize(
        ("languages", "texts", "keys"),
        [
            ([], {}, ["realm.texts.en.termsText"]),
            ([], {"en": TITLE}, ["realm.texts.en.termsText"]),
            (["de", "en"], TERMS["texts"], ["realm.texts.de.termsText"]),
            (["de-CH"], {"de": {"termsText": "x"}}, []),
            (["zh-Hans"], {"zh-Hans": {"termsText": "x"}}, []),
        ],
    )
    def test_there_are_some_in_every_language(
        self, languages: list[str], texts: dict[str, Any], keys: list[str]
    ) -> None:
        found = refused({"realm": {"languages": languages, "texts": texts, "terms": "newcomers"}})
        assert [one.partition(": ")[0] for one in found] == keys
        assert refused({"realm": {"languages": languages, "texts": texts, "terms": "nobody"}}) == []

    def test_nothing_is_said_beside_a_text_that_is_refused_itself(self) -> None:
        found = refused({"realm": {"terms": "newcomers", "texts": {"en": {"termsText": "Don't"}}}})
        assert [one.partition(": ")[0] for one in found] == ["realm.texts.en.termsText"]

    def test_what_nobody_declared_is_not_written(self) -> None:
        assert "requiredActions" not in document(**CAROL)
        assert not [user for user in document(**CAROL)["users"] if "requiredActions" in user]

    def test_the_first_import_asks_declared_people_and_no_account(self) -> None:
        """It names no action itself: Keycloak would have no others then."""
        spec = stack_spec(settings({"realm": {**TERMS, **CAROL}}))
        server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
        (tree,) = [json.loads(file.content) for file in server.files if file.path == IMPORT_PATH]
        assert "requiredActions" not in tree
        asked = [user["username"] for user in tree["users"] if user.get("requiredActions") == ["TERMS_AND_CONDITIONS"]]
        assert asked == ["alice", "bob", "carol"]

    def test_it_comes_into_the_realm_that_is_there_and_people_there_are_not_asked(self) -> None:
        before, wanted = document(**CAROL), document(**CAROL, **TERMS)
        fake = FakeRealm(before)
        assert apply(fake, wanted, before) == [
            "texts en: termsText: none -> <p>Be kind.</p>",
            "required action TERMS_AND_CONDITIONS: defaultAction: false -> true; enabled: false -> true",
        ]
        assert apply(fake, wanted, wanted) == []
        assert "requiredActions" not in fake.named("users", "username", "carol")
        assert apply(fake, document(**CAROL), wanted) == [], "what is declared no more stays"
        assert apply(fake, document(**CAROL, terms="nobody"), wanted) == [
            "required action TERMS_AND_CONDITIONS: defaultAction: true -> false; enabled: true -> false"
        ]

    def test_somebody_who_is_declared_later_is_asked(self) -> None:
        before, wanted = document(**TERMS), document(**CAROL, **TERMS)
        fake = FakeRealm(before)
        apply(fake, before, document())
        assert apply(fake, wanted, before) == ["user carol: is made"]
        assert fake.named("users", "username", "carol")["requiredActions"] == ["TERMS_AND_CONDITIONS"]

    @pytest.mark.parametrize(
        ("ldap", "keys"),
        [
            ({"writable": True}, []),
            ({}, ["realm.ldap[0].writable and realm.terms"]),
        ],
    )
    def test_nobody_is_asked_who_could_never_accept(self, ldap: dict[str, Any], keys: list[str]) -> None:
        directory = {"name": "acme", "urls": ["ldaps://ldap.acme.example"], "usersDn": "dc=acme,dc=example", **ldap}
        directory |= {"bindDn": "cn=keycloak,dc=acme,dc=example", "bindPassword": "operators-own-ldap"}
        found = refused({"realm": {"ldap": [directory], **TERMS}})
        assert [one.partition(": ")[0] for one in found] == keys
        assert refused({"realm": {"ldap": [directory], **TERMS, "terms": "nobody"}}) == []


class TestAsking:
    """Of people who are there, in a Keycloak's words."""

    PEOPLE: ClassVar[list[dict[str, Any]]] = [
        {"id": "1", "username": "ada", "requiredActions": ["UPDATE_PASSWORD"]},
        {"id": "2", "username": "ben", "requiredActions": ["TERMS_AND_CONDITIONS"]},
        {"id": "3", "username": "cleo", "attributes": {"terms_and_conditions": ["1796033520"]}},
        {"id": "4", "username": "dan", "federationLink": "read"},
        {"id": "5", "username": "eve", "federationLink": "written", "requiredActions": []},
    ]

    def keycloak(self, *, enabled: bool = True) -> Mock:
        directories = [
            {"id": "read", "name": "acme", "config": {"editMode": ["READ_ONLY"]}},
            {"id": "written", "name": "ours", "config": {"editMode": ["WRITABLE"]}},
        ]
        answers: dict[str, Any] = {
            "/authentication/required-actions": [
                {"alias": "UPDATE_PASSWORD", "enabled": True},
                {"alias": "TERMS_AND_CONDITIONS", "enabled": enabled, "defaultAction": enabled},
            ],
            "/components": directories,
            **{f"/users/{one['id']}": one for one in self.PEOPLE},
        }
        return Mock(get=lambda path, **_: answers[path], pages=lambda path, **_: iter(self.PEOPLE))

    def test_whoever_was_not_asked_and_did_not_accept_is_asked(self) -> None:
        assert terms.find(self.keycloak(), again=False) == terms.Found({"1": "ada", "5": "eve"}, ("dan",))

    def test_for_other_terms_those_too_who_accepted(self) -> None:
        assert terms.find(self.keycloak(), again=True).to_ask == {"1": "ada", "3": "cleo", "5": "eve"}

    def test_what_they_are_asked_already_stays(self) -> None:
        keycloak = self.keycloak()
        terms.ask(keycloak, "1")
        asked = {"requiredActions": ["UPDATE_PASSWORD", "TERMS_AND_CONDITIONS"]}
        keycloak.request.assert_called_once_with("PUT", "/users/1", json=asked)

    def test_a_realm_without_terms_asks_nobody(self) -> None:
        with pytest.raises(RefusedError, match="nobody is asked"):
            terms.find(self.keycloak(enabled=False), again=False)

    @pytest.mark.parametrize("enabled", [True, False])
    def test_the_doctor_tells_of_people_who_could_never_accept(self, *, enabled: bool) -> None:
        seen = observed()
        seen.__dict__["realm_admin"] = self.keycloak(enabled=enabled)
        found = list(checks_terms.terms(seen))
        assert [one.id for one in found] == ["terms"] * enabled
        assert all(one.evidence.endswith("Keycloak only reads acme") for one in found)
