"""An update under Pulumi writes what is declared, and what Keycloak has for all the rest."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any
from unittest.mock import Mock

import pulumi
import pulumi_keycloak as keycloak
import pytest
from pulumi._types import input_type_py_to_pulumi_names  # What the SDK itself spells the inputs by.
from pulumi_keycloak import openid
from pydantic.alias_generators import to_camel, to_snake

from components.keycloak import AdminLogin
from components.realm import kept, looks
from components.realm.asked import Asked, directory_input, mail_input, person_input
from platforms.secrets import Secret
from tests.contract.engine import There, fresh_run
from tests.samples import settings

REALM = "keycloak:index/realm:Realm"
CLIENT = "keycloak:openid/client:Client"
USER = "keycloak:index/user:User"
TEXTS = "keycloak:index/realmLocalization:RealmLocalization"
FEDERATION = "keycloak:ldap/userFederation:UserFederation"
FUNCTIONS: dict[str, Any] = {
    kept.REALM.read: keycloak.get_realm,
    kept.CLIENT.read: openid.get_client,
}
# Inputs that count as a resource is made, and never after.
ONCE = {"initial_password"}
KINDS = (kept.REALM, kept.CLIENT)
SAMPLE = settings({"realm": {"users": [{"username": "carol", "groups": ["mlflow-users"]}]}})
# What a company set in the console.
POLICY = "length(12) and notUsername"
LOGIN = {"username": "ml", "password": "**********"}
MAIL = {"host": "mail.example.com", "from": "ml@example.com", "starttls": False}
LINK = {"identityProvider": "entra", "userId": "1", "userName": "carol@acme.example"}
LEAKED = "changed-as-it-leaked"
CONSOLE: There = {
    (kept.REALM.read, "mlflow"): {
        "passwordPolicy": POLICY,
        # As the provider's function has it: each block a list of one, and names that no input has.
        "webAuthnPolicy": {
            "relyingPartyEntityName": "Acme",
            "extraOrigins": [],
            "requireResidentKey": "not specified",
            "nobodyKnows": 1,
        },
        "internationalizations": [{"supportedLocales": ["de", "en"], "defaultLocale": "de"}],
        "browserFlow": "our browser",
        "displayName": "Not ours to say",
        "verifyEmail": True,
        "accountTheme": "",
        "defaultDefaultClientScopes": [],
    },
    (kept.CLIENT.read, "mlflow"): {"clientSecret": LEAKED, "description": "Ours", "consentRequired": True},
    ("person", "carol"): {
        "enabled": False,
        "attributes": {"team": "vision"},
        "lastName": "Left",
        "federatedIdentities": [LINK],
    },
}


def test_what_is_there_is_written_where_nothing_is_declared() -> None:
    inputs = fresh_run(SAMPLE, there=CONSOLE, mail={**MAIL, "auth": LOGIN}).of_type(REALM)["realm"].inputs
    assert inputs["passwordPolicy"] == POLICY
    assert inputs["smtpServer"] == {**MAIL, "auth": LOGIN}
    assert inputs["webAuthnPolicy"] == {"relyingPartyEntityName": "Acme"}
    assert inputs["internationalization"] == {"supportedLocales": ["de", "en"], "defaultLocale": "de"}
    assert inputs["browserFlow"] == "our browser"
    assert not {"accountTheme", "defaultDefaultClientScopes", "internalId"} & inputs.keys(), "nothing is there"


def test_what_is_declared_is_written_whatever_is_there() -> None:
    inputs = fresh_run(SAMPLE, there=CONSOLE).of_type(REALM)["realm"].inputs
    assert (inputs["displayName"], inputs["verifyEmail"]) == ("MLflow", False)


def test_a_secret_that_was_changed_in_keycloak_is_never_put_back() -> None:
    clients = fresh_run(SAMPLE, there=CONSOLE).of_type(CLIENT)
    inputs = clients["client-mlflow"].inputs
    assert (inputs["clientSecret"], inputs["description"], inputs["consentRequired"]) == (LEAKED, "Ours", True)
    assert "clientSecret" in clients["client-mlflow"].secret
    first = fresh_run(SAMPLE).of_type(CLIENT)["client-mlflow"].inputs["clientSecret"]
    assert first not in ("", LEAKED), "a new client gets the one that was generated"


def test_somebody_who_was_disabled_stays_so() -> None:
    inputs = fresh_run(SAMPLE, there=CONSOLE).of_type(USER)["user-carol"].inputs
    assert (inputs["enabled"], inputs["attributes"], inputs["lastName"]) == (False, {"team": "vision"}, "Left")
    assert inputs["federatedIdentities"] == [LINK], "the provider takes away every link that is not named"


def test_a_person_is_told_in_the_providers_words() -> None:
    found = {"id": "5", "username": "carol", "enabled": True, "attributes": {"team": ["a", "b"]}, "access": {}}
    told = person_input(found, [LINK])
    assert told == {
        "username": "carol", "enabled": True, "attributes": {"team": "a##b"}, "federatedIdentities": [LINK],
    }  # fmt: skip
    # What no input says is lost with the next update.
    written = {to_camel(name) for name in kept.USER.undeclared({})} - {"initialPassword"}
    assert written <= {*told, "realmId", "email", "emailVerified", "firstName", "lastName", "requiredActions"}


def test_a_directory_stays_off_and_its_password_is_secret() -> None:
    ldap = {
        "name": "acme", "urls": ["ldaps://ldap.x.io"], "usersDn": "dc=x", "groupsDn": "dc=x",
        "bindDn": "cn=k,dc=x", "bindPassword": "operators-own-ldap", "groups": {"ml": "mlflow-users"},
    }  # fmt: skip
    sample = settings({"realm": {"ldap": [ldap]}})
    found = fresh_run(sample, there={("directory", "acme"): {"enabled": False, "priority": 3}})
    made = found.of_type(FEDERATION)["directory-acme"]
    assert (made.inputs["enabled"], made.inputs["priority"], made.inputs["vendor"]) == (False, 3, "OTHER")
    assert "bindCredential" in made.secret
    mappers = found.of_type("keycloak:ldap/customMapper:CustomMapper")
    assert mappers["directory-acme-group mlflow-users"].inputs["config"]["groups.path"] == "/mlflow-users"
    # What no input says is lost with the next update.
    written = {to_camel(name) for name in kept.FEDERATION.undeclared({})} - made.inputs.keys()
    every = {
        "batchSizeForSync": ["9"],
        "debug": ["false"],
        "krbPrincipalAttribute": ["k"],
        "relativeCreateDn": ["ou=x"],
    }
    every |= {"allowKerberosAuthentication": ["true"]}
    assert written <= directory_input({**every, **{key: ["true"] for key in written - every.keys()}}).keys()


def test_the_mail_servers_login_is_secret() -> None:
    realm = fresh_run(SAMPLE, there=CONSOLE, mail=MAIL).of_type(REALM)["realm"]
    assert "smtpServer" in realm.secret
    assert "smtpServer" not in fresh_run(SAMPLE, there=CONSOLE).of_type(REALM)["realm"].inputs


def test_a_token_is_renewed_in_an_update_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked("http://localhost", AdminLogin("provisioner", Secret("p"), "master"), "mlflow")
    clock, logins = [0.0], []
    monkeypatch.setattr("components.realm.asked.time.monotonic", lambda: clock[0] + 1000)

    def answer(url: str, data: bytes | None = None, headers: Any = None) -> Any:
        if data is not None:
            logins.append(url)
            return {"access_token": f"token-{len(logins)}"}
        assert headers == {"Authorization": f"Bearer token-{len(logins)}"}
        return {"smtpServer": {}}

    monkeypatch.setattr(asked, "_ask", answer)
    for moment in (0.0, 1.0, 29.0, 61.0, 62.0):
        clock[0] = moment
        assert asked.mail_server("secret") is None
    assert len(logins) == 2


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"host": "m", "from": "a@b", "auth": "false", "user": ""}, {"host": "m", "from": "a@b"}),
        ({"host": "m", "starttls": "true", "ssl": "false", "allowutf8": "true"},
         {"host": "m", "starttls": True, "ssl": False, "allowUtf8": True}),
        ({"host": "m", "auth": "true", "user": "u", "password": "**********"},
         {"host": "m", "auth": {"username": "u", "password": "**********"}}),
        ({"host": "m", "auth": "true", "authType": "token", "user": "u", "authTokenUrl": "https://t"},
         {"host": "m",
          "tokenAuth": {"username": "u", "url": "https://t", "clientId": "", "clientSecret": "", "scope": ""}}),
    ],
)  # fmt: skip
def test_a_mail_server_is_told_in_the_providers_words(found: dict[str, str], told: dict[str, Any]) -> None:
    assert mail_input(found) == told
    names = {to_camel(name.rstrip("_")) for name in inspect.signature(keycloak.RealmSmtpServerArgs).parameters}
    assert told.keys() <= names


def test_a_preview_asks_nothing_and_compares_what_is_declared() -> None:
    run = fresh_run(SAMPLE, preview=True)
    realm, client = run.of_type(REALM)["realm"], run.of_type(CLIENT)["client-mlflow"]
    user = run.of_type(USER)["user-carol"]
    assert {"passwordPolicy", "smtpServer", "browserFlow", "webAuthnPolicy"} <= set(realm.ignored)
    assert not {"displayName", "verifyEmail", "accessTokenLifespan"} & set(realm.ignored)
    assert "clientSecret" in client.ignored
    assert "enabled" in user.ignored


@pytest.mark.parametrize(
    ("kind", "token"), [(kept.GROUP, "keycloak:index/group:Group"), (kept.ROLE, "keycloak:index/role:Role")]
)
def test_what_no_update_writes_is_not_asked_for(kind: kept.Kind[Any], token: str) -> None:
    """All that is declared of it is what it is found by; the console's attributes and descriptions are passed over."""
    made = fresh_run(SAMPLE, there=CONSOLE).of_type(token)
    assert made
    for one in made.values():
        assert one.inputs.keys() == {to_camel(key) for key in kind.keys}
        assert {to_camel(name) for name in kind.undeclared(dict.fromkeys(kind.keys))} <= set(one.ignored)


def test_a_realm_that_this_update_makes_is_asked_for_once() -> None:
    absent: There = {
        (kept.REALM.read, "mlflow"): {},
        (kept.CLIENT.read, "mlflow"): {"clientSecret": LEAKED},
        (kept.CLIENT.read, "admin-cli"): {"description": "Keycloak's"},
    }
    found = fresh_run(SAMPLE, there=absent)
    assert found.of_type(CLIENT)["client-mlflow"].inputs["clientSecret"] != LEAKED
    closed = found.of_type(CLIENT)["client-admin-cli"].inputs
    assert closed["description"] == "Keycloak's", "it comes with the realm"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.__name__)
def test_every_input_has_the_name_that_the_provider_knows(kind: kept.Kind[Any]) -> None:
    names = kind.undeclared({})
    spelled = input_type_py_to_pulumi_names(kind.arguments)
    assert names
    assert {name: to_camel(name) for name in names} == {name: spelled[name] for name in names}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.__name__)
def test_every_input_is_one_that_the_provider_reads(kind: kept.Kind[Any]) -> None:
    """An input of a later provider that no function returns would be written over."""
    read = set(inspect.signature(inspect.signature(FUNCTIONS[kind.read], eval_str=True).return_annotation).parameters)
    blocks = {name: to_snake(returned) for name, (returned, _) in kind.blocks.items()}
    written = {blocks.get(name, name) for name in kind.undeclared({})} - ONCE
    assert written <= read


def look(kind: kept.Kind[Any], words: str, monkeypatch: pytest.MonkeyPatch, **asked: str) -> Any:
    """What is found by a provider that refuses with these words."""

    async def ask(*_: Any) -> Any:
        raise Exception(words)

    monkeypatch.setattr(pulumi.runtime, "invoke_async", ask)
    return asyncio.run(kept.look_up(kind, Mock(spec=pulumi.ProviderResource), asked))


@pytest.mark.parametrize(
    ("kind", "asked", "words"),
    [
        (kept.REALM, {}, "error sending GET request to /admin/realms/mlflow: 404 Not Found. Response body: {}"),
        (kept.CLIENT, {"clientId": "mlflow-cli"}, "* openid client with name mlflow-cli does not exist"),
    ],
)
def test_what_is_not_there_is_made_as_declared(
    kind: kept.Kind[Any], asked: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(kind, words, monkeypatch, realmId="mlflow", **asked) == {}


@pytest.mark.parametrize("name", ["users", "404 Not Found", "does not exist", "not found", "no group with name"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.__name__)
def test_a_keycloak_that_cannot_be_asked_stops_the_update(
    kind: kept.Kind[Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dict.fromkeys(("realm", "realmId", "clientId", "username", "name"), name)
    with pytest.raises(Exception, match="503"):
        look(kind, f"error sending GET request to /{name}: 503 Service Unavailable", monkeypatch, **keys)


@pytest.mark.usefixtures("forgotten")
def test_what_waits_for_a_look_at_the_realm_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any) -> Any:
        raise pulumi.RunError("503 Service Unavailable")

    monkeypatch.setattr(looks, "look_up", refuse)
    with pytest.raises(Exception, match="503"):
        fresh_run(SAMPLE)


def test_clients_are_asked_for_before_the_realm_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine writes one resource after the other, and an update that changes nothing would wait for each answer."""
    asked: dict[str, Any] = {}

    async def look(kind: kept.Kind[Any], _: Any, keys: dict[str, Any]) -> Any:
        name = str(keys.get("clientId") or keys["realm"])
        asked[name] = keys.get("realmId")
        return CONSOLE.get((kind.read, name), {})

    monkeypatch.setattr(looks, "look_up", look)
    fresh_run(SAMPLE, there=CONSOLE)
    # By its name: the id that the engine of the tests gives comes with what was written.
    assert asked == {"mlflow": "mlflow", "mlflow-cli": "mlflow", "mlflow-people": "mlflow", "admin-cli": "mlflow"}


@pytest.mark.parametrize(
    "realm",
    [
        {"secondFactor": {"passkeys": True, "required": "administrators"}},
        {"sessionLimit": {"perPerson": 2}},
        {"secondFactor": {"required": "everybody"}, "sessionLimit": {"perPerson": 2}},
    ],
)
def test_a_flow_is_in_use_once_it_is_whole_and_takes_its_steps_along(realm: dict[str, Any]) -> None:
    sample = settings({"realm": realm})
    found = fresh_run(sample)
    (bindings,) = found.of_type("keycloak:authentication/bindings:Bindings").values()
    tops = found.of_type("keycloak:authentication/flow:Flow")
    steps = [
        urn
        for kind in ("subflow:Subflow", "execution:Execution", "executionConfig:ExecutionConfig")
        for urn, one in found.resources.items()
        if one.type == f"keycloak:authentication/{kind}"
    ]
    assert len(tops) == 3
    assert bindings.depends >= set(steps)
    assert bindings.inputs.keys() == {"realmId", "browserFlow", "directGrantFlow", "resetCredentialsFlow"}
    urns = {urn for urn, one in found.resources.items() if one.name in tops}
    assert {found.resources[urn].deleted_with for urn in steps} == urns
    roles = {urn for urn, one in found.resources.items() if one.type == "keycloak:index/role:Role"}
    assert all(found.resources[urn].depends >= roles for urn in urns), "who has none would not be asked"


def test_what_else_is_said_of_passkeys_and_of_actions_stays() -> None:
    there: There = {
        (kept.REALM.read, "mlflow"): {"webAuthnPasswordlessPolicy": [{"relyingPartyEntityName": "Acme"}]},
        ("action", "CONFIGURE_TOTP"): {"name": "Ours", "priority": 7, "defaultAction": True},
    }
    found = fresh_run(settings({"realm": {"secondFactor": {"oneTimeCodes": False}}}), there=there)
    policy = found.of_type(REALM)["realm"].inputs["webAuthnPasswordlessPolicy"]
    assert policy == {
        "relyingPartyEntityName": "Acme", "passwordlessPasskeysEnabled": False,
        "userVerificationRequirement": "required", "requireResidentKey": "Yes",
    }  # fmt: skip
    action = found.of_type("keycloak:index/requiredAction:RequiredAction")["action-CONFIGURE_TOTP"]
    assert (action.inputs["enabled"], action.inputs["name"], action.inputs["defaultAction"]) == (False, "Ours", True)
    assert action.retained


def test_texts_that_somebody_set_stay_beside_those_that_are_declared() -> None:
    sample = settings({"realm": {"languages": ["de"], "texts": {"de": {"doLogIn": "Hinein"}}}})
    there: There = {("texts", "de"): {"doLogIn": "Ours", "doLogOut": "Hinaus"}, ("texts", "en"): {"doLogIn": "In"}}
    (made,) = fresh_run(sample, there=there).of_type(TEXTS).values()
    assert (made.name, made.inputs["locale"]) == ("texts-de", "de")
    assert made.inputs["texts"] == {"doLogIn": "Hinein", "doLogOut": "Hinaus"}, "the provider deletes all others"
    assert made.retained, "it would delete them as well with its resource"
    (planned,) = fresh_run(sample, preview=True).of_type(TEXTS).values()
    assert (planned.inputs["texts"], planned.ignored) == ({"doLogIn": "Hinein"}, ("texts",))


def test_people_are_made_once_keycloak_asks_newcomers_for_the_terms() -> None:
    there: There = {("action", "TERMS_AND_CONDITIONS"): {"name": "Ours", "priority": 7}}
    realm = {"terms": "newcomers", "texts": {"en": {"termsText": "Be kind."}}, "users": [{"username": "carol"}]}
    found = fresh_run(settings({"realm": realm}), there=there)
    urn, action = next((urn, one) for urn, one in found.resources.items() if one.name == "action-TERMS_AND_CONDITIONS")
    inputs = {key: action.inputs[key] for key in ("enabled", "defaultAction", "name", "priority")}
    assert (inputs, action.retained) == ({"enabled": True, "defaultAction": True, "name": "Ours", "priority": 7}, True)
    people = found.of_type(USER)
    assert people["user-carol"].depends >= {urn}
    assert "requiredActions" not in people["user-carol"].inputs, "whoever accepted is not asked again"


THEMED = settings({"realm": {"themes": {"login": "acme", "email": "acme"}}})


def test_themes_that_are_declared_are_written_and_the_others_stay() -> None:
    themes = {kind: [{"name": "acme"}] for kind in ("login", "email")}
    there: There = {(kept.REALM.read, "mlflow"): {"accountTheme": "ours", "loginTheme": "old"}, ("themes", ""): themes}
    inputs = fresh_run(THEMED, there=there).of_type(REALM)["realm"].inputs
    assert (inputs["loginTheme"], inputs["emailTheme"], inputs["accountTheme"]) == ("acme", "acme", "ours")
    ignored = fresh_run(THEMED, preview=True).of_type(REALM)["realm"].ignored
    assert {"accountTheme"} == {"accountTheme", "loginTheme", "emailTheme"} & {*ignored}


def test_a_theme_that_the_realm_has_already_stops_no_update() -> None:
    there: There = {
        (kept.REALM.read, "mlflow"): {"loginTheme": "acme", "emailTheme": "acme"},
        ("themes", ""): {"login": [{"name": "keycloak.v2"}]},
    }
    assert fresh_run(THEMED, there=there).of_type(REALM)["realm"].inputs["loginTheme"] == "acme"


@pytest.mark.usefixtures("forgotten")
def test_a_theme_that_keycloak_does_not_have_is_refused_before_the_realm_is_written() -> None:
    there: There = {("themes", ""): {"login": [{"name": "keycloak.v2"}], "email": [{"name": "acme"}]}}
    with pytest.raises(Exception, match=r"realm.themes.login: acme: expected one that Keycloak has: keycloak.v2; noth"):
        fresh_run(THEMED, there=there)
