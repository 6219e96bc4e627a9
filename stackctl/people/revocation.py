"""Cuts a user's access of every kind: each of the three has credentials that the others know nothing of.

Keycloak keeps sessions, offline ones included; the plugin keeps its own sessions for browsers, and personal
access tokens. MLflow accepts an access token by its signature alone, so one that is out lives until it ends,
unless MLflow's own account is disabled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow_sso_client.errors import RefusedError, UnknownNameError

from components.plugin.profile import Ability
from stackctl.clients.keycloak_admin import KeycloakAdmin, RealmUser
from stackctl.clients.mlflow_api import MlflowApi
from stackctl.people.canary import DEAD, Canary, canaries
from stackctl.people.connection import Sides


@dataclass(frozen=True)
class Target:
    """A user as both sides know it; None where one does not. in_mlflow: the name of the account there."""

    username: str
    in_keycloak: RealmUser | None
    in_mlflow: str | None


@dataclass
class Report:
    """What was revoked, and what trying the old credentials showed.

    token_seconds: how long an access token issued before may still be accepted; 0 when it is refused already.
    """

    username: str
    revoked: dict[str, Any] = field(default_factory=dict)
    proofs: list[dict[str, Any]] = field(default_factory=list)
    token_seconds: int = 0
    left: int = 0
    unproven: str = ""
    in_mlflow: bool = True

    @property
    def complete(self) -> bool:
        return self.left == 0 and all(row["dead"] for row in self.proofs if not row["outlives"])

    @property
    def outlook(self) -> dict[str, Any]:
        return {
            "complete": self.complete,
            "access_token_seconds": self.token_seconds,
            "not_proven_because": self.unproven,
        }

    @property
    def told(self) -> str:
        if not self.complete:
            alive = [row["credential"] for row in self.proofs if not (row["dead"] or row["outlives"])]
            rest = f"still accepted: {', '.join(alive)}" if alive else f"{self.left} session(s) or token(s) are left"
            return f"error: {self.username} still has access ({rest}); run it again, and look at `stackctl doctor`"
        proven = f" Not every kind was tried: {self.unproven}." if self.unproven else ""
        if self.token_seconds:
            disable = "--disable ends it at once; without it, run" if self.in_mlflow else "Run"
            until = (
                f"An access token that is out already is accepted by MLflow for up to {self.token_seconds} s more, and "
                f"whoever holds it can make a personal token with it. {disable} this again when that time is over."
            )
        else:
            until = "An access token that is out already is refused by MLflow too."
        where = "" if self.in_mlflow else " in Keycloak. MLflow has no account of that name, e-mail address or id"
        return f"Every session and token of {self.username} is revoked{where}.{proven} {until}"


def needs(*, disable: bool = False) -> tuple[Ability, ...]:
    """What MLflow's plugin must be able to do: ending a part of the access would be no revocation."""
    states = (Ability.ACCOUNT_STATES,) if disable else ()
    return (Ability.PERSONAL_TOKENS, Ability.PAGE_SESSIONS, *states)


def find(sides: Sides, username: str) -> Target:
    """Look the user up on both sides, with both logins checked before anything is cut.

    Raises UnknownNameError when neither knows the name, NotAdminError or NotLoggedInError without the right.
    """
    keycloak = sides.keycloak
    try:
        found: RealmUser | None = keycloak.find_user(username)
    except UnknownNameError:
        found = None
    name = found.username if found else username.lower()
    account = _account(keycloak, name, found, {user.username for user in sides.mlflow.users()})
    if found is None and account is None:
        raise UnknownNameError(f"neither Keycloak nor MLflow has a user {username}", "check the name")
    return Target(name, found, account)


def _account(keycloak: KeycloakAdmin, name: str, user: RealmUser | None, accounts: set[str]) -> str | None:
    """The user's account in MLflow, by whichever claim names accounts (`mlflow.usernameClaim`, not known here)."""
    if name.lower() in accounts:
        return name.lower()
    for other in (user.email, user.id) if user else ():
        # People write what they like into their e-mail address, and it may be somebody's name.
        if other.lower() in accounts and not _is_username(keycloak, other):
            return other.lower()
    return None


def _is_username(keycloak: KeycloakAdmin, name: str) -> bool:
    try:
        keycloak.find_user(name)
    except UnknownNameError:
        return False
    return True


def revoke(sides: Sides, target: Target, *, disable: bool, prove: bool, tell: Callable[[str], None]) -> Report:
    """Revoke everything, and report what is left.

    Raises RefusedError, before anything is changed, for someone who would lock themselves out, and where MLflow's
    plugin cannot end every kind of access.
    """
    sides.mlflow.require(*needs(disable=disable))
    if sides.mlflow.me().username == target.in_mlflow:
        if disable:
            raise RefusedError("this would disable the administrator who asks for it", "let another one do it")
        access = sides.access
        # The login of this very command is among what goes: its last token has to do for the rest.
        sides = replace(sides, mlflow=access.mlflow_as(access.logins().access_token()))
    keycloak, mlflow = sides.keycloak, sides.mlflow
    report = Report(target.username, in_mlflow=target.in_mlflow is not None)
    # Counted before the credentials of the proof are made.
    sessions = keycloak.user_sessions(target.in_keycloak) if target.in_keycloak else []
    report.revoked["keycloak_sessions"] = sum(not one.offline for one in sessions)
    report.revoked["keycloak_offline_sessions"] = sum(one.offline for one in sessions)
    if target.in_mlflow:
        report.revoked["mlflow_sessions"] = len(mlflow.sessions(target.in_mlflow))
        report.revoked["personal_tokens"] = len(mlflow.tokens(target.in_mlflow))
    held = _held(sides, target, report) if prove else []
    if not prove:
        report.unproven = "--no-prove"
    before = [(one, one.tried()) for one in held]
    if target.in_keycloak is not None:
        _keycloak(keycloak, target.in_keycloak, report, disable=disable)
    if target.in_mlflow:
        mlflow.revoke_sessions(target.in_mlflow)
        mlflow.delete_tokens(target.in_mlflow)
        if disable:
            mlflow.set_active(target.in_mlflow, active=False)
    report.revoked["disabled"] = disable
    tell(f"Trying {len(before)} credential(s) of {target.username} again ...")
    for one, was in before:
        now = one.tried()
        row = {"credential": one.name, "before": was, "after": now, "dead": now == DEAD}
        report.proofs.append({**row, "outlives": one.outlives and not disable})
    report.left = _left(keycloak, mlflow, target)
    # MLflow refuses a token of an account that is disabled there, and makes an account for one that it does not know.
    ended = target.in_keycloak is None or (disable and target.in_mlflow is not None)
    report.token_seconds = 0 if ended else _longest_token(keycloak)
    return report


def enable(sides: Sides, target: Target) -> None:
    """Let a disabled user in again. What was revoked stays revoked."""
    if target.in_keycloak is not None:
        sides.keycloak.set_enabled(target.in_keycloak, enabled=True)
    if target.in_mlflow and not sides.mlflow.plugin.lacks(Ability.ACCOUNT_STATES):
        sides.mlflow.set_active(target.in_mlflow, active=True)


def _held(sides: Sides, target: Target, report: Report) -> list[Canary]:
    if target.in_keycloak is None:
        report.unproven = "Keycloak does not know the user"
        return []
    made, report.unproven = canaries(sides, target.in_keycloak, account=target.in_mlflow)
    return made


def _keycloak(keycloak: KeycloakAdmin, user: RealmUser, report: Report, *, disable: bool) -> None:
    if disable:
        # First: an open browser could otherwise log in again in the middle of it.
        keycloak.set_enabled(user, enabled=False)
    sessions = keycloak.user_sessions(user)
    keycloak.logout(user)
    for client in {name for one in sessions if one.offline for name in one.clients}:
        try:
            keycloak.revoke_grants(user, client)
        except UnknownNameError:
            # The logout took it along.
            continue
    report.revoked["keycloak_not_before"] = keycloak.user(user.id).not_before


def _left(keycloak: KeycloakAdmin, mlflow: MlflowApi, target: Target) -> int:
    left = 0
    if target.in_keycloak is not None:
        left += len(keycloak.user_sessions(target.in_keycloak))
    if target.in_mlflow:
        left += len(mlflow.sessions(target.in_mlflow)) + len(mlflow.tokens(target.in_mlflow))
    return left


def _longest_token(keycloak: KeycloakAdmin) -> int:
    """The longest lifetime of an access token in the realm, in seconds: a client may have one of its own."""
    own = [client.representation.get("attributes", {}).get("access.token.lifespan") for client in keycloak.clients()]
    return max(int(keycloak.realm()["accessTokenLifespan"]), *(int(value) for value in own if value), 0)
