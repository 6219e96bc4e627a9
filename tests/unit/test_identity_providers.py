"""Other identity providers: what the settings say becomes what Keycloak is told, and what cannot be is refused."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any, cast

import pytest

from components.importing import importing_workloads
from components.realm.document import realm_import
from components.realm.providers import provider
from components.realm.spec import realm_spec
from components.rules import RULES
from components.stack import stack_spec
from problems import StackError
from settings import PROJECT, parse
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import fingerprint
from stackctl.realm.steps import steps
from tests.samples import settings
from tests.unit.fake_realm import FakeRealm

Tree = dict[str, Any]
OIDC: Tree = {
    "alias": "acme",
    "displayName": "Acme",
    "issuer": "https://id.acme.example/realms/people",
    "authorizationUrl": "https://id.acme.example/auth",
    "tokenUrl": "https://id.acme.example:8443/token",
    "jwksUrl": "https://keys.acme.example/jwks",
    "clientId": "keycloak",
    "clientSecret": "operators-own-provider",
    "groups": {"/ml/admins": "mlflow-admins", "ml users": "mlflow-users", "CN=ml (all),DC=x": "mlflow-users"},
}
ENTRA: Tree = {
    "alias": "entra", "kind": "entra", "tenant": "AAAAAAAA-2222-3333-4444-555555555555", "clientId": "c",
    "clientSecret": "operators-own-entra",
    "groups": {"Admin": "mlflow-admins"},
}  # fmt: skip
GOOGLE: Tree = {
    "alias": "google", "kind": "google", "clientId": "c", "clientSecret": "operators-own-google",
    "groups": {"acme.example": "mlflow-users"},
}  # fmt: skip
GITLAB: Tree = {
    "alias": "gitlab", "kind": "gitlab", "clientId": "c", "clientSecret": "operators-own-gitlab",
    "groups": {"acme/ml": "mlflow-users"},
}  # fmt: skip
URLS = ("issuer", "authorizationUrl", "tokenUrl", "jwksUrl")


def declared(*providers: Tree) -> Tree:
    spec = realm_spec(settings({"realm": {"identityProviders": list(providers)}}))
    return realm_import(spec, lambda secret: secret.value or f"value of {secret.name}")


def refused(*providers: Tree, **more: Any) -> list[str]:
    """The keys that are named."""
    config = {**more, "realm": {"identityProviders": list(providers), **more.get("realm", {})}}
    try:
        parse({f"{PROJECT}:{key}": value for key, value in config.items()}, "test", rules=RULES)
    except StackError as error:
        return sorted(one.where.replace(f"{PROJECT}:realm.identityProviders", "") for one in error.problems)
    return []


def test_a_provider_is_told_as_keycloak_calls_it() -> None:
    (found,) = declared(OIDC)["identityProviders"]
    assert (found["alias"], found["displayName"], found["trustEmail"]) == ("acme", "Acme", False)
    config = found["config"]
    assert {key: config[key] for key in URLS} == {key: OIDC[key] for key in URLS}
    assert (config["clientSecret"], config["disableUserInfo"]) == ("operators-own-provider", "true")
    assert (config["validateSignature"], config["pkceEnabled"], config["syncMode"]) == ("true", "true", "FORCE")
    assert "userInfoUrl" not in config


def test_entra_and_google_know_their_addresses_and_claims() -> None:
    entra, google = declared(ENTRA, GOOGLE)["identityProviders"]
    assert entra["config"]["issuer"] == "https://login.microsoftonline.com/aaaaaaaa-2222-3333-4444-555555555555/v2.0"
    assert google["config"]["issuer"] == "https://accounts.google.com"
    for one in (entra, google):
        assert all(one["config"][key].startswith("https://") for key in URLS)
        assert one["config"]["disableUserInfo"] == "false"
    mappers = declared(ENTRA, GOOGLE)["identityProviderMappers"]
    assert [json.loads(one["config"]["claims"])[0]["key"] for one in mappers] == ["roles", "hd"]


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({}, "https://gitlab.com"),
        ({"issuer": "https://git.acme.example:8443/lab/"}, "https://git.acme.example:8443/lab"),
        ({"issuer": "HTTPS://Git.Acme.example:443/Lab"}, "https://git.acme.example/Lab"),
        ({"issuer": "https://[2001:DB8::1]:8443"}, "https://[2001:db8::1]:8443"),
    ],
)
def test_gitlab_knows_its_addresses_by_its_own(given: Tree, base: str) -> None:
    found = declared({**GITLAB, **given})
    (one,), (mapper,) = found["identityProviders"], found["identityProviderMappers"]
    config = one["config"]
    # GitLab's discovery document, `/.well-known/openid-configuration`.
    assert [config[key] for key in (*URLS, "userInfoUrl")] == [
        base, f"{base}/oauth/authorize", f"{base}/oauth/token", f"{base}/oauth/discovery/keys", f"{base}/oauth/userinfo"
    ]  # fmt: skip
    (claim,) = json.loads(mapper["config"]["claims"])
    assert claim["key"] == "groups"
    for path, fits in (("acme/ml", True), ("acme/ml/x", False), ("x/acme/ml", False), ("acme", False)):
        assert bool(re.fullmatch(claim["value"], path)) == fits


def test_each_group_has_one_mapper_which_matches_its_values_and_no_others() -> None:
    """Two of one group would take people out of it and in by turns."""
    found = {one["config"]["group"]: one for one in declared(OIDC)["identityProviderMappers"]}
    assert found.keys() == {"/mlflow-admins", "/mlflow-users"}
    for value, group in OIDC["groups"].items():
        for other, mapper in found.items():
            (claim,) = json.loads(mapper["config"]["claims"])
            assert claim["key"] == "groups"
            assert bool(re.fullmatch(claim["value"], value)) == (other == f"/{group}")
    (claim,) = json.loads(found["/mlflow-users"]["config"]["claims"])
    for value in ("ml users and more", "ml", "", "CN=ml xallx,DC=x", "CN=ml (all),DCx"):
        assert not re.fullmatch(claim["value"], value)


@pytest.mark.parametrize(
    ("claim", "key"),
    [("realm_access.roles", "realm_access.roles"), ("https://acme.example/roles", r"https://acme\.example/roles")],
)
def test_a_dot_leads_into_a_claim_and_not_into_a_url(claim: str, key: str) -> None:
    (mapper,) = declared({**OIDC, "groups": {"x": "mlflow-users"}, "groupsClaim": claim})["identityProviderMappers"]
    assert json.loads(mapper["config"]["claims"])[0]["key"] == key


def test_a_group_for_everybody_has_a_mapper_of_its_own() -> None:
    (mapper,) = declared({**OIDC, "groups": {}, "defaultGroups": ["mlflow-users"]})["identityProviderMappers"]
    assert mapper["identityProviderMapper"] == "oidc-hardcoded-group-idp-mapper"
    assert mapper["config"] == {"group": "/mlflow-users", "syncMode": "FORCE"}


def test_the_secret_is_in_no_file_and_keycloak_may_go_there() -> None:
    spec = stack_spec(settings({"realm": {"identityProviders": [OIDC]}}))
    server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
    (text,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert "operators-own" not in text
    assert '"clientSecret": "${REALM_PROVIDER_ACME_SECRET}"' in text
    asked = {(out.host, out.port) for out in server.outside}
    assert {("id.acme.example", 8443), ("keys.acme.example", 443)} <= asked
    assert ("id.acme.example", 443) not in asked, "browsers go there, and Keycloak does not"
    less = stack_spec(settings())
    server = next(one for one in importing_workloads(less, text, imported=True) if one.name == "keycloak")
    (text,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert "acme" not in text, "the name of a variable would be the secret"


def test_what_a_provider_has_to_know_is_an_output() -> None:
    shown = stack_spec(settings({"realm": {"identityProviders": [OIDC]}})).outputs()["identity_providers"]
    assert shown == {"acme": {"redirect_uri": "http://localhost:8080/realms/mlflow/broker/acme/endpoint"}}
    assert "identity_providers" not in stack_spec(settings()).outputs()


class TestSteps:
    @staticmethod
    def changes(wanted: Tree, before: Tree, fake: FakeRealm) -> list[str]:
        kept = deepcopy(before)
        for one in kept.get("identityProviders", ()):
            one["config"]["clientSecret"] = fingerprint(kept["realm"], one["config"]["clientSecret"])
        found = steps(wanted, kept, Actual(cast(KeycloakAdmin, fake)))
        for step in found:
            step.take()
        return [f"{step.where}: {change}" for step in found for change in step.changes]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ((), (OIDC,)),
            ((OIDC,), ()),
            ((OIDC,), (ENTRA, GOOGLE, GITLAB)),
            ((OIDC,), ({**OIDC, "groups": {"x": "mlflow-users"}},)),
        ],
    )
    def test_steps_lead_to_what_is_declared_and_are_then_none(self, before: Any, after: Any) -> None:
        then, wanted = declared(*before), declared(*after)
        fake = FakeRealm(then)
        assert self.changes(wanted, then, fake)
        assert self.changes(wanted, wanted, fake) == []
        assert fake.providers == {one["alias"]: one for one in wanted.get("identityProviders", ())}
        told = [{key: value for key, value in one.items() if key != "id"} for one in fake.provider_mappers]
        left = [one for one in told if one["identityProviderAlias"] in fake.providers]
        assert sorted(left, key=repr) == sorted(wanted.get("identityProviderMappers", ()), key=repr)

    def test_another_secret_is_written_and_not_shown(self) -> None:
        then, wanted = declared(OIDC), declared({**OIDC, "clientSecret": "operators-own-other"})
        fake = FakeRealm(then)
        assert self.changes(wanted, then, fake) == ["identity provider acme: config.clientSecret is written"]
        assert fake.providers["acme"]["config"]["clientSecret"] == "operators-own-other"

    def test_what_somebody_made_in_the_console_stays(self) -> None:
        fake = FakeRealm(declared(OIDC))
        assert self.changes(declared(), declared(), fake) == []
        fake.providers["acme"]["config"]["guiOrder"] = "5"
        wanted = declared({**OIDC, "displayName": "Acme Inc."})
        assert self.changes(wanted, declared(OIDC), fake) == ["identity provider acme: displayName: Acme -> Acme Inc."]
        assert fake.providers["acme"]["config"]["guiOrder"] == "5"
        assert fake.providers["acme"]["config"]["clientSecret"] == "**********", "Keycloak keeps the one that it has"

    def test_one_that_was_switched_off_stays_so(self) -> None:
        fake = FakeRealm(declared(OIDC))
        fake.providers["acme"]["enabled"] = False
        assert self.changes(declared({**OIDC, "displayName": "A"}), declared(OIDC), fake)
        assert fake.providers["acme"]["enabled"] is False

    def test_one_that_somebody_made_under_the_alias_is_not_taken_over(self) -> None:
        with pytest.raises(StackError) as caught:
            self.changes(declared(OIDC), declared(), FakeRealm(declared(OIDC)))
        assert [one.where for one in caught.value.problems] == ["realm.identityProviders[0].alias"]

    @pytest.mark.parametrize(
        ("realm", "name", "key"),
        [
            ({"users": [{"username": "carol", "groups": ["mlflow-admins"]}]}, "carol", "realm.users: carol"),
            ({"serviceAccounts": [{"clientId": "ci"}]}, "service-account-ci", "realm.serviceAccounts: ci"),
        ],
    )
    def test_who_came_from_elsewhere_is_not_given_what_is_declared_for_a_name(
        self, realm: Tree, name: str, key: str
    ) -> None:
        wanted = realm_import(realm_spec(settings({"realm": realm})), lambda _: "x")
        fake = FakeRealm(declared(OIDC))
        links = [{"identityProvider": "acme"}]
        fake.lists["users"]["9"] = {"id": "9", "username": name, "federatedIdentities": links}
        with pytest.raises(StackError) as caught:
            self.changes(wanted, declared(), fake)
        assert [one.where for one in caught.value.problems] == [key]
        assert fake.calls == []


@pytest.mark.parametrize(
    ("providers", "keys"),
    [
        ([OIDC, ENTRA, GOOGLE, GITLAB], []),
        ([{**GITLAB, "defaultGroups": ["mlflow-users"]}], ["[0].defaultGroups"]),
        ([{**GITLAB, "issuer": "https://gitlab.com/", "defaultGroups": ["mlflow-users"]}], ["[0].defaultGroups"]),
        ([{**OIDC, "issuer": "https://gitlab.com.", "defaultGroups": ["mlflow-users"]}], ["[0].defaultGroups"]),
        *(([{**OIDC, "issuer": f"https://gitlab.com{end}", "defaultGroups": ["mlflow-users"]}], ["[0].issuer"])
          for end in (" ", "\t", "\x1f", "\n", "?", "#", "/ ")),
        *(([{**OIDC, "tokenUrl": f"https://{who}@id.example/t"}], ["[0].tokenUrl"]) for who in ("", ":p", "a:p", "a")),
        ([{**GITLAB, "issuer": "https://git.acme.example", "defaultGroups": ["mlflow-users"]}], []),
        ([{**GITLAB, "tokenUrl": "https://x.example", "tenant": "x"}], ["[0].tenant", "[0].tokenUrl"]),
        ([OIDC, {**OIDC, "alias": "acme"}], ["[0].alias and [1].alias"]),
        ([{"alias": "a", "clientId": "c", "clientSecret": "s"}],
         ["[0].authorizationUrl", "[0].issuer", "[0].jwksUrl", "[0].tokenUrl"]),
        ([{**OIDC, "groups": {"x": "nosuch"}}], ["[0].groups"]),
        ([{**OIDC, "defaultGroups": ["nosuch"]}], ["[0].defaultGroups"]),
        ([{**OIDC, "tenant": "x"}], ["[0].tenant"]),
        ([{**OIDC, "alias": "Not An Alias"}], ["[0].alias"]),
        ([{**OIDC, "tokenUrl": "id.acme.example/token"}], ["[0].tokenUrl"]),
        ([{key: value for key, value in ENTRA.items() if key != "tenant"}], ["[0].tenant"]),
        ([{**ENTRA, "tenant": "Common"}], ["[0].tenant"]),
        ([{**ENTRA, "tenant": "acme.onmicrosoft.com"}], ["[0].tenant"]),
        ([{**ENTRA, "tenant": "9188040D-6c67-4c5b-b112-36a304b66dad"}], ["[0].tenant"]),
        ([{**OIDC, "issuer": "https://accounts.google.com", "defaultGroups": ["mlflow-users"]}], ["[0].defaultGroups"]),
        ([{**OIDC, "issuer": "https://a.example,https://b.example"}], ["[0].issuer"]),
        ([{**OIDC, "clientSecret": ""}], ["[0].clientSecret"]),
        ([{**OIDC, "groups": {"": "mlflow-users"}}], ["[0].groups"]),
        ([{**ENTRA, "issuer": "https://x.example"}], ["[0].issuer"]),
        ([{**GOOGLE, "defaultGroups": ["mlflow-users"]}], ["[0].defaultGroups"]),
        ([{key: value for key, value in GOOGLE.items() if key != "clientSecret"}], ["[0].clientSecret"]),
        ([{**OIDC, "kind": "github"}], ["[0].kind"]),
        ([{**OIDC, "scopes": "email"}], ["[0].scopes"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(providers: list[Tree], keys: list[str]) -> None:
    assert refused(*providers) == keys


def test_tokens_go_over_https_outside_dev() -> None:
    plain = {**OIDC, "tokenUrl": "http://id.acme.example/token"}
    assert refused(plain) == []
    for url in ("http://id.acme.example/token", "HTTP://id.acme.example/token"):
        found = refused({**OIDC, "tokenUrl": url}, environment="staging", realm={"sampleUsers": False})
        assert found == ["[0].tokenUrl"]


def test_no_secret_is_shown() -> None:
    given = settings({"realm": {"identityProviders": [OIDC]}})
    assert "operators-own" not in repr(given)
    assert "operators-own" not in repr(provider(given.realm.identity_providers[0]))
