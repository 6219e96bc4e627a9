"""What a company sets in Keycloak's console stays, under both engines, beside a change of what is declared."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from settings import ROOT
from tests.e2e.harness import TIMEOUT, Stack
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.test_realm import differences, snapshot

CAROL = {"username": "carol", "email": "carol@example.com", "groups": ["mlflow-users"]}
TEXTS = {"en": {"doLogIn": "Enter"}}
REALM: dict[str, Any] = {"users": [CAROL], "lifetimes": {"accessTokenSeconds": 120}, "texts": TEXTS}
MAIL = {"host": "mail.example.com", "port": "25", "from": "ml@example.com", "auth": "true", "user": "ml"}
# Of the realm, of MLflow's client, and of a person: settings of many kinds, none of which the stack declares.
OF_THE_REALM: dict[str, Any] = {
    "passwordPolicy": "length(12)",
    "smtpServer": {**MAIL, "password": "of-the-mail-server"},
    "rememberMe": True,
    "resetPasswordAllowed": True,
    "internationalizationEnabled": True,
    "supportedLocales": ["de", "en"],
    "defaultLocale": "de",
    "displayNameHtml": "<b>Acme</b>",
    "loginTheme": "keycloak",
    "otpPolicyDigits": 8,
    "otpPolicyCodeReusable": True,
    "webAuthnPolicyRpEntityName": "Acme",
    "webAuthnPolicyPasswordlessUserVerificationRequirement": "required",
    "webAuthnPolicyPasswordlessPasskeysEnabled": True,
    "actionTokenGeneratedByAdminLifespan": 7200,
    "offlineSessionMaxLifespanEnabled": True,
    "offlineSessionMaxLifespan": 864000,
    "revokeRefreshToken": True,
    "eventsEnabled": True,
    "eventsExpiration": 3600,
    "adminEventsEnabled": True,
}
OF_THE_CLIENT: dict[str, Any] = {
    "description": "Ours",
    "adminUrl": "https://ml.example.com",
    "alwaysDisplayInConsole": True,
}
OF_ITS_ATTRIBUTES = {"access.token.lifespan": "90", "login_theme": "keycloak", "consent.screen.text": "Acme"}


@pytest.fixture(scope="module", params=["compose", pytest.param("pulumi", marks=pytest.mark.pulumi)])
def company(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose realm somebody has set up further."""
    mlflow = {"automaticLoginRedirect": True}
    made = Stack.make(request.param, tmp_path_factory.mktemp("company"), realm=dict(REALM), mlflow=mlflow)
    with made.running():
        set_up(KeycloakAdmin(made.outputs()), f"/{made.outputs()['realm']}")
        yield made


def set_up(keycloak: KeycloakAdmin, realm: str) -> None:
    keycloak.call("PUT", realm, json=OF_THE_REALM)
    keycloak.make(f"{realm}/clients", clientId="wiki", publicClient=True, redirectUris=["https://wiki.example.com/*"])
    keycloak.make(f"{realm}/groups", name="wiki-users")
    keycloak.call("POST", f"{realm}/localization/en", json={"loginAccountTitle": "Acme", "doLogOut": "Leave"})
    keycloak.call("POST", f"{realm}/localization/de", json={"doLogIn": "Hinein"})
    (mlflow,) = keycloak.get(f"{realm}/clients?clientId=mlflow")
    more = {"attributes": {**mlflow["attributes"], **OF_ITS_ATTRIBUTES}}
    keycloak.call("PUT", f"{realm}/clients/{mlflow['id']}", json={**mlflow, **OF_THE_CLIENT, **more})
    mapper = {"name": "team", "protocol": "openid-connect", "protocolMapper": "oidc-usermodel-attribute-mapper"}
    keycloak.make(
        f"{realm}/clients/{mlflow['id']}/protocol-mappers/models", **mapper, config={"user.attribute": "team"}
    )
    (carol,) = keycloak.get(f"{realm}/users?username=carol&exact=true")
    keycloak.call("PUT", f"{realm}/users/{carol['id']}", json=carol | {"enabled": False, "lastName": "Left"})
    addresses = dict.fromkeys(("authorizationUrl", "tokenUrl"), "https://id.example.com")
    provider = {"alias": "console", "providerId": "oidc", "config": {"clientId": "c", **addresses}}
    keycloak.call("POST", f"{realm}/identity-provider/instances", json=provider)
    link = {"userId": "1", "userName": "carol"}
    keycloak.call("POST", f"{realm}/users/{carol['id']}/federated-identity/console", json=link)
    (group,) = keycloak.get(f"{realm}/groups?search=mlflow-users&exact=true")
    keycloak.call("PUT", f"{realm}/groups/{group['id']}", json=group | {"attributes": {"cost": ["42"]}})
    keycloak.call("POST", f"{realm}/authentication/flows/browser/copy", json={"newName": "our browser"})
    keycloak.call("PUT", realm, json={"browserFlow": "our browser"})


def links(stack: Stack) -> list[str]:
    """The other identity providers that carol comes from."""
    keycloak, realm = KeycloakAdmin(stack.outputs()), f"/{stack.outputs()['realm']}"
    (carol,) = keycloak.get(f"{realm}/users?username=carol&exact=true")
    return [one["identityProvider"] for one in keycloak.get(f"{realm}/users/{carol['id']}/federated-identity")]


def secret(keycloak: KeycloakAdmin, realm: str) -> str:
    (mlflow,) = keycloak.get(f"{realm}/clients?clientId=mlflow")
    return str(keycloak.get(f"{realm}/clients/{mlflow['id']}/client-secret")["value"])


def test_it_is_there_after_a_change_of_what_is_declared(company: Stack) -> None:
    before = snapshot(company.outputs())
    company.config["realm"] = REALM | {"lifetimes": {"accessTokenSeconds": 240}, "texts": {"en": {"doLogIn": "Go on"}}}
    company.write_config()
    done = company.stackctl("preview")
    shown = done.stdout + done.stderr
    if company.engine == "compose":
        assert done.stdout.splitlines() == [
            "realm, settings: accessTokenLifespan: 120 -> 240",
            "realm, texts en: doLogIn: Enter -> Go on",
        ]
    else:
        assert "accessTokenLifespan" in shown
        assert not [name for name in OF_THE_REALM if name in shown], shown
    assert snapshot(company.outputs()) == before, "a preview changes nothing"
    company.up()
    assert differences(before, snapshot(company.outputs())) == [
        "/realm/accessTokenLifespan: 120 | 240",
        "/texts/en/doLogIn: 'Enter' | 'Go on'",
    ]


def test_the_password_of_the_mail_server_is_there_too(company: Stack) -> None:
    """Keycloak shows asterisks for one that it has, and nothing for none."""
    keycloak, realm = KeycloakAdmin(company.outputs()), f"/{company.outputs()['realm']}"
    assert keycloak.get(realm)["smtpServer"]["password"] == "**********"
    config = keycloak.get(realm)["smtpServer"]
    assert config["user"] == "ml"


def test_a_client_changes_with_what_was_set_in_it(company: Stack) -> None:
    """Another declaration of a client: the whole of it is written, and its secret stays the one of Keycloak."""
    keycloak, realm = KeycloakAdmin(company.outputs()), f"/{company.outputs()['realm']}"
    (mlflow,) = keycloak.get(f"{realm}/clients?clientId=mlflow")
    leaked = secret(keycloak, realm)
    changed = str(keycloak.call("POST", f"{realm}/clients/{mlflow['id']}/client-secret").json()["value"])
    assert changed != leaked
    before = snapshot(company.outputs())
    company.config["realm"] = company.config["realm"] | {"directAccessGrants": False}
    company.up()
    found = differences(before, snapshot(company.outputs()))
    assert found == [
        "/clients/mlflow/directAccessGrantsEnabled: True | False",
        "/clients/mlflow-cli/directAccessGrantsEnabled: True | False",
    ]
    assert secret(keycloak, realm) == changed


def test_a_person_changes_and_stays_disabled(company: Stack) -> None:
    before = snapshot(company.outputs())
    terms = {"terms": "newcomers", "texts": {"en": {"doLogIn": "Go on", "termsText": "Be kind."}}}
    company.config["realm"] |= {"users": [CAROL | {"email": "c@example.com"}], **terms}
    company.up()
    assert differences(before, snapshot(company.outputs())) == [
        "/required actions/TERMS_AND_CONDITIONS/defaultAction: False | True",
        "/required actions/TERMS_AND_CONDITIONS/enabled: False | True",
        "/texts/en/termsText: '<absent>' | 'Be kind.'",
        "/users/carol/email: 'carol@example.com' | 'c@example.com'",
    ], "who is there already is asked nothing"
    assert links(company) == ["console"]


def test_a_second_up_changes_nothing(company: Stack) -> None:
    before = snapshot(company.outputs())
    company.up()
    assert snapshot(company.outputs()) == before


@pytest.mark.pulumi
@pytest.mark.parametrize("company", ["pulumi"], indirect=True, scope="module")
def test_a_refresh_puts_nothing_back(company: Stack) -> None:
    before = snapshot(company.outputs())
    refresh(company)
    assert differences(before, snapshot(company.outputs())) == []
    company.config["realm"] = company.config["realm"] | {"lifetimes": {"accessTokenSeconds": 180}}
    company.write_config()
    refresh(company)
    assert differences(before, snapshot(company.outputs())) == ["/realm/accessTokenLifespan: 240 | 180"]
    assert links(company) == ["console"]


def test_texts_that_are_declared_no_more_stay(company: Stack) -> None:
    before = snapshot(company.outputs())
    assert before["texts"] == {
        "de": {"doLogIn": "Hinein"},
        "en": {"doLogIn": "Go on", "doLogOut": "Leave", "loginAccountTitle": "Acme", "termsText": "Be kind."},
    }
    del company.config["realm"]["texts"], company.config["realm"]["terms"]
    company.up()
    assert differences(before, snapshot(company.outputs())) == []


def test_a_browser_is_sent_to_keycloak_at_once_and_a_program_is_not(company: Stack) -> None:
    """Past the page with the button (`mlflow.automaticLoginRedirect`)."""
    outputs = company.outputs()

    def ask(path: str, accept: str) -> requests.Response:
        headers = {"Accept": accept}
        return requests.get(outputs["mlflow_url"] + path, headers=headers, timeout=TIMEOUT, allow_redirects=False)

    page = ask("/?a=b", "text/html")
    assert page.status_code == 302
    login = urlsplit(page.headers["Location"])
    assert (login.path, parse_qs(login.query)["next"]) == ("/login", ["/?a=b"])
    assert ask(f"{login.path}?{login.query}", "text/html").headers["Location"].startswith(outputs["issuer_url"])
    assert ask("/api/2.0/mlflow/experiments/search?max_results=1", "application/json").status_code == 401


def refresh(stack: Stack) -> None:
    """`pulumi up --refresh`, as its user types it."""
    command = ("pulumi", "-C", str(ROOT), "up", "--refresh", "--yes", "--non-interactive", "--stack", stack.name)
    done = subprocess.run(
        (*command, "--config-file", str(stack.config_file)),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=stack.environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
