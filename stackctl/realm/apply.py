"""Takes the steps to a declared realm, for whoever has the declaration: `stackctl up`, and a Job on a cluster."""

from __future__ import annotations

from collections.abc import Callable

from problems import StackError, printable
from stackctl.realm.actual import Actual
from stackctl.realm.directories import silent
from stackctl.realm.step import Tree
from stackctl.realm.steps import steps
from stackctl.realm.themes import unknown


class NotYetError(StackError):
    """Keycloak cannot do it, and may be able to later: what it lacks may be on its way, or away for a moment."""


def bring(
    wanted: Tree,
    before: Tree,
    declared: Tree,
    actual: Actual,
    keep: Callable[[Tree], None],
    tell: Callable[[str], None],
) -> int:
    """How many steps it took. Raises StackError before the first one, or AccessError of Keycloak at any.

    NotYetError is for what this Keycloak lacks, and another one may have.
    wanted, before: as of `steps`. declared: what is wanted, as it is kept. keep: remembers that for the next time.
    tell: hears of each step.
    """
    found = steps(wanted, before, actual)
    # Not before the stack is up: Keycloak may have had no way to them.
    problems = list(silent(wanted, before, actual))
    if problems:
        raise NotYetError("Keycloak cannot use a directory; nothing of the realm was changed.", problems)
    problems = list(unknown(wanted, actual))
    if problems:
        raise NotYetError("Keycloak does not have a theme; nothing of the realm was changed.", problems)
    known = before
    for step in found:
        # Names and texts of Keycloak's are in it, and each step is one line.
        tell(printable(f"realm, {step.where}: {'; '.join(step.changes)}", keep=""))
        step.take()
        if step.remember is not None:
            # A later step may fail, and the next time has to know its own from what somebody else made.
            known = step.remember(known, declared)
            keep(known)
    keep(declared)
    return len(found)
