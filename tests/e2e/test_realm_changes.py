"""Settings of the realm change on a stack that is there, under every engine that Docker has, and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from tests.e2e.harness import LONG, TIMEOUT, Client, Stack, inspect
from tests.e2e.keycloak import KeycloakAdmin, lifetime
from tests.e2e.login import followed, submit_login
from tests.e2e.test_realm import differences, snapshot

MAIL = {"host": "mail.example.com", "sender": "ml@example.com", "username": "ml", "password": "password-of-mail"}
CAROL = {"username": "carol", "email": "carol@example.com", "firstName": "Carol", "groups": ["mlflow-users"]}
DAVE = {"username": "dave", "groups": ["mlflow-users"]}
TERMS = {"en": {"termsText": "<p>Be <b>kind</b>.</p>"}}
REALM: dict[str, Any] = {
    "groups": {"admins": ["mlflow-admins"], "users": ["mlflow-users"]},
    "users": [CAROL, DAVE],
    "serviceAccounts": [
        {"clientId": "trainer", "groups": ["mlflow-users"]},
        {"clientId": "old", "groups": ["mlflow-users"]},
    ],
    "terms": "newcomers",
    "texts": TERMS,
}
MORE_GROUPS = {"admins": ["mlflow-admins"], "users": ["mlflow-users", "scientists"]}
ERIN, MOVED = (
    {"username": "erin", "groups": ["scientists"]},
    CAROL | {"email": "c@example.com", "groups": ["scientists"]},
)
TRAINER, NIGHTLY = {"clientId": "trainer", "groups": ["scientists"]}, {"clientId": "nightly"}
GERMAN = {"de": {"termsText": "<p>Seid nett.</p>", "doLogIn": "Los"}}
# Signs that an import, a line of text and a page could each take for something else.
TEXTS = {
    "de": {
        "doLogIn": "Öffne Dich — 😀",
        "loginAccountTitle": "Geht''s los?",
        "termsText": "<p>Für 5$, $$ & 100%</p>\n",
    },
    "en": {**TERMS["en"], "doLogIn": 'Open "up" \\ {0}'},
}
# What an operator changes, one after the other. Each is what a part of the realm is from then on.
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("shorter tokens", {"lifetimes": {"accessTokenSeconds": 120, "ssoIdleSeconds": 1200}}),
    ("another group", {"groups": MORE_GROUPS}),
    ("another person", {"users": [CAROL, DAVE, ERIN]}),
    ("another address", {"users": [CAROL | {"email": "c@example.com"}, DAVE, ERIN]}),
    ("another group for somebody", {"users": [MOVED, DAVE, ERIN | {"groups": []}]}),
    ("another service account", {"serviceAccounts": [*REALM["serviceAccounts"], NIGHTLY]}),
    (
        "other groups of these",
        {"serviceAccounts": [TRAINER, {"clientId": "old"}, NIGHTLY | {"groups": ["scientists"]}]},
    ),
    ("a service account less", {"serviceAccounts": [TRAINER, NIGHTLY | {"groups": ["scientists"]}]}),
    ("a person less", {"users": [MOVED, ERIN | {"groups": []}]}),
    ("another client of command lines", {"cliClientId": "shell"}),
    (
        "rules for passwords",
        {"passwordPolicy": "length(12) and notUsername and passwordHistory(5)", "rememberMe": True},
    ),
    ("languages", {"languages": ["de", "en"], "displayName": "Models of Acme", "texts": TERMS | GERMAN}),
    ("events and texts", {"events": {"days": 7}, "texts": TEXTS}),
    ("mail and themes", {"mail": MAIL, "resetPassword": True, "themes": {"login": "keycloak", "email": "keycloak"}}),
    ("another name for mail", {"mail": MAIL | {"senderName": "Models", "password": "another-password-of-mail"}}),
]


def started(stack: Stack, workload: str) -> str:
    return str(inspect(stack.container(workload))["State"]["StartedAt"])


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that Compose runs, after every change."""
    made = Stack.make("compose", tmp_path_factory.mktemp("changed"), realm=deepcopy(REALM))
    with made.running():
        for name, change in CHANGES:
            before = started(made, "keycloak")
            made.config["realm"] |= change
            said = made.up().stderr
            assert "realm, " in said, name
            # Only a secret that Keycloak has no use for any more takes its container along.
            assert (started(made, "keycloak") == before) == ("less" not in name), name
        yield made


def test_a_realm_that_was_changed_is_the_one_that_is_imported_anew(
    changed: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = changed.up().stderr
    assert "realm, " not in said, "nothing is left to do"
    config = {key: value for key, value in changed.config.items() if key not in {"mlflow", "keycloak"}}
    with Stack.make("compose", tmp_path_factory.mktemp("anew"), **config).running() as anew:
        assert differences(snapshot(changed.outputs()), snapshot(anew.outputs())) == []


@LONG
@pytest.mark.pulumi
def test_pulumi_changes_a_realm_to_the_same(changed: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = Stack.make("pulumi", tmp_path_factory.mktemp("pulumi"), realm=deepcopy(REALM))
    with made.running():
        for _, change in CHANGES:
            made.config["realm"] |= change
        made.up()
        assert differences(snapshot(made.outputs()), snapshot(changed.outputs())) == []
        keep_members(made)
        refuse_a_theme(made)


def refuse_a_theme(stack: Stack) -> None:
    """One that Keycloak does not have is named with those that it has, and nothing of the realm is changed."""
    before, realm = deepcopy(stack.config), snapshot(stack.outputs())
    stack.config["realm"] |= {"themes": {"login": "acme", "account": "keycloak.v3"}, "rememberMe": False}
    try:
        done = stack.up(check=False)
        said = done.stdout + done.stderr
        assert done.returncode != 0
        assert "realm.themes.login" in said
        assert "acme: expected one that Keycloak has: " in said
        assert "keycloak.v2" in said
        assert "realm.themes.account" not in said
        assert differences(realm, snapshot(stack.outputs())) == []
    finally:
        stack.config = before


def keep_members(stack: Stack) -> None:
    """A group that is declared no more goes once nobody is in it whom the settings did not put there."""
    outputs = stack.outputs()
    keycloak, realm = KeycloakAdmin(outputs), f"/{outputs['realm']}"
    zoe = keycloak.make(f"{realm}/users", username="zoe", enabled=True, groups=["/scientists"])
    before = snapshot(outputs)
    stack.config["realm"] |= {
        "groups": {**MORE_GROUPS, "users": ["mlflow-users"]},
        "users": [CAROL, ERIN | {"groups": []}],
        "serviceAccounts": [TRAINER | {"groups": []}, NIGHTLY | {"groups": []}],
    }
    done = stack.up(check=False)
    assert done.returncode != 0
    assert "realm.groups: scientists, which is no longer declared: 1 member(s) (zoe)" in done.stdout + done.stderr
    assert differences(before, snapshot(stack.outputs())) == []
    keycloak.remove(f"{realm}/users/{zoe}")
    stack.up()
    assert not keycloak.get(f"{realm}/groups?search=scientists&exact=true")


def test_what_is_new_works(changed: Stack) -> None:
    outputs = changed.outputs()
    client = Client(outputs)
    secret = outputs["service_accounts"]["nightly"]["client_secret"]
    answer = client.grant(grant_type="client_credentials", client_id="nightly", client_secret=secret)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert client.mlflow("/api/2.0/mlflow/experiments/search?max_results=1", token).status_code == 200
    assert lifetime(token) == 120


def test_the_login_page_says_what_is_declared(changed: Stack) -> None:
    for language, said in {"de": ("Öffne Dich — 😀", "Geht&#39;s los?"), "en": ("Open &quot;up&quot;",)}.items():
        page = requests.get(login_url(changed.outputs()), params={"ui_locales": language}, timeout=TIMEOUT)
        assert page.status_code == 200
        assert [text for text in said if text not in page.text] == []


def test_the_login_page_has_the_theme_that_is_declared(changed: Stack) -> None:
    page = requests.get(login_url(changed.outputs()), timeout=TIMEOUT)
    assert "/login/keycloak/" in page.text
    assert "/login/keycloak.v2/" not in page.text


def test_a_theme_that_keycloak_does_not_have_is_refused_by_name(changed: Stack) -> None:
    refuse_a_theme(changed)


def test_the_doctor_tells_of_a_theme_that_is_gone(changed: Stack) -> None:
    keycloak, realm = KeycloakAdmin(changed.outputs()), f"/{changed.outputs()['realm']}"
    keycloak.call("PUT", realm, json={"accountTheme": "gone"})
    try:
        done = changed.stackctl("doctor", "--output", "json", check=False)
        assert "accountTheme of the realm is gone, and Keycloak has " in done.stdout
    finally:
        keycloak.call("PUT", realm, json={"accountTheme": ""})


def test_newcomers_accept_the_terms(changed: Stack) -> None:
    """Whoever is declared was asked as they were made; somebody of the console is asked too."""
    outputs = changed.outputs()
    keycloak, realm = KeycloakAdmin(outputs), f"/{outputs['realm']}"
    people = {one["username"]: one for one in keycloak.get(f"{realm}/users?max=100")}
    assert {"TERMS_AND_CONDITIONS"} == {
        action for name in ("carol", "erin") for action in people[name]["requiredActions"]
    }
    login = {"username": "newcomer", "password": "Password-of-nobody-1"}
    credentials = [{"type": "password", "value": login["password"]}]
    names = {"email": "new@example.com", "firstName": "New", "lastName": "Comer", "username": login["username"]}
    made = keycloak.make(f"{realm}/users", **names, enabled=True, credentials=credentials, groups=["/mlflow-users"])
    client = {"client_id": outputs["client_id"], "client_secret": outputs["client_secret"]}
    grant = {"grant_type": "password", "scope": "openid", **client, **login}
    try:
        refused = Client(outputs).grant(**grant)
        assert (refused.status_code, "not fully set up" in refused.text) == (400, True)
        assert "error=access_denied" in answered(outputs, login, "cancel").headers["Location"]
        assert "code=" in answered(outputs, login, "accept").headers["Location"]
        assert Client(outputs).grant(**grant).status_code == 200
        changed.up()
        assert "nobody to ask" in changed.stackctl("users", "ask-terms", "--yes").stderr
        assert Client(outputs).grant(**grant).status_code == 200, "nobody is asked twice"
        assert "1 person(s) are asked" in changed.stackctl("users", "ask-terms", "--again", "--yes").stderr
        assert Client(outputs).grant(**grant).status_code == 400
        assert "code=" in answered(outputs, login, "accept").headers["Location"]
        (told,) = keycloak.get(f"{realm}/users?username=newcomer&exact=true")
        assert {key: told[key] for key in names} == names
    finally:
        keycloak.remove(f"{realm}/users/{made}")


def answered(outputs: dict[str, Any], login: dict[str, str], answer: str) -> requests.Response:
    """Where the page with the terms leads, in German."""
    browser = requests.Session()
    page = followed(browser, submit_login(browser, login_url(outputs), {"ui_locales": "de"}, **login))
    assert "<p>Für 5$, $$ &amp; 100%</p>" in page.text
    action = re.search(r'action="([^"]+)"', page.text)
    assert action, page.text
    return browser.post(unescape(action[1]), data={answer: "x"}, timeout=TIMEOUT, allow_redirects=False)


def login_url(outputs: dict[str, Any]) -> str:
    """Where Keycloak's own page for accounts sends a browser."""
    account = f"{outputs['issuer_url']}/account/"
    form = {"client_id": "account-console", "response_type": "code", "scope": "openid", "redirect_uri": account}
    challenge = {"code_challenge": "x" * 43, "code_challenge_method": "S256"}
    return f"{outputs['issuer_url']}/protocol/openid-connect/auth?{urlencode(form | challenge)}"


def test_a_group_with_members_is_not_removed_and_nothing_else_is_changed(changed: Stack) -> None:
    """Those whom the console put there: whom the settings had put there, they take out again."""
    outputs = changed.outputs()
    keycloak = KeycloakAdmin(outputs)
    zoe = keycloak.make(f"/{outputs['realm']}/users", username="zoe", enabled=True, groups=["/scientists"])
    before, realm = deepcopy(changed.config), snapshot(outputs)
    changed.config["realm"] |= {**REALM, "texts": TEXTS, "lifetimes": {"accessTokenSeconds": 60}}
    try:
        for command in ("up", "preview"):
            changed.write_config()
            done = changed.stackctl(command, check=False)
            assert done.returncode == 2, done.stderr
            assert "realm.groups: scientists" in done.stderr
            assert "1 member(s) (zoe)" in done.stderr
        assert differences(realm, snapshot(changed.outputs())) == []
    finally:
        changed.config = before
        keycloak.remove(f"/{outputs['realm']}/users/{zoe}")


def test_a_realm_keeps_its_name(changed: Stack) -> None:
    before = deepcopy(changed.config)
    changed.config["realm"] |= {"name": "other"}
    try:
        done = changed.up(check=False)
        assert (done.returncode, "expected mlflow" in done.stderr) == (2, True), done.stderr
    finally:
        changed.config = before
