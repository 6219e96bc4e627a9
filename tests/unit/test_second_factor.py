"""Second factors: what the settings say becomes login flows, and what cannot be is refused."""

from __future__ import annotations

from typing import Any, cast

import pytest
from mlflow_sso_client.errors import AccessError

from components.importing import importing_workloads
from components.realm.document import realm_import
from components.realm.spec import realm_spec
from components.realm_words import BUILT_IN, is_ours
from components.rules import RULES
from components.stack import stack_spec
from problems import StackError
from settings import PROJECT, parse
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.realm.actual import Actual
from stackctl.realm.steps import steps
from tests.samples import settings
from tests.unit.fake_flows import BROWSER
from tests.unit.fake_realm import FakeRealm, apply

Tree = dict[str, Any]
TWO = {"groups": {"admins": ["ml admins", "owners"], "users": ["researchers"]}}
ADMINISTRATORS: Tree = {"passkeys": True, "required": "administrators"}
EVERYBODY: Tree = {"required": "everybody"}
KEYS_ALONE: Tree = {"oneTimeCodes": False, "passkeys": True, "required": "everybody"}
GOOGLE: Tree = {"alias": "google", "kind": "google", "clientId": "c", "clientSecret": "operators-own"}


def declared(factor: Tree | None = None, **realm: Any) -> Tree:
    more = {} if factor is None else {"secondFactor": factor}
    return realm_import(realm_spec(settings({"realm": {**realm, **more}})), lambda secret: f"value of {secret.name}")


def flow(tree: Tree, binding: str, alias: str = "") -> list[Any]:
    """The steps of a flow, those inside of another one in a list of their own."""
    flows = {one["alias"]: one for one in tree["authenticationFlows"]}
    configs = {one["alias"]: one["config"] for one in tree["authenticatorConfig"]}
    found: list[Any] = []
    for step in flows[alias or tree[binding]]["authenticationExecutions"]:
        if step["authenticatorFlow"]:
            found.append((step["requirement"], flow(tree, binding, step["flowAlias"])))
        else:
            config = configs.get(step.get("authenticatorConfig", ""), {})
            found.append((step["requirement"], step["authenticator"], *map(str, config.values())))
    return found


def refused(config: Tree) -> dict[str, str]:
    try:
        parse({f"{PROJECT}:{key}": value for key, value in config.items()}, "test", rules=RULES)
    except StackError as error:
        return {one.where.replace(f"{PROJECT}:", ""): one.expected for one in error.problems}
    return {}


def test_nothing_is_written_where_nothing_is_declared() -> None:
    assert not {"requiredActions", "authenticationFlows", *BUILT_IN} & declared().keys()


def test_where_nobody_needs_one_keycloaks_own_flows_stay() -> None:
    tree = declared({"oneTimeCodes": False, "passkeys": True})
    assert tree["requiredActions"] == [
        {"alias": "CONFIGURE_TOTP", "enabled": False},
        {"alias": "webauthn-register-passwordless", "enabled": True},
    ]
    assert tree["webAuthnPolicyPasswordlessPasskeysEnabled"] is True
    assert tree["authenticationFlows"] == []
    assert not BUILT_IN.keys() & tree.keys()


def test_everybody_is_asked_for_the_one_that_they_have_or_sets_one_up() -> None:
    tree = declared({**EVERYBODY, "passkeys": True})
    password, has_one, sets_up = flow(tree, "browserFlow")[2][1]
    assert flow(tree, "browserFlow")[:2] == [
        ("ALTERNATIVE", "auth-cookie"),
        ("ALTERNATIVE", "identity-provider-redirector"),
    ]
    assert password == ("REQUIRED", "auth-username-password-form")
    assert has_one == (
        "CONDITIONAL",
        [
            ("REQUIRED", "conditional-credential", "webauthn-passwordless", "false"),
            ("REQUIRED", "conditional-user-configured"),
            ("ALTERNATIVE", "auth-otp-form"),
            ("ALTERNATIVE", "webauthn-authenticator-passwordless"),
        ],
    )
    assert sets_up == (
        "CONDITIONAL",
        [
            ("REQUIRED", "conditional-credential", "otp##webauthn-passwordless", "false"),
            ("REQUIRED", "auth-otp-form"),
        ],
    )


def test_a_passkey_is_set_up_where_there_are_no_codes() -> None:
    tree = declared({"oneTimeCodes": False, "passkeys": True, "required": "everybody"})
    _, has_one, sets_up = flow(tree, "browserFlow")[2][1]
    assert sets_up[1][-1] == ("REQUIRED", "webauthn-authenticator-passwordless")
    # Else a password would be enough to set up a passkey beside it.
    assert ("ALTERNATIVE", "auth-otp-form") in has_one[1]
    assert sets_up[1][0][2] == "otp##webauthn-passwordless"


def test_administrators_are_those_of_each_of_their_groups() -> None:
    tree = declared(ADMINISTRATORS, **TWO)
    asked = [part[1][0] for part in flow(tree, "browserFlow")[2][1][2:]]
    assert asked == [
        ("REQUIRED", "conditional-user-role", f"mlflow-groups.{group}", "false") for group in ("ml admins", "owners")
    ]


def test_no_two_steps_of_the_password_grant_ask_one_person_for_a_code() -> None:
    """A code is good once."""
    parts = [part for _, part in flow(declared(ADMINISTRATORS, **TWO), "directGrantFlow")[2:]]
    people = [set(), {"ml admins"}, {"owners"}, {"ml admins", "owners"}]

    def asks(part: list[Any], groups: set[str]) -> bool:
        conditions = [one for one in part if one[1] == "conditional-user-role"]
        return all((name.removeprefix("mlflow-groups.") in groups) != (no == "true") for *_, name, no in conditions)

    assert [sum(asks(part, groups) for part in parts) for groups in people] == [1, 1, 1, 1]
    *_, (requirement, last) = flow(declared(EVERYBODY), "directGrantFlow")
    assert requirement == "REQUIRED"
    assert [one[:2] for one in last] == [
        ("ALTERNATIVE", "direct-grant-validate-otp"),
        ("ALTERNATIVE", "deny-access-authenticator"),
    ]


def test_a_link_by_mail_leads_to_no_other_factor() -> None:
    found = flow(declared(EVERYBODY), "resetCredentialsFlow")
    asked, password = found[2], found[3]
    assert [one[1:] for one in found[:2]] == [("reset-credentials-choose-user",), ("reset-credential-email", "true")]
    assert asked[0] == "CONDITIONAL"
    assert {"auth-otp-form", "webauthn-authenticator-passwordless"} <= {one[1] for one in asked[1]}
    assert password[1] == "reset-password"


def test_a_flow_has_another_name_where_it_does_something_else() -> None:
    one, other = declared(EVERYBODY), declared(ADMINISTRATORS)
    assert one["browserFlow"] != other["browserFlow"]
    assert one["resetCredentialsFlow"] == other["resetCredentialsFlow"]
    assert all(is_ours(tree[binding]) for tree in (one, other) for binding in BUILT_IN)
    assert not any(map(is_ours, [*BROWSER.values(), "mlflow-browser", "copy of mlflow-browser-01234567"]))
    aliases = [flow["alias"] for flow in other["authenticationFlows"]]
    assert len(aliases) == len(set(aliases)), "Keycloak has each name once"
    names = [config["alias"] for config in other["authenticatorConfig"]]
    assert len(names) == len(set(names))


def test_an_import_has_none_of_it() -> None:
    """An import with flows has no others, not even Keycloak's own."""
    spec = stack_spec(settings({"realm": {"secondFactor": ADMINISTRATORS}}))
    server = next(one for one in importing_workloads(spec) if one.name == "keycloak")
    (text,) = [file.content for file in server.files if file.path.endswith("realm.json")]
    assert "mlflow-browser" not in text
    assert "requiredActions" not in text


def test_flows_are_made_before_they_are_used_and_nothing_is_left_to_do() -> None:
    none, wanted = declared(), declared(ADMINISTRATORS)
    realm = FakeRealm(none)
    said = apply(realm, wanted, none)
    assert [one for one in said if "is made" in one] == [f"login flow {wanted[key]}: is made" for key in BUILT_IN]
    assert said[-1].startswith("login flows: browserFlow: browser -> mlflow-browser-")
    assert {key: realm.settings[key] for key in BUILT_IN} == {key: wanted[key] for key in BUILT_IN}
    assert apply(realm, wanted, wanted) == []


def test_another_declaration_takes_the_place_of_one_in_use() -> None:
    none, one, other = declared(), declared(ADMINISTRATORS), declared(EVERYBODY)
    realm = FakeRealm(none)
    apply(realm, one, none)
    said = apply(realm, other, one)
    assert f"login flow {one['browserFlow']}: is removed" in said
    ours = {flow["alias"] for flow in realm.flows.all.values() if is_ours(flow["alias"])}
    assert ours == {other[key] for key in BUILT_IN}


@pytest.mark.parametrize("later", [None, {"required": "nobody"}])
def test_one_that_is_declared_no_more_gives_way_to_keycloaks_own(later: Tree | None) -> None:
    none, one, wanted = declared(), declared(ADMINISTRATORS), declared(later)
    realm = FakeRealm(none)
    apply(realm, one, none)
    apply(realm, wanted, one)
    assert {key: realm.settings[key] for key in BUILT_IN} == dict(BUILT_IN)
    assert not [flow for flow in realm.flows.all.values() if flow["alias"].startswith("mlflow-")]


@pytest.mark.parametrize("what", ["requirement", "config", "less"])
def test_a_flow_that_somebody_changed_is_made_anew_and_never_out_of_use(what: str) -> None:
    none, wanted = declared(), declared(ADMINISTRATORS)
    realm = FakeRealm(none)
    apply(realm, wanted, none)
    alias = wanted["browserFlow"]
    inside = realm.flows.named(f"{alias}-sets-up-1")
    if what == "requirement":
        inside[-1]["requirement"] = "DISABLED"
    elif what == "config":
        realm.flows.configs[inside[0]["authenticationConfig"]]["config"]["condUserRole"] = "nobody"
    else:
        inside.pop()
    assert apply(realm, wanted, wanted) == [f"login flow {alias}: is made anew"]
    assert apply(realm, wanted, wanted) == []
    assert realm.settings["browserFlow"] == alias
    assert not [flow for flow in realm.flows.all.values() if flow["alias"].endswith("-old")]


def test_roles_are_there_before_somebody_is_asked_whether_they_have_one() -> None:
    """Keycloak takes everybody for somebody without a role that it does not know."""
    none, wanted = declared(), declared(ADMINISTRATORS, groups={"admins": ["mlflow-admins", "new"], "users": ["u"]})
    places = [step.where for step in steps(wanted, none, Actual(cast("KeycloakAdmin", FakeRealm(none))))]
    assert places.index("role new") < places.index("login flows")


def test_what_an_interrupted_up_left_is_in_nobodys_way() -> None:
    none, wanted = declared(), declared(ADMINISTRATORS)
    realm = FakeRealm(none)
    apply(realm, wanted, none)
    alias = wanted["browserFlow"]
    # Some of the names were taken from a changed flow, and then no more was done.
    realm.flows.named(f"{alias}-sets-up-1").pop()
    inner = next(flow for flow in realm.flows.all.values() if flow["alias"] == f"{alias}-forms")
    realm.request("PUT", f"/authentication/flows/{inner['id']}", json={**inner, "alias": f"{alias}-forms-old"})
    assert apply(realm, wanted, wanted) == [f"login flow {alias}: is made anew"]
    # One is half made beside the one in use, which has lost its name.
    top = next(flow for flow in realm.flows.all.values() if flow["alias"] == alias)
    for flow in [one for one in realm.flows.all.values() if one["alias"].startswith(alias)]:
        realm.request("PUT", f"/authentication/flows/{flow['id']}", json={**flow, "alias": flow["alias"] + "-old"})
    for config in realm.flows.configs.values():
        config["alias"] += "-old"
    realm.settings["browserFlow"] = f"{alias}-old"
    realm.request("POST", "/authentication/flows", json={"alias": alias})
    assert apply(realm, wanted, wanted)[0] == f"login flow {alias}: is made anew"
    assert realm.settings["browserFlow"] == alias
    assert top["id"] not in realm.flows.all
    assert apply(realm, wanted, wanted) == []


def test_a_flow_that_a_client_uses_stays_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    none, one, other = declared(), declared(ADMINISTRATORS), declared(EVERYBODY)
    realm = FakeRealm(none)
    apply(realm, one, none)
    realm.flows.used = {one["browserFlow"]}
    said = apply(realm, other, one)
    assert said[-1].endswith("is removed"), "after all else"
    assert realm.settings["browserFlow"] == other["browserFlow"]
    assert f"The login flow {one['browserFlow']} stays" in capsys.readouterr().out


def test_a_flow_is_made_whole_or_not_at_all() -> None:
    none, wanted = declared(), declared(ADMINISTRATORS)
    realm = FakeRealm(none)
    realm.flows.broken = "conditional-user-role"
    with pytest.raises(AccessError):
        apply(realm, wanted, none)
    assert not [flow for flow in realm.flows.all.values() if flow["alias"].startswith("mlflow-browser")]
    assert realm.settings["browserFlow"] == "browser"
    realm.flows.broken = ""
    apply(realm, wanted, none)
    assert realm.settings["browserFlow"] == wanted["browserFlow"]


def test_what_else_is_said_of_an_action_stays() -> None:
    none, wanted = declared(), declared({"oneTimeCodes": False})
    realm = FakeRealm(none)
    realm.flows.actions["CONFIGURE_TOTP"] |= {"priority": 7, "name": "Ours"}
    apply(realm, wanted, none)
    action = realm.flows.actions["CONFIGURE_TOTP"]
    assert (action["enabled"], action["priority"], action["name"]) == (False, 7, "Ours")


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({"realm": {"secondFactor": {"passkeys": True}}}, set()),
        (
            {"keycloak": {"url": "http://127.0.0.1:8080"}, "realm": {"secondFactor": {"passkeys": True}}},
            {"keycloak.url and realm.secondFactor.passkeys"},
        ),
        ({"keycloak": {"url": "http://127.0.0.1:8080"}, "realm": {"secondFactor": EVERYBODY}}, set()),
        (
            {"realm": {"secondFactor": {"oneTimeCodes": False, "required": "administrators"}}},
            {"realm.secondFactor.required"},
        ),
        ({"realm": {"secondFactor": {"required": "some"}}}, {"realm.secondFactor.required"}),
        (
            {"keycloak": {"url": "https://127.1"}, "realm": {"secondFactor": {"passkeys": True}}},
            {"keycloak.tls", "keycloak.url and realm.secondFactor.passkeys"},
        ),
        ({"realm": {"secondFactor": EVERYBODY, "identityProviders": [GOOGLE]}}, {"realm.secondFactor.required"}),
        ({"realm": {"secondFactor": {"passkeys": True}, "identityProviders": [GOOGLE]}}, set()),
        (
            {"realm": {"secondFactor": KEYS_ALONE, "directAccessGrants": True}},
            {"realm.directAccessGrants"},
        ),
        ({"realm": {"secondFactor": KEYS_ALONE}}, set()),
        ({"realm": {"secondFactor": EVERYBODY, "directAccessGrants": True}}, set()),
        (
            {"realm": {"secondFactor": ADMINISTRATORS, "serviceAccounts": [{"clientId": "mlflow-groups.ml"}]}},
            {"realm.serviceAccounts[0].clientId"},
        ),
        (
            {"realm": {"secondFactor": ADMINISTRATORS, "groups": {"admins": [".".join("a" * 26)], "users": ["u"]}}},
            {"realm.groups.admins"},
        ),
    ],
)
def test_what_nobody_could_log_in_with_is_refused_by_key(config: Tree, keys: set[str]) -> None:
    assert refused(config).keys() == keys
