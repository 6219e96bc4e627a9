"""The registry of MCP servers is read by whom it is granted to, or by all where DEFAULT_MLFLOW_PERMISSION says so.

While workspaces are off the plugin shows each server without a grant of its own to everybody, whatever the default is.
"""

from collections.abc import Callable
from functools import wraps

from mlflow_sso import upstream


def _may_read(original: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    @wraps(original)
    def may_read(name: str, username: str) -> bool:
        from mlflow_oidc_auth.utils.permissions import effective_mcp_server_permission

        return bool(effective_mcp_server_permission(name, username).permission.can_read)

    return may_read


def install() -> None:
    from mlflow_oidc_auth.middleware import mcp_server_registry

    upstream.replace(mcp_server_registry, "_may_read", "1074859c1b118fd7", _may_read)
