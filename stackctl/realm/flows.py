"""Login flows of a realm, and what its people can set up beside a password."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from mlflow_sso_client.errors import AccessError, UnknownNameError

from components.realm_words import ACTIONS, BASIC, BUILT_IN, is_ours
from stackctl.realm.actual import Actual
from stackctl.realm.step import Step, Tree, by, put, said

_FLOWS, _CONFIGS = "authenticationFlows", "authenticatorConfig"
_PATH, _ACTIONS_PATH = "/authentication/flows", "/authentication/required-actions"
_OLD = "-old"


def steps(wanted: Tree, actual: Actual) -> Iterator[Step]:
    """Each flow is made whole before the realm uses it."""
    for one in wanted.get(ACTIONS, ()):
        action = actual.actions.get(one["alias"], {})
        changes = tuple(
            said(key, action.get(key), one[key])
            for key in sorted(one.keys() - {"alias"})
            if action.get(key) != one[key]
        )
        if changes:
            path = f"{_ACTIONS_PATH}/{one['alias']}"
            yield Step(f"required action {one['alias']}", changes, partial(put, actual, path, {**action, **one}))
    other = changed(wanted, actual)
    for flow in _at_top(wanted):
        where, alias = f"login flow {flow['alias']}", flow["alias"]
        if alias not in actual.flows:
            yield Step(where, ("is made",), partial(_make, actual, alias, wanted))
        elif alias in other:
            # One in use cannot be removed, and its people log in meanwhile.
            yield Step(where, ("is made anew",), partial(_make_anew, actual, alias, wanted))
    uses = {key: wanted[key] for key in BUILT_IN if key in wanted and actual.realm.get(key) != wanted[key]}
    if uses:
        words = tuple(said(key, actual.realm.get(key), alias) for key, alias in uses.items())
        yield Step("login flows", words, partial(_use, actual, uses))


def changed(wanted: Tree, actual: Actual) -> list[str]:
    """The declared flows that do something else than they were made for, by alias."""
    there = [flow["alias"] for flow in _at_top(wanted) if flow["alias"] in actual.flows]
    return [alias for alias in there if _as_declared(alias, wanted) != _as_it_is(alias, actual)]


def removals(wanted: Tree, actual: Actual) -> Iterator[Step]:
    """Flows that were made here, and are not declared, or no longer as they were."""
    kept = {flow["alias"] for flow in _at_top(wanted)}
    for alias, flow in actual.flows.items():
        if is_ours(alias) and alias not in kept:
            yield Step(f"login flow {alias}", ("is removed",), partial(_remove, actual, alias, flow["id"]))


def _at_top(tree: Tree) -> list[Tree]:
    return [flow for flow in tree.get(_FLOWS, ()) if flow["topLevel"]]


def _as_declared(alias: str, tree: Tree, level: int = 0) -> list[Any]:
    """What a flow does, step by step: how deep a step is, what it is, whether it has to be, and its configuration."""
    found: list[Any] = []
    configs = by("alias", tree[_CONFIGS])
    for step in by("alias", tree[_FLOWS])[alias]["authenticationExecutions"]:
        does = step["flowAlias"] if step["authenticatorFlow"] else step["authenticator"]
        config = configs[step["authenticatorConfig"]]["config"] if "authenticatorConfig" in step else {}
        found.append((level, does, step["requirement"], config))
        if step["authenticatorFlow"]:
            found += _as_declared(does, tree, level + 1)
    return found


def _as_it_is(alias: str, actual: Actual) -> list[Any]:
    """The same of a flow that Keycloak has."""
    return [
        (row["level"], _does(row), row["requirement"], actual.flow_config(row.get("authenticationConfig", "")))
        for row in actual.executions(alias)
    ]


def _does(row: Mapping[str, Any]) -> str:
    return str(row["displayName"] if row.get("authenticationFlow") else row["providerId"])


def _make(actual: Actual, alias: str, tree: Tree) -> None:
    actual.send("POST", _PATH, {"alias": alias, "providerId": BASIC, "topLevel": True, "builtIn": False})
    actual.forget()
    try:
        _fill(actual, alias, tree)
    except AccessError:
        actual.send("DELETE", f"{_PATH}/{actual.flows[alias]['id']}", what=alias)
        actual.forget()
        raise


def _fill(actual: Actual, alias: str, tree: Tree) -> None:
    declared = by("alias", tree[_FLOWS])[alias]["authenticationExecutions"]
    path = f"{_PATH}/{quote(alias, safe='')}/executions"
    for step in declared:
        if step["authenticatorFlow"]:
            actual.send("POST", f"{path}/flow", {"alias": step["flowAlias"], "type": BASIC, "provider": ""})
            _fill(actual, step["flowAlias"], tree)
        else:
            actual.send("POST", f"{path}/execution", {"provider": step["authenticator"]})
    # In the order in which they were made; those inside of another one are further in.
    rows = [row for row in actual.executions(alias) if row["level"] == 0]
    configs = by("alias", tree[_CONFIGS])
    for row, step in zip(rows, declared, strict=True):
        actual.send("PUT", path, {**row, "requirement": step["requirement"]})
        if "authenticatorConfig" in step:
            config = configs[step["authenticatorConfig"]]
            actual.send("POST", f"/authentication/executions/{row['id']}/config", config)


def _make_anew(actual: Actual, alias: str, tree: Tree) -> None:
    """Takes the names from a flow that somebody changed, makes it as it is declared, and lets the realm use that."""
    uses = [binding for binding in BUILT_IN if actual.realm.get(binding) == alias]
    if not uses:
        # It was left half made.
        _delete(actual, alias, actual.flows[alias]["id"])
        _make(actual, alias, tree)
        return
    if alias + _OLD in actual.flows:
        _delete(actual, alias + _OLD, actual.flows[alias + _OLD]["id"])
    _free_configs(actual, alias)
    inside = [row["flowId"] for row in actual.executions(alias) if row.get("authenticationFlow")]
    # The one at the top last: by its name what is left undone is found.
    for flow in (*inside, actual.flows[alias]["id"]):
        now = actual.flow(flow)
        if not now["alias"].endswith(_OLD):
            actual.send("PUT", f"{_PATH}/{flow}", {**now, "alias": now["alias"] + _OLD})
    actual.forget()
    _make(actual, alias, tree)
    _use(actual, dict.fromkeys(uses, alias))
    _delete(actual, alias + _OLD, actual.flows[alias + _OLD]["id"])


def _free_configs(actual: Actual, alias: str) -> None:
    """Takes the names from the configurations of a flow: Keycloak has each of them once."""
    for row in actual.executions(alias):
        found = row.get("authenticationConfig", "")
        if found:
            config = {"id": found, "alias": row["id"], "config": actual.flow_config(found)}
            actual.send("PUT", f"/authentication/config/{found}", config)


def _remove(actual: Actual, alias: str, flow: str) -> None:
    """A flow that is in use gives way to Keycloak's own."""
    _use(actual, {binding: own for binding, own in BUILT_IN.items() if actual.realm.get(binding) == alias})
    _delete(actual, alias, flow)


def _delete(actual: Actual, alias: str, flow: str) -> None:
    try:
        actual.send("DELETE", f"{_PATH}/{flow}", what=alias)
    except UnknownNameError:
        # A step before this one has removed it.
        pass
    except AccessError as error:
        # A client or an identity provider may use it, by somebody's choice. It is in nobody's way.
        actual.tell(f"The login flow {alias} stays ({error.cause}): choose another one in Keycloak where it is used.")
    actual.forget()


def _use(actual: Actual, flows: Mapping[str, str]) -> None:
    if flows:
        put(actual, "", dict(flows))
