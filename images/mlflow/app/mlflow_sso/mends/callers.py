"""Who asks: the plugin's answer, for the mends that stand inside of MLflow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Somebody who is logged in."""

    name: str
    administrator: bool


def caller() -> Caller | None:
    """Who asks; None where the server itself works, outside of any request."""
    from mlflow_oidc_auth.bridge.user import get_auth_context

    try:
        context = get_auth_context()
    except Exception:
        # The plugin raises this very class where there is no request.
        return None
    return Caller(context.username, context.is_admin) if context.username else None


def plain() -> bool:
    """Whether somebody asks who is no administrator."""
    asking = caller()
    return asking is not None and not asking.administrator


def may(right: str, experiment: str) -> bool:
    """Whether who asks has a right on an experiment, such as `can_read`; administrators and the server have each."""
    from mlflow_oidc_auth.utils import effective_experiment_permission

    asking = caller()
    if asking is None or asking.administrator:
        return True
    return bool(getattr(effective_experiment_permission(experiment, asking.name).permission, right))
