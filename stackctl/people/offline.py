"""Ends the offline sessions that logins to MLflow's pages left before these went without.

Such a session outlives the browser's own by weeks, and nobody asked for it. Those of command lines stay: each was
asked for by `login --offline`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mlflow_sso_client.errors import AccessError
from mlflow_sso_client.files import private_directory, write_private

from stackctl.context import Context
from stackctl.directories import state_home
from stackctl.engines.pulumi_cli import PulumiError
from stackctl.people.connection import Where, resolve
from stackctl.people.sessions import OFFLINE, end, of_client
from stackctl.progress import say

_SCOPE = "offline_access"


def end_left(context: Context, *, new: bool) -> None:
    """Ends them, once for each stack on this machine. A Keycloak that does not answer is asked at the next `up`.

    new: whether the stack was made just now, and so has none.
    """
    kept = marker(context.stack)
    if _SCOPE in context.settings.realm.scope.split():
        # Somebody wants them.
        return
    if kept.exists() and kept.read_text() == context.spec.keycloak.issuer:
        return
    try:
        ended = 0 if new else _end(context)
    except (AccessError, PulumiError) as error:
        say(f"Whether earlier logins left offline sessions is not known: {error}")
        return
    if ended:
        say(f"{ended} offline session(s) of logins to MLflow's pages ended: these use the browser's own session now.")
    private_directory(kept.parent)
    write_private(kept, context.spec.keycloak.issuer)


def forget(stack: str) -> None:
    """Forgets that they were ended, with the stack."""
    kept = marker(stack)
    kept.unlink(missing_ok=True)
    with suppress(OSError):
        # The last one takes the directory along.
        kept.parent.rmdir()


def marker(stack: str) -> Path:
    """The file that names the issuer at which they were ended."""
    # No stack's name begins so.
    return state_home() / ".offline-ended" / stack


def _end(context: Context) -> int:
    sides = resolve(Where(stack=context.stack, config_file=context.config_file)).sides()
    left = [one for one in of_client(sides.keycloak, context.spec.realm.audience) if one.kind == OFFLINE]
    return sum(end(sides.keycloak, sides.mlflow, one) for one in left)
