"""Brings accounts to what their owners' tokens say, by the functions and the policy of a login with a browser."""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import mlflow_oidc_auth.user as user_module
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE, ErrorCode
from mlflow_oidc_auth import group_patterns, provisioning_policy, workspace_rules
from mlflow_oidc_auth.audit import emit_audit_event
from mlflow_oidc_auth.config import config
from mlflow_oidc_auth.logger import get_logger
from mlflow_oidc_auth.middleware import auth_middleware
from mlflow_oidc_auth.repository.group import GroupRepository
from mlflow_oidc_auth.repository.user import UserRepository
from mlflow_oidc_auth.store import store
from mlflow_oidc_auth.utils import group_detection

from mlflow_sso import upstream
from mlflow_sso.groups import record
from mlflow_sso.groups.words import LAST, STRANGER, Rank, Words

_log = get_logger()


def words(provider: Any, claims: Mapping[str, Any], groups: Any) -> Words:
    """What a token of a provider says, by the plugin's own rules for the groups that it carries."""
    names = group_patterns.normalize_group_values(groups)
    return Words.of(claims, names, rank(provider, names))


def rank(provider: Any, groups: list[str]) -> Rank:
    """What groups make of somebody, by the plugin's rules."""
    if provisioning_policy.admin_from_claims(provider, groups, config.OIDC_ADMIN_GROUP_NAME):
        return Rank.ADMINISTRATOR
    if group_patterns.admitting_rule(groups, config.OIDC_GROUP_NAME, config.OIDC_GROUP_NAME_PATTERN):
        return Rank.USER
    return Rank.STRANGER


def speaks_for(provider: Any, claims: Mapping[str, Any], username: str, row: Any) -> bool:
    """Whether a token may change an account: that of a person where there is one provider, otherwise a bound one.

    The plugin judges a service account only after this, by the subject that is bound to it.
    """
    if len(config.AUTH_PROVIDERS.providers) <= 1 and not row.is_service_account:
        return True
    return bool(claims.get("sub")) and bool(auth_middleware._bound_to_identity(provider, claims, username))


def bring(
    username: str, row: Any, provider: Any, said: Words, *, trusted: bool = True, names: Collection[str] | None = None
) -> str:
    """Brings an account to a token, unless a newer one was heard already; why its owner is refused now, or nothing.

    row: the account (`id`, `is_service_account`). trusted: whether the token may change groups and administrators;
    one that may not still decides who comes in. names: the only groups that it tells of; others stay. Raises what the
    databases and the plugin raise: then nothing is kept. Whoever is refused as a stranger still has sessions:
    `end_sessions`.
    """
    with record.held(row.id) as held:
        if not said.is_due(held.kept, time.time()):
            return held.kept.refusal
        refusal = _write(username, row, provider, said, names) if trusted else ""
        if refusal == LAST != held.kept.refusal:
            _log.warning("%s is the only active administrator, and in no administrators' group any more", username)
        refusal = said.refusal or refusal
        # Said again by an older token: the record stays as new as it is.
        held.write(replace(said, issued=held.kept.issued) if said.is_tried_again(held.kept) else said, refusal)
    return refusal


def _write(username: str, row: Any, provider: Any, said: Words, names: Collection[str] | None) -> str:
    """Writes what differs from the token; why not, or nothing."""
    written_by = f"oidc:{provider.id}"
    # A service account that was made by hand becomes an administrator by hand: the plugin wants its subject for it.
    administrator, refusal = said.rank is Rank.ADMINISTRATOR and not row.is_service_account, ""
    profile = store.get_user_profile(username)
    changed: dict[str, Any] = {}
    if provider.admin_source == "claims" and bool(profile.is_admin) != administrator:
        try:
            user_module.create_user(
                username, profile.display_name, administrator, bool(row.is_service_account), written_by=written_by
            )
            changed["is_admin"] = administrator
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(INVALID_STATE):
                raise
            refusal = LAST
    current = [group.group_name for group in profile.groups]
    others = [] if names is None else [group for group in current if group not in names]
    groups = provisioning_policy.groups_to_apply(provider, [*said.groups, *others], current, is_new_user=False)
    if groups is not None and set(groups) != set(current):
        arrived = user_module.populate_groups(groups, written_by=written_by)
        user_module.update_user(username, groups, written_by=written_by)
        if arrived:
            workspace_rules.apply_rules_for_groups(arrived, source=written_by)
        changed["groups"] = sorted(groups)
    if changed:
        detail = {"provider": provider.id, **changed}
        emit_audit_event("auth.groups_applied", username, resource_type="user", resource_id=username, detail=detail)
    return refusal


def end_sessions(username: str, reason: str = STRANGER) -> None:
    """Ends the sessions of whoever may come in no more."""
    ended = store.revoke_all_auth_sessions(username)
    if ended:
        detail = {"sessions": ended, "reason": reason}
        emit_audit_event("session.revoked", username, resource_type="user", resource_id=username, detail=detail)


def install() -> None:
    """Names what this is right for."""
    known = {
        (auth_middleware, "_bound_to_identity"): "df67b56c7b14e3f3",
        (group_patterns, "admitting_rule"): "3491a152bfb20043",
        (group_patterns, "normalize_group_values"): "7a49875291dee497",
        (group_detection, "call_group_detection_plugin"): "8baacac3c20ead34",
        (provisioning_policy, "admin_from_claims"): "2ee7de16bae24976",
        (provisioning_policy, "groups_to_apply"): "80f42eda1c76348e",
        (user_module, "create_user"): "19d1b2dfe3824f1a",
        (user_module, "populate_groups"): "9423dbb82225ba57",
        (user_module, "update_user"): "e8955f9eedc2c781",
        (workspace_rules, "apply_rules_for_groups"): "9305b4b5c39f95c1",
        (UserRepository, "update"): "3ef74f22a5c2b878",
        (GroupRepository, "set_groups_for_user"): "7a1c2453b840705d",
    }
    for (home, name), digest in known.items():
        upstream.reads(home, name, digest)
