"""Brings the realm of a stack that runs from rendered files to what is declared, before and after the stack is up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mlflow_sso_client.errors import AccessError
from mlflow_sso_client.files import write_private

from components.realm.document import realm_import
from components.realm.spec import RealmSpec
from platforms.secrets import Secret
from stackctl.context import Context
from stackctl.engines.rendered import REALM_FILE
from stackctl.engines.targets import Target
from stackctl.people.connection import Where, resolve
from stackctl.progress import say
from stackctl.realm.actual import Actual
from stackctl.realm.apply import bring
from stackctl.realm.fingerprint import fingerprint
from stackctl.realm.memory import forgotten
from stackctl.realm.step import Step
from stackctl.realm.steps import refuse_another_name, steps
from stackctl.state import read_kept

# What was declared as the realm was last brought there, without secrets.
APPLIED_FILE = "realm.applied.json"
_WRITTEN = "expected the JSON that was written here; restore it, or `make destroy` first"


def foresee(context: Context, target: Target) -> None:
    """Raises StackError, before anything is changed, for a realm that could not be brought to what is declared.

    A Keycloak that does not answer is asked later.
    """
    before = _before(target.home(context.stack))
    if not before:
        return
    wanted = _declared(context.spec.realm)
    refuse_another_name(wanted, before)
    if wanted != before and target.owns(context.stack):
        try:
            differing(context, target)
        except AccessError:
            return


def remember(context: Context, target: Target) -> None:
    """Keeps what was declared before, which the files of the next `up` do not say any more."""
    directory = target.home(context.stack)
    before = _before(directory)
    if before:
        _keep(directory, before)


def differing(context: Context, target: Target) -> list[Step]:
    """The steps from the realm that is there to the declared one. Raises StackError, or AccessError of Keycloak."""
    return steps(*_trees(context, target))


def reconcile(context: Context, target: Target) -> None:
    """Takes the steps, and tells of each. Raises StackError, or AccessError of Keycloak: the next `up` goes on."""
    wanted, before, actual = _trees(context, target)
    keep = partial(_keep, target.home(context.stack))
    bring(wanted, before, _declared(context.spec.realm), actual, keep, lambda text: say(f"  {text}"))
    forgotten(actual)


def _trees(context: Context, target: Target) -> tuple[dict[str, Any], dict[str, Any], Actual]:
    """What is declared, with secrets; what was declared before; and the realm as it is."""
    access = resolve(Where(stack=context.stack, config_file=context.config_file))
    values = _secrets(context.spec.realm, access.outputs or {})
    wanted = realm_import(context.spec.realm, lambda secret: values.get(secret.name, ""))
    return wanted, _before(target.home(context.stack)), Actual(access.keycloak_admin(), say)


def _before(directory: Path) -> dict[str, Any]:
    """What was declared before; for a stack of an earlier version, or a new one, what its Keycloak imported."""
    for name in (APPLIED_FILE, REALM_FILE):
        try:
            return read_kept(directory / name, "realm", _WRITTEN)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return {}


def _keep(directory: Path, tree: Mapping[str, Any]) -> None:
    text = json.dumps(tree, indent=2, sort_keys=True) + "\n"
    path = directory / APPLIED_FILE
    if not path.exists() or path.read_text() != text:
        write_private(path, text)


def _declared(realm: RealmSpec) -> dict[str, Any]:
    return realm_import(
        realm, lambda secret: fingerprint(realm.name, secret.value or "") if secret in realm.for_others else ""
    )


def _secrets(realm: RealmSpec, outputs: Mapping[str, Any]) -> dict[str, str]:
    """The secrets of the realm's clients and users, by name, as far as the outputs have them."""
    found: dict[Secret | None, Any] = {realm.server.secret: outputs.get("client_secret")}
    if realm.people:
        found[realm.people.secret] = outputs.get("people", {}).get("client_secret")
    found |= {secret: secret.value for secret in realm.for_others}
    for client in realm.accounts:
        found[client.secret] = outputs.get("service_accounts", {}).get(client.client_id, {}).get("client_secret")
    for user in realm.users:
        found[user.password] = outputs.get("users", {}).get(user.username, {}).get("password")
    return {secret.name: value for secret, value in found.items() if secret is not None and value}
