"""Makes what belongs to the gateway, and accounts, tokens and permissions; see makers.py."""

from __future__ import annotations

from tests.matrix.grants import GIVEN, KINDS, PATTERN, Kind
from tests.matrix.makers import MAKERS as FIRST
from tests.matrix.makers import Maker, Values
from tests.matrix.rows import filled
from tests.matrix.world import GRANTS, V2, V3, World

GATEWAY = f"{V3}/gateway"
USERS = f"{V2}/users"


def secret(world: World, caller: str) -> Values:
    name = world.new()["new"]
    body = {
        "secret_name": name,
        "secret_value": {"api_key": "x"},
        "provider": "openai",
        "auth_config": {"organization": world.hidden},
    }
    made = world.must("POST", f"{GATEWAY}/secrets/create", body)["secret"]
    world.share("gateways/secrets", name, caller)
    return {"secret_id": made["secret_id"], "secret_name": name}


def definition(world: World, caller: str) -> Values:
    name = world.new()["new"]
    body = {"name": name, "secret_id": world.values["secret_id"], "provider": "openai", "model_name": world.hidden}
    made = world.must("POST", f"{GATEWAY}/model-definitions/create", body)["model_definition"]
    world.share("gateways/model-definitions", name, caller)
    return {"model_definition_id": made["model_definition_id"], "definition_name": name}


def other_definition(world: World, caller: str) -> Values:
    return {"other_definition_id": definition(world, caller)["model_definition_id"]}


def endpoint(world: World, caller: str) -> Values:
    name, bound = world.new()["new"], world.new()["new"]
    first = {"model_definition_id": world.values["model_definition_id"], "linkage_type": "PRIMARY", "weight": 1.0}
    made = world.must("POST", f"{GATEWAY}/endpoints/create", {"name": name, "model_configs": [first]})["endpoint"]
    number = made["endpoint_id"]
    tag = {"endpoint_id": number, "key": world.tag, "value": world.hidden}
    world.must("POST", f"{GATEWAY}/endpoints/set-tag", tag)
    binding = {"endpoint_id": number, "resource_type": "scorer", "resource_id": bound}
    world.must("POST", f"{GATEWAY}/endpoints/bindings/create", binding)
    world.share("gateways/endpoints", name, caller)
    return {"endpoint_id": number, "endpoint_name": name, "bound": bound}


def guardrail(world: World, caller: str) -> Values:
    body = {"name": world.new()["new"], "scorer_id": world.values["scorer_id"], "scorer_version": 1}
    body |= {"stage": "BEFORE", "action": "VALIDATION"}
    made = world.must("POST", f"{GATEWAY}/guardrails/create", body)["guardrail"]
    return {"guardrail_id": made["guardrail_id"]}


def guard(world: World, caller: str) -> Values:
    """A guardrail at the endpoint."""
    made = guardrail(world, caller)
    body = {**made, "endpoint_id": world.values["endpoint_id"], "execution_order": 1}
    world.must("POST", f"{GATEWAY}/guardrails/add-to-endpoint", body)
    return made


def budget(world: World, caller: str) -> Values:
    body = {"budget_unit": "USD", "budget_amount": 5.0, "duration": {"unit": "DAYS", "value": 1}}
    body |= {"target_scope": "GLOBAL", "budget_action": "ALERT"}
    made = world.must("POST", f"{GATEWAY}/budgets/create", body)["budget_policy"]
    return {"budget_policy_id": made["budget_policy_id"]}


def user(world: World, caller: str) -> Values:
    name = world.new()["new"]
    world.must("POST", USERS, {"username": name, "display_name": name, "is_admin": False})
    return {"fresh_user": name}


def account(world: World, caller: str) -> Values:
    name = world.new()["new"]
    body = {"username": name, "display_name": name, "is_admin": False, "is_service_account": True}
    world.must("POST", USERS, body)
    return {"fresh_account": name}


def user_token(world: World, caller: str) -> Values:
    name = world.values["fresh_user"]
    body = {"name": world.new()["new"], "expiration": world.values["soon"]}
    world.must("POST", f"{USERS}/{name}/tokens", body)
    return {"user_token": str(world.must("GET", f"{USERS}/{name}/tokens")["tokens"][-1]["id"])}


def own_token(world: World, caller: str) -> Values:
    """A token of the caller's own."""
    asker = caller or "admin"
    body = {"name": world.new()["new"], "expiration": world.values["soon"]}
    world.must("POST", f"{USERS}/current/tokens", body, caller=asker)
    listed = world.must("GET", f"{USERS}/current/tokens", caller=asker)["tokens"]
    return {"own_token": str(next(each["id"] for each in listed if each["name"] == body["name"]))}


def session(world: World, caller: str) -> Values:
    """A session of somebody else's."""
    visitor = world.sign_in()
    listed = world.must("GET", f"{USERS}/{visitor}/sessions")
    return {"visitor": visitor, "session": str(max(each["pk"] for each in listed["sessions"]))}


def scim_token(world: World, caller: str) -> Values:
    return {"scim_token": str(world.must("POST", f"{V2}/scim/tokens", {"name": world.new()["new"]})["id"])}


def scim_user(world: World, caller: str) -> Values:
    body = {"userName": world.new()["new"], "active": True}
    made = world.must("POST", "/scim/v2/Users", body, caller="directory")
    return {"scim_user": made["id"]}


def scim_group(world: World, caller: str) -> Values:
    name = world.new()["new"]
    made = world.must("POST", "/scim/v2/Groups", {"displayName": name, "members": []}, caller="directory")
    return {"scim_group": made["id"], "scim_group_name": name}


def pattern(who: str, kind: Kind) -> Maker:
    """What makes a permission by pattern, for the guest or the group of the world."""

    def make(world: World, caller: str) -> Values:
        subject = world.values["group" if who == "groups" else "guest"]
        path = f"{GRANTS}/{who}/{subject}/{kind.patterns}"
        body = filled(PATTERN, world.new())
        world.must("POST", path, body)
        listed = world.must("GET", path)
        listed = listed if isinstance(listed, list) else listed["patterns"]
        number = next(each["id"] for each in listed if each["regex"] == body["regex"])
        return {f"{who}_{kind.fresh}_pattern": str(number)}

    return make


def grant(who: str, kind: Kind) -> Maker:
    """What gives the guest or the group a permission on the thing that was made just before."""

    def make(world: World, caller: str) -> Values:
        subject = world.values["group" if who == "groups" else "guest"]
        key = kind.keys[0]
        for name, value in kind.at.items():
            key = key.replace(f"{{{name}}}", f"{{{value}}}")
        world.must("POST", f"{GRANTS}/{who}/{subject}/{kind.part}/{filled(key, world.values)}", GIVEN)
        return {}

    return make


MAKERS: dict[str, Maker] = FIRST | {
    maker.__name__: maker
    for maker in (
        *(secret, definition, other_definition, endpoint, guardrail, guard, budget),
        *(user, account, user_token, own_token, session, scim_token, scim_user, scim_group),
    )
}
for _who in ("users", "groups"):
    for _kind in KINDS:
        MAKERS[f"{_who}_{_kind.fresh}_grant"] = grant(_who, _kind)
        if _kind.patterns:
            MAKERS[f"{_who}_{_kind.fresh}_pattern"] = pattern(_who, _kind)
