"""Brings a realm to what a file declares, once, and ends: `python -m stackctl.realm.job`, in a Job on a cluster.

It is in an image of its own (images/realm) with what it imports, so it needs `requests` and nothing of the settings.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlflow_sso_client.errors import AccessError, KeycloakDownError

from components.realm_words import Declared
from problems import StackError, printable
from stackctl.clients.keycloak_admin import KeycloakAdmin, Provisioner
from stackctl.realm.actual import Actual
from stackctl.realm.apply import NotYetError, bring
from stackctl.realm.fingerprint import fingerprint
from stackctl.realm.memory import Memory, adopted

# What it exits with where another run would be refused as well (`platforms.workload.FINAL`).
REFUSED = 3
# Between two questions while Keycloak starts. Whoever runs this bounds how long it may take.
_PAUSE_SECONDS = 2.0
_AGAIN = "To try again without another change: delete this Job, and have the files applied."
_Answer = TypeVar("_Answer")


def run(given: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> int:
    """The exit code. given: the variables that `components.realm_job` sets."""
    wanted, declared = _trees(_read(given[Declared.FILE]), given)
    key = given[Declared.SECRET]
    provisioner = Provisioner(given[Declared.CLIENT], key, given[Declared.REALM])
    actual = Actual(KeycloakAdmin(given[Declared.URL], wanted["realm"], provisioner), _tell)
    (owner,) = wanted["roles"]["client"]
    memory, imported = Memory(actual, owner, key), _read(given[Declared.IMPORTED])

    def brought() -> int:
        actual.forget()
        before = memory.read(declared)
        if not before:
            _tell("Nothing is remembered of this realm: it is taken for the one that was imported.")
            before = adopted(wanted, imported, actual)
        return bring(wanted, before, declared, actual, memory.keep, _tell)

    try:
        _awaited(partial(_realm, actual), KeycloakDownError, sleep)
        taken = _awaited(brought, NotYetError, sleep)
    except StackError as error:
        _tell(f"Refused: {error}\n{_AGAIN}")
        return REFUSED
    except AccessError as error:
        _tell(f"Failed: {error}\n{_AGAIN}")
        return 1
    _tell(f"The realm {wanted['realm']} is as declared: {taken} change(s).")
    return 0


def _read(path: str) -> dict[str, Any]:
    return dict(json.loads(Path(path).read_text()))


def _trees(document: Mapping[str, Any], given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is declared with its secrets, and as it is kept."""
    wanted, declared = (json.loads(json.dumps(document["realm"])) for _ in range(2))
    for secret in document["secrets"]:
        text = given[secret["variable"]]
        _put(wanted, secret["at"], text)
        if secret["forOthers"]:
            _put(declared, secret["at"], fingerprint(wanted["realm"], text))
    return wanted, declared


def _put(tree: Any, place: list[str | int], text: str) -> None:
    *above, last = place
    for key in above:
        tree = tree[key]
    tree[last] = text


def _realm(actual: Actual) -> Mapping[str, Any]:
    actual.forget()
    return actual.realm


def _awaited(ask: Callable[[], _Answer], passes: type[Exception], sleep: Callable[[float], None]) -> _Answer:
    """The answer once there is one. passes: what is waited for to pass, and said once."""
    told = ""
    while True:
        try:
            return ask()
        except passes as error:
            text = error.cause if isinstance(error, AccessError) else str(error)
            if text != told:
                told = text
                _tell(f"Waiting: {text}.")
            sleep(_PAUSE_SECONDS)


def _tell(text: str) -> None:
    print(printable(text), flush=True)


if __name__ == "__main__":
    # The first process of a container has no other end: a Job that is pruned would go on until it is killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(run(os.environ))
