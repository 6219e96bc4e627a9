"""Bearer tokens: each request's token decides whether its owner comes in, and a new one changes the account."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from cachetools import LRUCache, TTLCache
from mlflow_oidc_auth.config import config
from mlflow_oidc_auth.utils import group_detection

from mlflow_sso.groups import accounts, record
from mlflow_sso.groups.words import OUT, STRANGER, Rank, Words

# Seconds before somebody whom the plugin keeps as the last administrator is tried again.
_REST = 10.0
_lock = threading.Lock()
_tried: TTLCache[str, bool] = TTLCache(1024, _REST)
# What a plugin for groups said of a token: it may ask a server, and a token says one thing as long as it holds.
_detected: LRUCache[bytes, Any] = LRUCache(2048)


def heard(
    provider: Any, username: str, token: str, claims: Mapping[str, Any], row: Any, read: Callable[[], Any]
) -> tuple[Any, str]:
    """The account after its owner's token was heard, and why the token itself lets nobody in, or nothing.

    row: the account, or None. read: reads it again. It has no effect on one that was switched off.
    """
    if provider is None or provider.type != "oidc" or (row is not None and not row.active):
        return row, ""
    if row is not None and row.is_service_account and not (_tells(claims) or record.kept(row).issued):
        # One that an administrator made, for programs whose tokens never told of a group. Where they did, one that
        # tells of none is of an account without groups: Keycloak leaves the claim out then.
        return row, ""
    said = accounts.words(provider, claims, _groups(token, claims))
    refusal = STRANGER if said.rank is Rank.STRANGER else ""
    trusted = bool(config.OIDC_TRUST_BEARER_GROUP_CLAIMS)
    if row is None or not _is_due(username, row, said, trusted):
        return row, refusal
    if not accounts.speaks_for(provider, claims, username, row):
        return row, refusal
    if accounts.bring(username, row, provider, said, trusted=trusted) in OUT:
        accounts.end_sessions(username)
    return read(), refusal


def _is_due(username: str, row: Any, said: Words, trusted: bool) -> bool:
    kept = record.kept(row)
    if not said.is_due(kept, time.time()):
        return False
    if not trusted:
        # It changes whether its owner comes in, and nothing else.
        return (said.rank is Rank.STRANGER) != (kept.refusal in OUT)
    if not said.is_tried_again(kept):
        return True
    with _lock:
        return _tried.setdefault(username, True) if username not in _tried else False


def _tells(claims: Mapping[str, Any]) -> bool:
    """Whether a token tells of groups at all."""
    return bool(config.OIDC_GROUP_DETECTION_PLUGIN) or config.OIDC_GROUPS_ATTRIBUTE in claims


def _groups(token: str, claims: Mapping[str, Any]) -> Any:
    plugin = config.OIDC_GROUP_DETECTION_PLUGIN
    if not plugin:
        return claims.get(config.OIDC_GROUPS_ATTRIBUTE, [])
    key = hashlib.sha256(token.encode()).digest()
    with _lock:
        if key in _detected:
            return _detected[key]
    found = group_detection.call_group_detection_plugin(plugin, token, {"access_token": token, "claims": claims})
    with _lock:
        _detected[key] = found
    return found
