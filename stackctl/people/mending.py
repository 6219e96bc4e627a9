"""Takes away what differs between people as they are declared and as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from mlflow_sso_client.errors import RefusedError, UnknownNameError

from components.realm.spec import RealmSpec
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.clients.mlflow_api import MlflowApi
from stackctl.people.drift import Actual, Difference, Row

# An id of Keycloak's, by which accounts are named where `mlflow.usernameClaim` is sub.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Mend:
    """One change of one person. words: what is done, or without an action: what a person has to do.

    joins, leaves: the top-level group that the change is about.
    """

    name: str
    words: str
    action: Callable[[], None] | None = None
    joins: str = ""
    leaves: str = ""

    def take(self) -> None:
        if self.action:
            self.action()


def mends(
    rows: Sequence[Row],
    actual: Mapping[str, Actual],
    keycloak: KeycloakAdmin,
    mlflow: MlflowApi,
    asked: Collection[str] = (),
) -> list[Mend]:
    """What takes the differences of `rows` away. asked: options that were given, of those that a difference needs."""
    ids = {row["name"]: row["id"] for row in keycloak.pages("/groups")}
    found = []
    for row in rows:
        for one in row.drift:
            if one.asked and one.asked not in asked:
                found.append(Mend(row.name, f"{one.words}: {one.asked} ends that"))
            else:
                found += _mends(row, one, actual.get(row.name), ids, keycloak, mlflow)
    return found


def _mends(
    row: Row,
    one: Difference,
    there: Actual | None,
    ids: Mapping[str, str],
    keycloak: KeycloakAdmin,
    mlflow: MlflowApi,
) -> Iterator[Mend]:
    if one.deactivates:
        words = "is deactivated in MLflow; sessions end, and personal tokens are deleted"
        yield Mend(row.name, words, partial(_deactivate, row.account, keycloak, mlflow))
    elif there and (one.joins or one.leaves):
        for group in one.joins:
            if group in ids:
                yield Mend(row.name, f"joins {group}", partial(keycloak.join, there.id, ids[group]), joins=group)
            else:
                yield Mend(row.name, f"{one.words}: `stackctl up` makes the group")
        held = keycloak.memberships(there.id) if one.leaves else {}
        for path in sorted(held):
            top = path.partition("/")[0]
            if top in one.leaves:
                yield Mend(row.name, f"leaves {path}", partial(keycloak.leave, there.id, held[path]), leaves=top)
    elif one.instead:
        yield Mend(row.name, f"{one.words}: {one.instead}")


def _deactivate(account: str, keycloak: KeycloakAdmin, mlflow: MlflowApi) -> None:
    """Ends an account once Keycloak has said again that it has nobody of this name, address or id.

    Raises RefusedError where it has: tokens that are deleted do not come back.
    """
    found = [*keycloak.get("/users", username=account, exact="true")]
    if "@" in account:
        found += keycloak.get("/users", email=account, exact="true")
    if _ID.fullmatch(account):
        with suppress(UnknownNameError):
            found.append(keycloak.user(account))
    if found:
        raise RefusedError(f"{account} is in Keycloak by now", "look again with `stackctl users`")
    mlflow.set_active(account, active=False)


def refuse_none_left(spec: RealmSpec, actual: Mapping[str, Actual], taken: Sequence[Mend]) -> None:
    """Raise RefusedError where the last person who administrates MLflow would be one no more."""
    within = {name: set(there.within) for name, there in actual.items() if there.enabled}
    before = [name for name in within if _administrates(spec, within[name])]
    for one in taken:
        if one.name in within:
            within[one.name] = (within[one.name] | {one.joins}) - {one.leaves}
    if before and not any(_administrates(spec, groups) for groups in within.values()):
        raise RefusedError(
            f"nobody would be left in {', '.join(spec.admin_groups)}, who administrates MLflow",
            "put somebody there first; nothing was changed",
        )


def _administrates(spec: RealmSpec, groups: Collection[str]) -> bool:
    return any(group in groups for group in spec.admin_groups)
