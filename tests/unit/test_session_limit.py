"""A limit on the sessions of one person: a step of the login flows, alone or beside second factors."""

from __future__ import annotations

from typing import Any

import pytest

from components.importing import comes_later, importing_workloads
from components.realm.spec import realm_spec
from components.realm_words import BUILT_IN
from components.stack import stack_spec
from tests.samples import settings
from tests.unit.fake_realm import FakeRealm, apply
from tests.unit.test_second_factor import ADMINISTRATORS, EVERYBODY, GOOGLE, TWO, Tree, declared, flow, refused

LIMIT: Tree = {"perPerson": 3}
COUNTED = ("REQUIRED", "user-session-limits", "3", "Terminate oldest session")


def limited(factor: Tree | None = None, **more: Any) -> Tree:
    return declared(factor, sessionLimit=LIMIT, **more)


@pytest.mark.parametrize("factor", [None, {"passkeys": True}, EVERYBODY, ADMINISTRATORS])
def test_sessions_are_counted_last_once_it_is_known_who_comes(factor: Tree | None) -> None:
    tree = limited(factor, **TWO)
    forms = flow(tree, "browserFlow")[2][1]
    assert (forms[0][1], forms[-1]) == ("auth-username-password-form", COUNTED)
    grant = flow(tree, "directGrantFlow")
    assert ([one[1] for one in grant[:2]], grant[-1]) == (
        ["direct-grant-validate-username", "direct-grant-validate-password"],
        COUNTED,
    )
    assert not [one for one in flow(tree, "resetCredentialsFlow") if one[1] == COUNTED[1]], "nobody is in by it"
    assert ("REQUIRED", "reset-credential-email", "true") in flow(tree, "resetCredentialsFlow")


@pytest.mark.parametrize("factor", [EVERYBODY, ADMINISTRATORS])
def test_a_factor_is_asked_for_as_without_a_limit(factor: Tree) -> None:
    alone, both = declared(factor, **TWO), limited(factor, **TWO)
    assert flow(both, "browserFlow")[:2] == flow(alone, "browserFlow")[:2]
    assert flow(both, "browserFlow")[2][1][:-1] == flow(alone, "browserFlow")[2][1]
    assert flow(both, "directGrantFlow")[:-1] == flow(alone, "directGrantFlow")
    assert both["resetCredentialsFlow"] == alone["resetCredentialsFlow"]


def test_with_a_limit_alone_whoever_has_a_code_is_asked_for_it() -> None:
    tree = limited()
    assert flow(tree, "browserFlow")[2][1][1] == (
        "CONDITIONAL",
        [
            ("REQUIRED", "conditional-credential", "webauthn-passwordless", "false"),
            ("REQUIRED", "conditional-user-configured"),
            ("ALTERNATIVE", "auth-otp-form"),
            ("ALTERNATIVE", "webauthn-authenticator"),
        ],
    )
    assert flow(tree, "directGrantFlow")[2] == (
        "CONDITIONAL",
        [("REQUIRED", "conditional-user-configured"), ("REQUIRED", "direct-grant-validate-otp")],
    )
    assert "requiredActions" not in tree
    assert not [key for key in tree if key.startswith("webAuthn")], "what people can set up stays as it is"


def test_one_login_too_many_is_refused_where_that_is_declared() -> None:
    tree = declared(sessionLimit={"perPerson": 1, "beyond": "refuse"})
    assert flow(tree, "directGrantFlow")[-1] == ("REQUIRED", "user-session-limits", "1", "Deny new session")


@pytest.mark.parametrize("factor", [None, ADMINISTRATORS])
def test_a_limit_comes_and_goes_and_there_is_always_a_way_in(factor: Tree | None) -> None:
    none, before, wanted = declared(), declared(factor), limited(factor)
    realm = FakeRealm(none)
    apply(realm, before, none)
    apply(realm, wanted, before)
    assert {key: realm.settings[key] for key in BUILT_IN} == {key: wanted[key] for key in BUILT_IN}
    assert apply(realm, wanted, wanted) == []
    apply(realm, before, wanted)
    assert {key: realm.settings[key] for key in BUILT_IN} == {key: before.get(key, BUILT_IN[key]) for key in BUILT_IN}
    left = {one["alias"] for one in realm.flows.all.values() if one["topLevel"] and one["alias"].startswith("mlflow-")}
    assert left == {before[key] for key in BUILT_IN if key in before}


def test_no_import_has_it() -> None:
    spec = stack_spec(settings({"realm": {"sessionLimit": LIMIT}}))
    server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
    (text,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert "mlflow-browser" not in text
    assert comes_later(spec.realm)["realm.sessionLimit"]
    assert not comes_later(realm_spec(settings()))["realm.sessionLimit"]


@pytest.mark.parametrize(
    ("limit", "key"),
    [
        ({"perPerson": 0}, "realm.sessionLimit.perPerson"),
        ({}, "realm.sessionLimit.perPerson"),
        ({"perPerson": 2, "beyond": "ask"}, "realm.sessionLimit.beyond"),
    ],
)
def test_what_cannot_be_is_named(limit: Tree, key: str) -> None:
    assert list(refused({"realm": {"sessionLimit": limit}})) == [key]


def test_people_of_another_provider_would_not_be_counted() -> None:
    assert list(refused({"realm": {"sessionLimit": LIMIT, "identityProviders": [GOOGLE]}})) == ["realm.sessionLimit"]
