"""What was granted, to whom and until when, is what the plugin goes by.

The registry of MCP servers is read by whom it is granted to, or by all where DEFAULT_MLFLOW_PERMISSION says so: while
workspaces are off the plugin shows each server without a grant of its own to everybody, whatever the default is.

A group's grants on the gateway by pattern are shown and taken away: the plugin hands the number of such a grant to its
store as the group's name, and the name as the number, so that neither is found. A grant that is not there is 404, of
every kind.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream


def _may_read(original: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    @wraps(original)
    def may_read(name: str, username: str) -> bool:
        from mlflow_oidc_auth.utils.permissions import effective_mcp_server_permission

        return bool(effective_mcp_server_permission(name, username).permission.can_read)

    return may_read


def in_order(group_name: Any, id: Any) -> tuple[Any, Any]:
    """A name and a number, whichever came first: a name is a text, and a number is none."""
    return (id, group_name) if isinstance(group_name, int) and isinstance(id, str) else (group_name, id)


def _ordered(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(self: Any, group_name: Any, id: Any) -> Any:
        return original(self, *in_order(group_name, id))

    return call


def _status(original: Callable[[Exception], int | None]) -> Callable[[Exception], int | None]:
    @wraps(original)
    def status(error: Exception) -> int | None:
        from sqlalchemy.exc import NoResultFound

        return 404 if isinstance(error, NoResultFound) else original(error)

    return status


def install() -> None:
    from mlflow_oidc_auth.middleware import mcp_server_registry
    from mlflow_oidc_auth.repository._base import BaseGroupRegexPermissionRepository as Patterns
    from mlflow_oidc_auth.routers import _permission_routes

    upstream.replace(mcp_server_registry, "_may_read", "1074859c1b118fd7", _may_read)
    upstream.replace(Patterns, "get", "afe5325b398205ee", _ordered)
    upstream.replace(Patterns, "revoke", "96ce4e55d9540448", _ordered)
    upstream.replace(_permission_routes, "mlflow_error_status", "0a6cb6c744457eba", _status)
