"""Sessions of both kinds side by side: Keycloak's, offline ones included, and the plugin's own for browsers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlflow_sso_client.errors import UnknownNameError

from stackctl.clients.keycloak_admin import KeycloakAdmin, RealmSession
from stackctl.clients.mlflow_api import MlflowApi, UiSession

KEYCLOAK, OFFLINE, MLFLOW = "keycloak", "keycloak-offline", "mlflow"
# Keycloak's own management clients hold no session of MLflow's users.
_CONSOLES = frozenset({"realm-management", "broker"})


@dataclass(frozen=True)
class AnySession:
    """A session of either kind. Times are ISO 8601 in UTC, empty where they are not recorded.

    id: Keycloak's own, or `<user>/<number>` for one of the plugin.
    """

    id: str
    kind: str
    user: str
    clients: tuple[str, ...]
    ip_address: str
    started: str
    last_seen: str
    ends: str
    origin: RealmSession | UiSession = field(repr=False)


def of_user(keycloak: KeycloakAdmin, mlflow: MlflowApi, username: str) -> list[AnySession]:
    """Every session of a user. Raises UnknownNameError when neither side knows the name."""
    found: list[AnySession] = []
    unknown = 0
    try:
        found += [_of_keycloak(one) for one in keycloak.user_sessions(keycloak.find_user(username))]
    except UnknownNameError:
        unknown += 1
    try:
        found += [_of_mlflow(one) for one in mlflow.sessions(username)]
    except UnknownNameError:
        # Someone who has never been to MLflow has no account there.
        unknown += 1
    if unknown == 2:
        raise UnknownNameError(f"neither Keycloak nor MLflow has a user {username}", "`stackctl users` lists them")
    return found


def of_client(keycloak: KeycloakAdmin, client_id: str) -> list[AnySession]:
    return [_of_keycloak(one) for one in keycloak.client_sessions(keycloak.find_client(client_id))]


def of_everybody(keycloak: KeycloakAdmin, mlflow: MlflowApi) -> list[AnySession]:
    found: dict[tuple[str, str], AnySession] = {}
    for client in keycloak.clients():
        if client.client_id not in _CONSOLES:
            for one in map(_of_keycloak, keycloak.client_sessions(client)):
                found.setdefault((one.kind, one.id), one)
    for user in mlflow.users():
        for ui in map(_of_mlflow, mlflow.sessions(user.username)):
            found[ui.kind, ui.id] = ui
    return list(found.values())


def by_id(sessions: Sequence[AnySession], session_id: str) -> list[AnySession]:
    """The sessions of one id: an offline session shares it with the one it was made in."""
    found = [one for one in sessions if one.id == session_id]
    if not found:
        raise UnknownNameError(f"there is no session {session_id}", "`stackctl sessions list` shows them")
    return found


def end(keycloak: KeycloakAdmin, mlflow: MlflowApi, session: AnySession) -> bool:
    """End one session. Returns False when it had ended in the meantime."""
    try:
        if isinstance(session.origin, UiSession):
            mlflow.revoke_session(session.user, session.origin.pk)
        else:
            keycloak.delete_session(session.origin)
    except UnknownNameError:
        return False
    return True


def _of_keycloak(one: RealmSession) -> AnySession:
    return AnySession(
        id=one.id,
        kind=OFFLINE if one.offline else KEYCLOAK,
        user=one.username,
        clients=one.clients,
        ip_address=one.ip_address,
        started=_iso(one.started),
        last_seen=_iso(one.last_access),
        ends="",
        origin=one,
    )


def _of_mlflow(one: UiSession) -> AnySession:
    return AnySession(
        id=f"{one.username}/{one.pk}",
        kind=MLFLOW,
        user=one.username,
        clients=(),
        ip_address="",
        started=one.created_at,
        last_seen=one.last_seen_at,
        ends=one.expires_at,
        origin=one,
    )


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds") if milliseconds else ""
