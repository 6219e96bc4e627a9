"""What a stack says of logins: password policy, mail, languages, events; and what it says nothing of stays."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import pytest

from components.importing import importing_workloads
from components.realm.document import realm_import
from components.realm.login_rules import _GENERATED
from components.realm.spec import realm_spec
from components.rules import RULES
from components.stack import stack_spec
from platforms.secrets import MIXTURE, Secret
from problems import StackError
from settings import PROJECT, parse
from settings.realm.policy import password_policy, unmet
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.realm import reconcile
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import fingerprint, was_written
from stackctl.realm.steps import steps
from stackctl.state import SecretStore
from tests.samples import elsewhere, settings
from tests.unit.fake_realm import FakeRealm

MAIL = {"host": "mail.example.com", "sender": "ml@example.com", "username": "ml", "password": "operators-own-mail"}
DECLARED: dict[str, Any] = {
    "displayName": "Models of Acme",
    "passwordPolicy": "length(12) and notUsername",
    "rememberMe": True,
    "resetPassword": True,
    "languages": ["de", "en"],
    "texts": {
        "de": {"loginAccountTitle": "Bei Acme anmelden", "termsText": "<p>Nutzung</p>"},
        "en": {"termsText": "<p>Use</p>"},
    },
    "terms": "newcomers",
    "themes": {"login": "acme", "email": "acme"},
    "mail": {**MAIL, "senderName": "ML", "replyTo": "help@example.com"},
    "events": {"days": 7},
}
# What the import has for these, and for nothing else.
KEYS = {
    "adminEventsDetailsEnabled", "adminEventsEnabled", "defaultLocale", "emailTheme", "enabledEventTypes",
    "eventsEnabled", "eventsExpiration", "internationalizationEnabled", "localizationTexts", "loginTheme",
    "passwordPolicy", "rememberMe", "requiredActions", "resetPasswordAllowed", "smtpServer", "supportedLocales",
}  # fmt: skip


def document(**realm: Any) -> dict[str, Any]:
    return realm_import(
        realm_spec(settings({"realm": realm})), lambda secret: secret.value or f"value of {secret.name}"
    )


def refused(config: dict[str, Any]) -> list[str]:
    """The keys that are named, with what was expected."""
    try:
        parse({f"{PROJECT}:{key}": value for key, value in config.items()}, "test", rules=RULES)
    except StackError as error:
        return [f"{one.where.replace(f'{PROJECT}:', '')}: {one.expected}" for one in error.problems]
    return []


def test_what_nobody_declared_is_not_written() -> None:
    assert not KEYS & document().keys()


def test_what_is_declared_is_written_as_keycloak_calls_it() -> None:
    found = document(**DECLARED)
    assert found.keys() >= KEYS
    assert (found["displayName"], found["passwordPolicy"]) == ("Models of Acme", DECLARED["passwordPolicy"])
    assert (found["supportedLocales"], found["defaultLocale"]) == (["de", "en"], "de")
    assert (found["eventsExpiration"], found["adminEventsEnabled"]) == (7 * 86400, True)
    assert found["smtpServer"] == {
        "host": "mail.example.com", "port": "587", "from": "ml@example.com", "fromDisplayName": "ML",
        "replyTo": "help@example.com", "starttls": "true", "auth": "true", "user": "ml",
        "password": "operators-own-mail",
    }  # fmt: skip


def test_the_password_of_the_mail_server_is_in_no_file_of_the_import() -> None:
    spec = stack_spec(settings({"realm": DECLARED}))
    server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
    (text,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert "operators-own-mail" not in text
    assert '"password": "${REALM_KEYCLOAK_MAIL_PASSWORD}"' in text
    assert "REALM_KEYCLOAK_MAIL_PASSWORD" in server.secret_env
    less = stack_spec(
        settings({"realm": {**DECLARED, "mail": {k: v for k, v in MAIL.items() if k not in ("username", "password")}}})
    )
    server = next(one for one in importing_workloads(less, text, imported=True) if one.name == "keycloak")
    assert "REALM_KEYCLOAK_MAIL_PASSWORD" not in server.secret_env
    assert not any("REALM_KEYCLOAK_MAIL_PASSWORD" in file.content for file in server.files), (
        "a name would be the password"
    )


def test_keycloak_may_connect_to_its_mail_server() -> None:
    spec = stack_spec(settings({"realm": DECLARED}))
    (server,) = [one for one in spec.workloads if one.name == "keycloak"]
    assert ("mail.example.com", 587) in [(out.host, out.port) for out in server.outside]


class TestSteps:
    """On a realm in memory; tests/e2e asks a Keycloak."""

    @staticmethod
    def kept(wanted: dict[str, Any]) -> dict[str, Any]:
        """What is kept of a declaration on this machine."""
        tree = deepcopy(wanted)
        if "password" in tree.get("smtpServer", {}):
            tree["smtpServer"]["password"] = fingerprint(tree["realm"], tree["smtpServer"]["password"])
        return tree

    @staticmethod
    def shown(tree: dict[str, Any]) -> FakeRealm:
        """A realm as Keycloak shows it."""
        fake = FakeRealm(tree)
        for one in tree.get("requiredActions", ()):
            fake.flows.actions[one["alias"]] |= one
        if "password" in fake.settings.get("smtpServer", {}):
            fake.settings["smtpServer"]["password"] = "**********"
        return fake

    def changes(self, wanted: dict[str, Any], before: dict[str, Any], fake: FakeRealm) -> list[str]:
        found = steps(wanted, self.kept(before), Actual(cast(KeycloakAdmin, fake)))
        for step in found:
            step.take()
        return [change for step in found for change in step.changes]

    def test_nothing_is_left_to_do(self) -> None:
        wanted = document(**DECLARED)
        assert self.changes(wanted, wanted, self.shown(wanted)) == []

    def test_what_is_no_longer_declared_stays(self) -> None:
        before = document(**DECLARED)
        assert self.changes(document(displayName=DECLARED["displayName"]), before, self.shown(before)) == []

    def test_another_password_is_written_and_not_shown(self) -> None:
        before = document(**DECLARED)
        wanted = document(**{**DECLARED, "mail": {**DECLARED["mail"], "password": "operators-own-other"}})
        fake = self.shown(before)
        assert self.changes(wanted, before, fake) == ["smtpServer.password is written"]
        assert fake.settings["smtpServer"]["password"] == "operators-own-other"

    def test_a_login_that_goes_is_taken_out(self) -> None:
        before = document(**DECLARED)
        mail = {key: value for key, value in DECLARED["mail"].items() if key not in ("username", "password")}
        fake = self.shown(before)
        found = self.changes(document(**{**DECLARED, "mail": mail}), before, fake)
        assert found == [
            "smtpServer.auth is removed",
            "smtpServer.password is removed",
            "smtpServer.user is removed",
        ]
        assert not {"user", "password"} & fake.settings["smtpServer"].keys()

    def test_a_secret_of_which_nothing_is_known_is_written(self) -> None:
        """What an import has put there may be the one of an earlier attempt."""
        assert not was_written("${REALM_KEYCLOAK_MAIL_PASSWORD}", "mlflow", "x")
        assert not was_written(None, "mlflow", "x")
        assert was_written(fingerprint("mlflow", "x"), "mlflow", "x")
        assert not was_written(fingerprint("mlflow", "y"), "mlflow", "x")

    def test_what_is_kept_has_no_secret(self) -> None:
        realm = realm_spec(settings({"realm": DECLARED}))
        kept = reconcile._declared(realm)
        assert kept == reconcile._declared(realm), "the same for the same"
        assert "operators-own" not in str(kept)
        assert kept["smtpServer"]["password"] == fingerprint("mlflow", "operators-own-mail")


class TestPolicy:
    @pytest.mark.parametrize(
        "text",
        [
            "length(12)",
            "length(8) and maxLength(64) and notUsername(undefined)",
            "regexPattern(^(?=.*[a-z]).+$)",
            "digits(1) and hashAlgorithm(argon2)",
        ],
    )
    def test_one_that_keycloak_has_is_taken(self, text: str) -> None:
        assert password_policy(text) == text

    @pytest.mark.parametrize(
        ("text", "wrong"),
        [
            ("lenght(12)", "lenght(12)"),
            ("length(twelve)", "length(twelve), which takes a number"),
            ("length", "length, which takes a number"),
            ("hashAlgorithm(bcrypt)", "hashAlgorithm(bcrypt), which takes argon2|pbkdf2(-sha(256|512))?"),
            ("length(12), digits(1)", "length(12), digits(1), which takes a number"),
            ("length(12) digits(1)", "length(12) digits(1), which takes a number"),
            ("notUsername(5)", "notUsername(5), which takes nothing"),
            ("passwordBlacklist(words.txt)", "passwordBlacklist(words.txt)"),
            ("length(12) and ", "nothing"),
            ("nope and length(x)", "nope; length(x), which takes a number"),
        ],
    )
    def test_every_wrong_part_is_named(self, text: str, wrong: str) -> None:
        with pytest.raises(ValueError, match="joined by ' and '") as caught:
            password_policy(text)
        assert f"wrong: {wrong}. Parts: " in str(caught.value)

    @pytest.mark.parametrize(
        ("policy", "password", "part"),
        [
            ("length(8)", "1234567", "length(8)"),
            ("maxLength(8)", "123456789", "maxLength(8)"),
            ("digits(2)", "only1", "digits(2)"),
            ("upperCase(1)", "small", "upperCase(1)"),
            ("lowerCase(1)", "BIG", "lowerCase(1)"),
            ("specialChars(1)", "Plain1", "specialChars(1)"),
            ("notUsername", "Carol", "notUsername"),
            ("notEmail", "c@example.com", "notEmail"),
            ("notContainsUsername", "xcarolx", "notContainsUsername"),
            ("regexPattern([a-z]+)", "abc1", "regexPattern([a-z]+)"),
            ("regexPattern([a-z&&[^b]]+) and regexPattern(\\p{Lower}+) and passwordHistory(5)", "1", ""),
            ("length(3) and digits(1) and passwordHistory(5)", "abc1", ""),
        ],
    )
    def test_the_part_that_a_password_does_not_meet_is_told(self, policy: str, password: str, part: str) -> None:
        assert unmet(policy, password, "carol", "c@example.com") == part


class TestRules:
    @pytest.mark.parametrize(
        ("policy", "fits"),
        [
            ("length(20) and digits(3) and upperCase(3) and lowerCase(3) and specialChars(2) and maxLength(20)", True),
            ("notUsername and notEmail and notContainsUsername and passwordHistory(24)", True),
            ("hashAlgorithm(pbkdf2-sha512) and hashIterations(200000)", True),
            ("regexPattern(^(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z]).{8,}$)", False),
            ("length(21)", False),
            ("maxLength(16)", False),
            ("digits(4)", False),
            ("specialChars(3)", False),
            ("regexPattern([a-z]{20})", False),
        ],
    )
    def test_a_policy_is_one_that_generated_passwords_meet(self, policy: str, fits: bool) -> None:
        found = refused({"realm": {"passwordPolicy": policy}})
        assert bool(found) != fits, found
        assert all(one.startswith("realm.passwordPolicy: expected one that first passwords meet") for one in found)
        assert refused({"environment": "prod", "realm": {"passwordPolicy": policy}}) == [], "nobody has one"

    def test_a_given_password_is_one_that_the_policy_takes(self) -> None:
        users = [{"username": "carol", "password": "short"}, {"username": "dave", "password": "long enough for all"}]
        config = {"environment": "prod", "realm": {"passwordPolicy": "length(12)", "users": users}}
        (found,) = refused(config)
        assert found == "realm.users[0].password: expected one that realm.passwordPolicy takes; it is not length(12)"

    @pytest.mark.parametrize(
        ("realm", "keys"),
        [
            ({"resetPassword": True}, ["realm.resetPassword"]),
            ({"mail": {"host": "m.example.com"}}, ["realm.mail.sender"]),
            ({"mail": {**MAIL, "password": None}}, ["realm.mail.password"]),
            ({"mail": {**MAIL, "username": None}}, ["realm.mail.username"]),
            ({"mail": {**MAIL, "encryption": "none"}}, ["realm.mail.encryption"]),
            ({"mail": {**MAIL, "host": "localhost"}}, ["realm.mail.host"]),
            ({"mail": {**MAIL, "sender": "nobody"}}, ["realm.mail.sender"]),
            ({"mail": {**MAIL, "sender": "a@x\r\nBcc: b@y"}}, ["realm.mail.sender"]),
            ({"languages": ["german"]}, ["realm.languages[0]"]),
            ({"events": {"days": 0}}, ["realm.events.days"]),
            ({"themes": {"login": "../x", "admin": "y"}}, ["realm.themes.admin", "realm.themes.login"]),
            ({"passwordPolicy": "x", "mail": {"host": "m"}}, ["realm.mail.sender", "realm.passwordPolicy"]),
        ],
    )
    def test_what_cannot_be_is_named(self, realm: dict[str, Any], keys: list[str]) -> None:
        assert sorted(one.partition(": ")[0] for one in refused({"realm": realm})) == keys

    def test_a_realm_that_stays_as_it_is_takes_none_of_these(self) -> None:
        config = elsewhere()
        config["keycloak"]["existing"]["createRealm"] = False
        assert refused(config) == []
        config["realm"] = {**config.get("realm", {}), **DECLARED}
        found = refused(config)
        expected = ["displayName", "events", "languages", "mail", "passwordPolicy", "rememberMe", "resetPassword"]
        expected += ["terms", "texts", "themes"]
        assert [one.partition(": ")[0] for one in sorted(found)] == [f"realm.{name}" for name in expected]


def kinds(password: str) -> tuple[int, int, int, int]:
    special = sum(map(password.count, MIXTURE.specials))
    return (sum(map(str.islower, password)), sum(map(str.isupper, password)), sum(map(str.isdigit, password)), special)


def test_first_passwords_have_signs_of_every_kind(tmp_path: Any) -> None:
    secrets = [Secret(f"user-{number}-password", length=20, mixed=True) for number in range(300)]
    values = SecretStore(tmp_path / "secrets.json").values(secrets)
    least = (MIXTURE.lower, MIXTURE.upper, MIXTURE.digits, MIXTURE.special)
    for password in values.values():
        found = kinds(password)
        assert len(password) == sum(found) == 20
        assert all(one >= bound for one, bound in zip(found, least, strict=True))
    assert len(set(values.values())) == 300


def test_the_least_that_is_judged_is_the_least_that_is_made() -> None:
    least = (MIXTURE.lower, MIXTURE.upper, MIXTURE.digits, MIXTURE.special)
    assert {tuple(min(one) for one in zip(*map(kinds, _GENERATED), strict=True))} == {least}
