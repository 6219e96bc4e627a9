"""What the realm declares against what Keycloak and MLflow's plugin have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from components.identity import SERVICE_ACCOUNT_PREFIX
from components.realm.spec import RealmSpec
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.clients.mlflow_api import MlflowApi, PluginUser


@dataclass(frozen=True)
class Actual:
    """An account as Keycloak has it."""

    enabled: bool
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One name, and in `drift` every difference between its declaration and what there is.

    mlflow: what the plugin has it as ("user", "administrator"), empty when it does not know it, which is
        no difference: it learns of people as they come. None where the plugin was not asked.
    """

    name: str
    declared: bool
    keycloak: bool
    groups: tuple[str, ...]
    mlflow: str | None = None
    drift: tuple[str, ...] = field(default=())

    def data(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def user_rows(spec: RealmSpec, actual: Mapping[str, Actual], plugin: Mapping[str, PluginUser] | None) -> list[Row]:
    """People. `actual` and `plugin` go by username."""
    declared = {user.username: user.groups for user in spec.users}
    known = None if plugin is None else {n: u for n, u in plugin.items() if not n.startswith(SERVICE_ACCOUNT_PREFIX)}
    return _rows(spec, declared, actual, known)


def service_account_rows(
    spec: RealmSpec, actual: Mapping[str, Actual], plugin: Mapping[str, PluginUser] | None
) -> list[Row]:
    """Service accounts by their client's id."""
    declared = {client.client_id: client.groups for client in spec.and_people if client.service_account}
    known = None
    if plugin is not None:
        # Keycloak spells the account's name in lower case, whatever the client's id.
        spelt = {name.lower(): name for name in {*declared, *actual}}
        short = {
            n.removeprefix(SERVICE_ACCOUNT_PREFIX): u for n, u in plugin.items() if n.startswith(SERVICE_ACCOUNT_PREFIX)
        }
        known = {spelt.get(name, name): user for name, user in short.items()}
    return _rows(spec, declared, actual, known)


def _rows(
    spec: RealmSpec,
    declared: Mapping[str, Sequence[str]],
    actual: Mapping[str, Actual],
    plugin: Mapping[str, PluginUser] | None,
) -> list[Row]:
    rows = []
    for name in sorted({*declared, *actual, *(plugin or {})}):
        there, known = actual.get(name), (plugin or {}).get(name)
        drift: list[str] = []
        if name in declared and there is None:
            drift.append("declared, and not in Keycloak")
        elif there is not None:
            drift += _membership(spec, name, declared, there)
        if known is not None:
            drift += _plugin(known, there, spec)
        role = None if plugin is None else "" if known is None else "administrator" if known.is_admin else "user"
        groups = there.groups if there else ()
        rows.append(Row(name, name in declared, there is not None, groups, role, tuple(drift)))
    return rows


def _membership(spec: RealmSpec, name: str, declared: Mapping[str, Sequence[str]], there: Actual) -> Iterable[str]:
    ours = [group for group in there.groups if group in spec.groups]
    if name not in declared:
        # The realm may hold people who have nothing to do with MLflow.
        if ours:
            yield f"in {', '.join(ours)}, and not declared"
        return
    if not there.enabled:
        yield "disabled in Keycloak"
    missing = [group for group in declared[name] if group not in there.groups]
    if missing:
        yield f"not in {', '.join(missing)}"
    more = [group for group in ours if group not in declared[name]]
    if more:
        yield f"also in {', '.join(more)}"


def _plugin(known: PluginUser, there: Actual | None, spec: RealmSpec) -> Iterable[str]:
    if known.active is False:
        return
    if there is None:
        works = "refused if anybody ever logged in to it" if spec.people else "personal tokens still work"
        yield f"active in MLflow, and not in Keycloak: {works}"
        return
    should = any(group in spec.admin_groups for group in there.groups)
    if known.is_admin and not should:
        yield "administrator of MLflow, and in no group of administrators"
    elif should and not known.is_admin:
        yield "in a group of administrators, and MLflow will know at the next token"


def group_rows(spec: RealmSpec, members: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The declared groups and all others of the realm. `members`: usernames by group, as Keycloak has them."""
    return [
        {
            "name": name,
            "declared": name in spec.groups,
            "keycloak": name in members,
            "members": sorted(members.get(name, ())),
            "drift": ["declared, and not in Keycloak"] if name not in members else [],
        }
        for name in sorted({*spec.groups, *members})
    ]


def keycloak_users(admin: KeycloakAdmin) -> dict[str, Actual]:
    return {user.username: Actual(user.enabled, tuple(admin.user_groups(user.id))) for user in admin.users()}


def keycloak_service_accounts(admin: KeycloakAdmin) -> dict[str, Actual]:
    found = {}
    for client in admin.clients():
        if client.service_account:
            account = admin.service_account(client)
            enabled = client.enabled and account.enabled
            found[client.client_id] = Actual(enabled, tuple(admin.user_groups(account.id)))
    return found


def keycloak_members(admin: KeycloakAdmin) -> dict[str, list[str]]:
    return {
        row["name"]: [member["username"] for member in admin.pages(f"/groups/{row['id']}/members")]
        for row in admin.pages("/groups")
    }


def plugin_users(mlflow: MlflowApi) -> dict[str, PluginUser]:
    return {user.username: user for user in mlflow.users()}
