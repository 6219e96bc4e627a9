"""What leads from a realm as Keycloak has it to the realm as it is declared, one step for each thing in it.

What the stack does not declare, no step touches. A setting, a client and a group are compared with what Keycloak has;
people are not (see people.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from components.realm_words import BUILT_IN, TEXTS, inhabitants
from problems import Problem, StackError
from stackctl.realm import clients, directories, flows, people, providers, roles, texts
from stackctl.realm.actual import Actual
from stackctl.realm.fingerprint import inner
from stackctl.realm.step import Step, Tree, gone, make, noted, remove, said, same

# Of an import: what is no setting of the realm itself.
_PARTS = frozenset({
    "realm", "groups", "clients", "users", "roles", "clientScopeMappings", "identityProviders",
    "identityProviderMappers", "components", "authenticationFlows", "authenticatorConfig", "requiredActions",
    TEXTS, *BUILT_IN,
})  # fmt: skip
# What Keycloak takes together: it passes over a part of it, and has defaults for what is not said
# (`RepresentationToModel.getWebAuthnPolicyPasswordless`).
_PASSKEYS = "webAuthnPolicyPasswordless"


def steps(wanted: Tree, before: Tree, actual: Actual) -> list[Step]:
    """The steps, in the order in which they have to be taken.

    wanted, before: realm imports, of what is declared and of what was declared as the realm was last brought there.
    Raises StackError for what would lose something.
    """
    refuse_another_name(wanted, before)
    _refuse_losses(wanted, before, actual)
    _refuse_strangers(wanted, before, actual)
    return [
        *_settings(wanted, before, actual),
        *texts.steps(wanted, actual),
        *_groups(wanted, actual),
        *clients.steps(wanted, before, actual),
        *roles.steps(wanted, actual),
        *clients.mappers(wanted, before, actual),
        # They ask for roles, and let everybody pass where there is none of that name.
        *flows.steps(wanted, actual),
        *providers.steps(wanted, before, actual),
        *people.steps(wanted, before, actual),
        # Keycloak refuses a new person whose name somebody there has.
        *directories.steps(wanted, before, actual),
        *people.removals(wanted, before, actual),
        *directories.removals(wanted, before, actual),
        *providers.removals(wanted, before, actual),
        *clients.removals(wanted, before, actual),
        *_removals(wanted, before, actual),
        *roles.removals(wanted, before, actual),
        *flows.removals(wanted, actual),
    ]


def refuse_another_name(wanted: Tree, before: Tree) -> None:
    """Raises StackError where the realm is to be another one: its users and sessions would not come along."""
    if before and wanted["realm"] != before.get("realm"):
        expected = f"expected {before.get('realm')}, as the realm is named; or `make destroy` first"
        raise StackError(
            "A realm keeps its name; nothing was changed.", [Problem("realm.name", wanted["realm"], expected)]
        )


def _refuse_losses(wanted: Tree, before: Tree, actual: Actual) -> None:
    problems = []
    for group in gone("groups", "name", wanted, before):
        if group not in actual.groups:
            continue
        leaving = {user["username"] for user in before.get("users", ()) if f"/{group}" in user.get("groups", ())}
        members = [name for name in actual.members(group) if name not in leaving]
        inside = actual.groups[group].get("subGroupCount", 0)
        if members or inside:
            shown = inhabitants(members, inside)
            expected = "expected none: give them another group, or rename this one in Keycloak as well"
            problems.append(Problem(f"realm.groups: {group}, which is no longer declared", shown, expected))
    if problems:
        raise StackError("A group would be removed with its members; nothing was changed.", problems)


def _refuse_strangers(wanted: Tree, before: Tree, actual: Actual) -> None:
    """Names that are declared anew are not those of somebody who came from elsewhere, and chose them."""
    others = (people.strangers, providers.others, directories.others)
    problems = [problem for look in others for problem in look(wanted, before, actual)]
    if problems:
        raise StackError("What is there under these names is not the stack's; nothing was changed.", problems)


def _settings(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    document, changes = {}, []
    for key in sorted(wanted.keys() - _PARTS):
        now, new = actual.realm.get(key), wanted[key]
        if isinstance(new, Mapping):
            whole, words = inner(key, now or {}, new, before.get(key) or {}, wanted["realm"])
            if words:
                changes += words
                document[key] = whole
        elif not same(now, new):
            changes.append(said(key, now, new))
            document[key] = new
    if any(key.startswith(_PASSKEYS) for key in document):
        document = {key: value for key, value in actual.realm.items() if key.startswith(_PASSKEYS)} | document
    if document:
        yield Step("settings", tuple(changes), partial(actual.send, "PUT", "", document))


def _groups(wanted: Tree, actual: Actual) -> Iterator[Step]:
    for group in wanted["groups"]:
        if group["name"] not in actual.groups:
            made = partial(make, actual, "/groups", group)
            yield Step(f"group {group['name']}", ("is made",), made, partial(noted, "groups", "name", group["name"]))


def _removals(wanted: Tree, before: Tree, actual: Actual) -> Iterator[Step]:
    for name in gone("groups", "name", wanted, before):
        if name in actual.groups:
            path = f"/groups/{actual.groups[name]['id']}"
            yield Step(f"group {name}", ("is removed",), partial(remove, actual, path, name))
