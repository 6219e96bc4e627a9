"""What the realm declares against what Keycloak and MLflow's plugin have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.identity import SERVICE_ACCOUNT_PREFIX
from components.realm.spec import RealmSpec
from stackctl.clients.keycloak_admin import KeycloakAdmin, RealmUser
from stackctl.clients.mlflow_api import MlflowApi, PluginUser

# Options of `users mend`: people whom nobody declared leave the groups; accounts of people who are gone end.
UNDECLARED, GONE = "--undeclared", "--gone"


@dataclass(frozen=True)
class Actual:
    """An account as Keycloak has it.

    groups: their paths, without the first slash. Whoever is in a group below another one is in that one.
    """

    enabled: bool
    groups: tuple[str, ...]
    id: str = ""
    email: str = ""

    @property
    def within(self) -> set[str]:
        """The top-level groups that the account is in."""
        return {group.partition("/")[0] for group in self.groups}


@dataclass(frozen=True)
class Difference:
    """Something that is not as it is declared, and what takes it away.

    joins, leaves: groups that the account is to be in, and those that it is not. deactivates: MLflow's account.
    asked: the option of `users mend` without which it is left; empty for one that is mended as it is.
    instead: what a person does, where none of these does it; empty where it ends by itself at the next token.
    """

    words: str
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    deactivates: bool = False
    asked: str = ""
    instead: str = ""


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
    drift: tuple[Difference, ...] = field(default=())
    # The name of MLflow's account, where there is one.
    account: str = ""

    @property
    def words(self) -> list[str]:
        return [one.words for one in self.drift]

    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "declared": self.declared,
            "keycloak": self.keycloak,
            "groups": list(self.groups),
            "mlflow": self.mlflow,
            "drift": self.words,
        }


def user_rows(spec: RealmSpec, actual: Mapping[str, Actual], plugin: Mapping[str, PluginUser] | None) -> list[Row]:
    """People by their user names in Keycloak. plugin: by those too, where MLflow's account is one of theirs."""
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
        drift: list[Difference] = []
        if name in declared and there is None:
            instead = "make the account in Keycloak, or take it out of the settings"
            drift.append(Difference("declared, and not in Keycloak", instead=instead))
        elif there is not None:
            drift += _membership(spec, name, declared, there)
        if known is not None:
            drift += _plugin(known, there, spec, declared=name in declared)
        role = None if plugin is None else "" if known is None else "administrator" if known.is_admin else "user"
        groups = there.groups if there else ()
        account = known.username if known else ""
        rows.append(Row(name, name in declared, there is not None, groups, role, tuple(drift), account))
    return rows


def _membership(
    spec: RealmSpec, name: str, declared: Mapping[str, Sequence[str]], there: Actual
) -> Iterable[Difference]:
    ours = [group for group in spec.groups if group in there.within]
    if name not in declared:
        # The realm may hold people who have nothing to do with MLflow.
        if ours:
            yield Difference(f"in {', '.join(ours)}, and not declared", leaves=tuple(ours), asked=UNDECLARED)
        return
    if not there.enabled:
        yield Difference("disabled in Keycloak", instead=f"`stackctl users enable {name}`")
    missing = tuple(group for group in declared[name] if group not in there.within)
    if missing:
        yield Difference(f"not in {', '.join(missing)}", joins=missing)
    more = tuple(group for group in ours if group not in declared[name])
    if more:
        yield Difference(f"also in {', '.join(more)}", leaves=more)


def _plugin(known: PluginUser, there: Actual | None, spec: RealmSpec, *, declared: bool) -> Iterable[Difference]:
    if known.active is False:
        return
    if there is None:
        works = "refused if anybody ever logged in to it" if spec.people else "personal tokens still work"
        words = f"active in MLflow, and not in Keycloak: {works}"
        if declared:
            yield Difference(words, instead="it is theirs again when Keycloak has them")
        elif known.is_service_account or known.active is None:
            yield Difference(words, instead="an account of MLflow's own; delete it there if nobody needs it")
        else:
            yield Difference(words, deactivates=True, asked=GONE)
        return
    should = any(group in there.within for group in spec.admin_groups)
    if known.is_admin and not should:
        yield Difference("administrator of MLflow, and in no group of administrators")
    elif should and not known.is_admin:
        yield Difference("in a group of administrators, and MLflow will know at the next token")


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
    return {user.username: _actual(admin, user, user.enabled) for user in admin.users()}


def keycloak_service_accounts(admin: KeycloakAdmin) -> dict[str, Actual]:
    found = {}
    for client in admin.clients():
        if client.service_account:
            account = admin.service_account(client)
            enabled = client.enabled and account.enabled
            found[client.client_id] = _actual(admin, account, enabled)
    return found


def _actual(admin: KeycloakAdmin, user: RealmUser, enabled: bool) -> Actual:
    return Actual(enabled, tuple(sorted(admin.memberships(user.id))), user.id, user.email)


def keycloak_members(admin: KeycloakAdmin) -> dict[str, list[str]]:
    return {
        row["name"]: [member["username"] for member in admin.pages(f"/groups/{row['id']}/members")]
        for row in admin.pages("/groups")
    }


def plugin_users(mlflow: MlflowApi, admin: KeycloakAdmin, claim: str) -> dict[str, PluginUser] | None:
    """MLflow's accounts by the user names in Keycloak, where they are of somebody there, or else by their own.

    claim: what names them (`mlflow.usernameClaim`). None where Keycloak's list cannot say who is meant.
    """
    accounts = {user.username: user for user in mlflow.users()}
    if claim == "preferred_username":
        return accounts
    if claim not in ("email", "sub"):
        return None
    there = [*admin.users(), *(admin.service_account(one) for one in admin.clients() if one.service_account)]
    owners = {(one.id if claim == "sub" else one.email.lower()): one.username for one in there}
    return {owners.get(name, name): user for name, user in accounts.items()}
