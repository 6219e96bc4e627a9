"""People of other identity providers log in: of a second realm, by OpenID Connect and by SAML, and of a GitLab."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from tests.e2e import gitlab, saml
from tests.e2e.browser import Browser, chromium
from tests.e2e.gitlab import GitLab
from tests.e2e.harness import TIMEOUT, Stack, free_ports
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.login import followed

PASSWORD = "of-a-person-elsewhere"
SECRET = "of-keycloak-at-the-partner"
METADATA = "/protocol/saml/descriptor"
# An import would put Keycloak's own variable there.
LABEL = "Corporate login ${KC_DB_PASSWORD}"
# The groups of each person there, by the names that the partner has for them.
PEOPLE = {"eve": ["ML Admins (all)"], "finn": ["ml-users"], "gail": ["ml-users", "ML Admins (all)"], "hugo": []}
# Those who come by SAML.
OTHERS = {"sam": ["ML Admins (all)"], "sue": ["ml-users"], "sid": []}
# Those with a name or an address that somebody here has already.
ALIKE = {"bob": ["ml-users"], "mallory": ["ML Admins (all)"]}
ADDRESSES = {"mallory": "alice@example.com"}
GROUPS = {"ML Admins (all)": "mlflow-admins", "ml-users": "mlflow-users", "data+science": "mlflow-users"}


@pytest.fixture(scope="module")
def lab() -> Iterator[GitLab]:
    with gitlab.gitlab() as found:
        yield found


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as one:
        yield one


@pytest.fixture(scope="module", params=["compose", pytest.param("pulumi", marks=pytest.mark.pulumi)])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, lab: GitLab) -> Iterator[Stack]:
    mlflow, port = free_ports(2)
    public, inside = f"http://localhost:{port}/realms/partner", "http://keycloak:8080/realms/partner"
    provider = {
        "alias": "partner",
        "displayName": "Partner Inc.",
        "issuer": public,
        "authorizationUrl": f"{public}/protocol/openid-connect/auth",
        "tokenUrl": f"{inside}/protocol/openid-connect/token",
        "jwksUrl": f"{inside}/protocol/openid-connect/certs",
        "clientId": "broker",
        "clientSecret": SECRET,
        "trustEmail": True,
        "groups": GROUPS,
    }
    other = {
        "alias": "lab",
        "kind": "gitlab",
        "displayName": "Our GitLab",
        "issuer": f"{lab.url}/",
        "clientId": gitlab.CLIENT,
        "clientSecret": gitlab.SECRET,
        "groups": {"acme/ml": "mlflow-users", "acme/ml/leads": "mlflow-admins"},
    }
    there = f"{public}/protocol/saml"
    corporate: dict[str, Any] = {
        "alias": "corp",
        "kind": "saml",
        "displayName": LABEL,
        "saml": {
            "entityId": public,
            "loginUrl": there,
            "logoutUrl": there,
            "metadataUrl": f"{inside}{METADATA}",
            "nameIdFormat": "persistent",
            "usernameAttribute": saml.NAME,
        },
        "trustEmail": True,
        "groupsClaim": "urn:acme:groups",
        "groups": GROUPS,
    }
    urls = {"mlflow": {"url": f"http://localhost:{mlflow}"}, "keycloak": {"url": f"http://localhost:{port}"}}
    realm = {"identityProviders": [provider, other, corporate]}
    made = Stack.make(request.param, tmp_path_factory.mktemp("partner"), **urls, realm=realm)
    with made.running():
        make_partner(KeycloakAdmin(made.outputs()), made.outputs()["identity_providers"])
        yield made


def make_partner(keycloak: KeycloakAdmin, told: dict[str, dict[str, str]]) -> None:
    redirect_uri = told["partner"]["redirect_uri"]
    mapper = {
        "name": "groups",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-group-membership-mapper",
        "config": {"claim.name": "groups", "full.path": "false", "id.token.claim": "true"},
    }
    client: dict[str, Any] = {"clientId": "broker", "secret": SECRET, "redirectUris": [redirect_uri]}
    people = [
        {
            "username": name, "enabled": True, "emailVerified": True,
            "email": ADDRESSES.get(name, f"{name}@partner.example"),
            "firstName": name.capitalize(), "lastName": "Elsewhere", "groups": [f"/{group}" for group in groups],
            "credentials": [{"type": "password", "value": PASSWORD}],
        }
        for name, groups in {**PEOPLE, **OTHERS, **ALIKE}.items()
    ]  # fmt: skip
    keycloak.call(
        "POST", "", json={
            "realm": "partner", "enabled": True, "sslRequired": "none",
            "groups": [{"name": group} for group in GROUPS],
            "clients": [
                {**client, "protocolMappers": [mapper], "attributes": {"pkce.code.challenge.method": "S256"}},
                saml.client(told["corp"]),
            ],
            "users": people,
        },
    )  # fmt: skip


def follow(browser: requests.Session, url: str, form: Mapping[str, str] | None = None) -> requests.Response:
    """To where it ends."""
    answer = browser.request("POST" if form else "GET", url, data=form, timeout=TIMEOUT, allow_redirects=False)
    return followed(browser, answer)


def press(stack: Stack, browser: requests.Session, alias: str, label: str) -> requests.Response:
    """Where the button of a provider leads."""
    page = follow(browser, f"{stack.outputs()['mlflow_url']}/login")
    button = re.search(rf'<a[^>]*id="social-{alias}"[^>]*href="([^"]+)"', page.text, re.DOTALL)
    button = button or re.search(rf'href="(/realms/[^"]*/broker/{alias}/login[^"]*)"', page.text)
    assert button, page.text[:3000]
    assert label in page.text
    return follow(browser, urljoin(page.url, unescape(button[1])))


def log_in(stack: Stack, name: str) -> tuple[requests.Session, requests.Response]:
    """What a person does: the button, the other page, and back; with where it ends."""
    browser = requests.Session()
    there = press(stack, browser, "partner", "Partner Inc.")
    assert "/realms/partner/" in there.url
    return browser, at_the_partner(browser, there, name)


def at_the_partner(browser: requests.Session, there: requests.Response, name: str) -> requests.Response:
    """The login on the partner's page."""
    action = re.search(r'action="([^"]+)"', there.text)
    assert action, there.text[:3000]
    return follow(browser, unescape(action[1]), {"username": name, "password": PASSWORD})


def by_saml(stack: Stack, browser: requests.Session, name: str) -> tuple[str, dict[str, str]]:
    """Where the partner's answer is sent to, and what it is."""
    there = press(stack, browser, "corp", "Corporate login")
    assert "/realms/partner/" in there.url
    return saml.form(at_the_partner(browser, there, name))


def current(stack: Stack, browser: requests.Session) -> dict[str, Any]:
    url = f"{stack.outputs()['mlflow_url']}/ajax-api/2.0/mlflow/users/current"
    answer = browser.get(url, timeout=TIMEOUT)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def outside(stack: Stack, browser: requests.Session) -> bool:
    url = f"{stack.outputs()['mlflow_url']}/ajax-api/2.0/mlflow/users/current"
    return browser.get(url, timeout=TIMEOUT, allow_redirects=False).status_code in {302, 401, 403}


@pytest.mark.parametrize(("name", "is_admin"), [("eve", True), ("finn", False), ("gail", True)])
def test_a_person_of_the_partner_comes_in_with_the_rights_of_its_groups(
    stack: Stack, name: str, is_admin: bool
) -> None:
    browser, page = log_in(stack, name)
    assert page.url.startswith(stack.outputs()["mlflow_url"]), page.url
    found = current(stack, browser)
    assert (found["username"], found["is_admin"]) == (name, is_admin)
    keycloak, realm = KeycloakAdmin(stack.outputs()), f"/{stack.outputs()['realm']}"
    (user,) = keycloak.get(f"{realm}/users?username={name}&exact=true")
    groups = {group["name"] for group in keycloak.get(f"{realm}/users/{user['id']}/groups")}
    assert groups == {GROUPS[group] for group in PEOPLE[name]}


def test_who_is_in_none_of_the_groups_is_refused(stack: Stack) -> None:
    browser, _ = log_in(stack, "hugo")
    assert outside(stack, browser)


def test_what_the_partner_takes_away_is_gone_at_the_next_login(stack: Stack) -> None:
    keycloak = KeycloakAdmin(stack.outputs())
    (user,) = keycloak.get("/partner/users?username=gail&exact=true")
    (group,) = keycloak.get("/partner/groups?search=ML%20Admins%20(all)&exact=true")
    keycloak.remove(f"/partner/users/{user['id']}/groups/{group['id']}")
    browser, _ = log_in(stack, "gail")
    assert current(stack, browser)["is_admin"] is False


@pytest.mark.parametrize(
    ("groups", "is_admin"), [(["acme", "acme/ml"], False), (["acme/ml/leads", "acme/ml"], True), (["acme/ml"], False)]
)
def test_a_person_of_gitlab_has_the_rights_of_its_paths(
    stack: Stack, lab: GitLab, groups: list[str], is_admin: bool
) -> None:
    """It tells of them in no ID token."""
    lab.groups, browser = groups, requests.Session()
    page = press(stack, browser, "lab", "Our GitLab")
    assert page.url.startswith(stack.outputs()["mlflow_url"]), page.url
    found = current(stack, browser)
    assert (found["username"], found["is_admin"]) == ("lara", is_admin)


def test_a_path_that_only_begins_like_one_is_another(stack: Stack, lab: GitLab) -> None:
    lab.groups, browser = ["acme", "acme/ml2", "x/acme/ml"], requests.Session()
    press(stack, browser, "lab", "Our GitLab")
    assert outside(stack, browser)


@pytest.mark.parametrize(("name", "is_admin"), [("sam", True), ("sue", False)])
def test_a_person_comes_in_by_saml(stack: Stack, name: str, is_admin: bool) -> None:
    browser = requests.Session()
    page = follow(browser, *by_saml(stack, browser, name))
    assert page.url.startswith(stack.outputs()["mlflow_url"]), page.text[:3000]
    found = current(stack, browser)
    assert (found["username"], found["is_admin"]) == (name, is_admin)
    keycloak, realm = KeycloakAdmin(stack.outputs()), f"/{stack.outputs()['realm']}"
    (user,) = keycloak.get(f"{realm}/users?username={name}&exact=true")
    assert (user["email"], user["firstName"]) == (f"{name}@partner.example", name.capitalize())
    groups = {group["name"] for group in keycloak.get(f"{realm}/users/{user['id']}/groups")}
    assert groups == {GROUPS[group] for group in OTHERS[name]}
    # Who logs out here is logged out there, and asked for the password again.
    follow(browser, f"{stack.outputs()['mlflow_url']}/logout")
    follow(browser, *by_saml(stack, browser, name))
    assert current(stack, browser)["username"] == name


def test_what_a_button_says_is_no_variable_of_keycloaks(stack: Stack) -> None:
    keycloak, realm = KeycloakAdmin(stack.outputs()), f"/{stack.outputs()['realm']}"
    assert keycloak.get(f"{realm}/identity-provider/instances/corp")["displayName"] == LABEL


def test_who_comes_by_saml_without_a_group_is_refused(stack: Stack) -> None:
    browser = requests.Session()
    follow(browser, *by_saml(stack, browser, "sid"))
    assert outside(stack, browser)


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"<(\w+:)?Signature .*?</(\w+:)?Signature>", ""),
        (">sid<", ">sam<"),
        (r"(<saml:AttributeStatement>)", r'\1<saml:Attribute Name="urn:acme:groups">'
         r"<saml:AttributeValue>ML Admins (all)</saml:AttributeValue></saml:Attribute>"),
        ("Issuer>http", "Issuer>https"),
        (r"<saml:Audience>[^<]+<", "<saml:Audience>http://other.example<"),
    ],
    ids=["unsigned", "another-person", "another-group", "another-provider", "for-another"],
)  # fmt: skip
def test_an_answer_that_somebody_altered_is_refused(stack: Stack, pattern: str, instead: str) -> None:
    browser = requests.Session()
    action, fields = by_saml(stack, browser, "sid")
    assert follow(browser, action, saml.altered(fields, pattern, instead)).status_code == 400
    assert outside(stack, browser)


def test_an_answer_without_the_login_that_asked_for_it_is_refused(stack: Stack) -> None:
    browser = requests.Session()
    action, fields = by_saml(stack, browser, "sam")
    thief = requests.Session()
    assert follow(thief, action, fields).status_code == 400
    # Nor for a login that nobody asked for.
    assert follow(thief, action, {"SAMLResponse": fields["SAMLResponse"]}).status_code == 400
    assert outside(stack, thief)


def test_who_has_the_address_of_somebody_here_is_not_let_in_for_them(stack: Stack) -> None:
    """Although the provider's addresses are taken for verified ones."""
    browser = requests.Session()
    page = follow(browser, *by_saml(stack, browser, "mallory"))
    assert "Account already exists" in page.text
    assert outside(stack, browser)


def test_an_account_that_is_here_is_linked_by_whoever_shows_that_it_is_theirs(stack: Stack, browser: Browser) -> None:
    outputs = stack.outputs()
    browser.open(f"{outputs['mlflow_url']}/login")
    browser.click("#social-corp")
    browser.log_in("bob", PASSWORD)
    browser.wait_text("Account already exists")
    browser.picture("account-exists")
    browser.click("#linkAccount")
    browser.wait_text("Authenticate to link your account with")
    browser.picture("account-link")
    for password, then in (
        ("a wrong password", "Invalid username or password."),
        (outputs["users"]["bob"]["password"], "Experiments"),
    ):
        browser.find("#password").send_keys(password)
        browser.click("[type=submit]")
        browser.wait_text(then)
    assert browser.url.startswith(outputs["mlflow_url"])
    # From then on nothing more is asked.
    session = requests.Session()
    follow(session, *by_saml(stack, session, "bob"))
    assert current(stack, session)["username"] == "bob"


def test_a_second_up_changes_nothing_and_another_name_is_taken(stack: Stack) -> None:
    said = stack.up().stderr
    assert "identity provider" not in said
    provider, _, corporate = stack.config["realm"]["identityProviders"]
    provider["displayName"] = "Partner AG"
    stack.up()
    keycloak, realm = KeycloakAdmin(stack.outputs()), f"/{stack.outputs()['realm']}"
    found = keycloak.get(f"{realm}/identity-provider/instances/partner")
    assert (found["displayName"], found["config"]["clientSecret"]) == ("Partner AG", "**********")
    assert not any(one["storeToken"] for one in keycloak.get(f"{realm}/identity-provider/instances"))
    page = requests.Session().get(f"{stack.outputs()['mlflow_url']}/login", timeout=TIMEOUT)
    assert "Partner AG" in page.text
    provider["displayName"] = "Partner Inc."
    there = corporate["saml"]
    there["certificates"] = [saml.certificate(f"{there['entityId']}{METADATA}")]
    del there["metadataUrl"]
    stack.up()
    # The secret is still the right one.
    browser, _ = log_in(stack, "finn")
    assert current(stack, browser)["username"] == "finn"
    # The provider's own key is one that was told.
    browser = requests.Session()
    follow(browser, *by_saml(stack, browser, "sue"))
    assert current(stack, browser)["username"] == "sue"
