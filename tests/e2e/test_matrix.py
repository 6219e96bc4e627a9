"""Every route of the running server, asked by everybody: who may is answered, who may not changes and learns nothing.

tests/matrix has the tables. The routes are read from the server itself, so that a later MLflow's new one fails here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.asking import Person
from tests.e2e.harness import Stack
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.matrix import matrix, routes
from tests.matrix.asked import Matrix, cells
from tests.matrix.tables import CLASSIFIED, ROWS, TABLES

# CI asks each route as those on both sides of its line and one more; MATRIX=every asks it as everybody.
EVERY = os.environ.get("MATRIX") == "every"

# The image is the same whatever brought it up.
pytestmark = pytest.mark.parametrize("engine", ["compose"], indirect=True)


@pytest.fixture(scope="module")
def asked(stack: Stack, alice: Person, bob: Person, keycloak: KeycloakAdmin) -> Iterator[Matrix]:
    with matrix(stack, alice, bob, keycloak) as made:
        yield made


def test_every_route_of_the_server_is_classified_and_no_other(stack: Stack) -> None:
    served = routes(stack)
    assert served, "the server has no routes"
    assert not (served - set(CLASSIFIED)), "routes that no table in tests/matrix says whom they serve"
    assert not (set(CLASSIFIED) - served), "routes of tests/matrix that the server does not have"
    assert not [route for route, count in CLASSIFIED.items() if count > 1], "routes that stand in two rows"


def test_whoever_may_not_is_refused_and_changes_nothing(asked: Matrix) -> None:
    faults = asked.refusals(cells(ROWS, every=EVERY))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("table", TABLES)
def test_whoever_may_is_answered(asked: Matrix, table: str) -> None:
    faults = asked.faults(cell for cell in cells(TABLES[table], every=EVERY) if cell.is_served)
    assert not faults, "\n".join(faults)
