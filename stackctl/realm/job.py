"""Brings a realm to what a file declares, once, and ends: `python -m stackctl.realm.job`, in a Job on a cluster.

It is in an image of its own (images/realm) with what it imports, so it needs `requests` and nothing of the settings.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow_sso_client.errors import AccessError, KeycloakDownError

from components.realm_words import Declared
from problems import StackError
from stackctl.clients.keycloak_admin import KeycloakAdmin, Provisioner
from stackctl.printable import printable
from stackctl.realm.actual import Actual
from stackctl.realm.apply import bring
from stackctl.realm.fingerprint import fingerprint
from stackctl.realm.memory import Memory, adopted

# What it exits with where another run would be refused as well (`platforms.workload.FINAL`).
REFUSED = 3
# Between two questions while Keycloak starts. Whoever runs this bounds how long it may take.
_PAUSE_SECONDS = 2.0


def run(given: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> int:
    """The exit code. given: the variables that `components.realm_job` sets."""
    document = json.loads(Path(given[Declared.FILE]).read_text())
    wanted, declared = _trees(document, given)
    key = given[Declared.SECRET]
    provisioner = Provisioner(given[Declared.CLIENT], key, given[Declared.REALM])
    actual = Actual(KeycloakAdmin(given[Declared.URL], wanted["realm"], provisioner), _tell)
    try:
        _await(actual, sleep)
        (owner,) = wanted["roles"]["client"]
        memory = Memory(actual, owner, key)
        before = memory.read(declared)
        if not before:
            _tell("Nothing is remembered of this realm: what it has of what is declared is taken for the stack's own.")
            before = adopted(wanted, actual)
        taken = bring(wanted, before, declared, actual, memory.keep, _tell)
    except StackError as error:
        _tell(f"Refused: {error}")
        return REFUSED
    except AccessError as error:
        _tell(f"Failed: {error}")
        return 1
    _tell(f"The realm {wanted['realm']} is as declared: {taken} change(s).")
    return 0


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


def _await(actual: Actual, sleep: Callable[[float], None]) -> None:
    told = ""
    while True:
        try:
            actual.forget()
            actual.realm  # noqa: B018
            return
        except KeycloakDownError as error:
            if str(error) != told:
                told = str(error)
                _tell(f"Waiting: {error.cause}.")
            sleep(_PAUSE_SECONDS)


def _tell(text: str) -> None:
    print(printable(text), flush=True)


if __name__ == "__main__":
    sys.exit(run(os.environ))
