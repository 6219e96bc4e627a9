"""Takes away what differs between people as they are declared and as they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mlflow_sso_client.errors import RefusedError

from components.realm.spec import RealmSpec
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.clients.mlflow_api import MlflowApi
from stackctl.people.drift import Actual, Difference, Row


@dataclass(frozen=True)
class Mend:
    """One change of one person. words: what is done, or without an action: what a person has to do."""

    name: str
    words: str
    action: Callable[[], None] | None = None

    def take(self) -> None:
        if self.action:
            self.action()


def mends(
    rows: Sequence[Row],
    actual: Mapping[str, Actual],
    keycloak: KeycloakAdmin,
    mlflow: MlflowApi,
    *,
    undeclared: bool,
) -> list[Mend]:
    """What takes the differences of `rows` away. undeclared: whether people nobody declared leave the groups."""
    ids = {row["name"]: row["id"] for row in keycloak.pages("/groups")}
    found = []
    for row in rows:
        for one in row.drift:
            if one.undeclared and not undeclared:
                found.append(Mend(row.name, f"{one.words}: {one.instead}"))
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
        yield Mend(row.name, words, partial(mlflow.set_active, row.account, active=False))
    elif there and (one.joins or one.leaves):
        for group in one.joins:
            if group in ids:
                yield Mend(row.name, f"joins {group}", partial(keycloak.join, there.id, ids[group]))
            else:
                yield Mend(row.name, f"{one.words}: `stackctl up` makes the group")
        held = keycloak.memberships(there.id)
        for path in sorted(held):
            if path.partition("/")[0] in one.leaves:
                yield Mend(row.name, f"leaves {path}", partial(keycloak.leave, there.id, held[path]))
    else:
        yield Mend(row.name, f"{one.words}: {one.instead}")


def refuse_none_left(spec: RealmSpec, rows: Sequence[Row], actual: Mapping[str, Actual], taken: Sequence[Mend]) -> None:
    """Raise RefusedError where the last person who administrates MLflow would be one no more."""
    before = {name for name, there in actual.items() if there.enabled and _administrates(spec, there.within)}
    changed = {mend.name for mend in taken}
    after = {name for name in actual if actual[name].enabled and name not in changed} & before
    for row in rows:
        if row.name in changed and actual.get(row.name) and actual[row.name].enabled:
            within = actual[row.name].within
            for one in row.drift:
                within = (within | {*one.joins}) - {*one.leaves}
            after |= {row.name} if _administrates(spec, within) else set()
    if before and not after:
        raise RefusedError(
            f"nobody would be left in {', '.join(spec.admin_groups)}, who administrates MLflow",
            "put somebody there first; nothing was changed",
        )


def _administrates(spec: RealmSpec, groups: Collection[str]) -> bool:
    return any(group in groups for group in spec.admin_groups)
