"""Every route of the running server, asked by everybody: who may is answered, who may not changes and learns nothing.

tests/matrix has the tables. The routes are read from the server itself, so that a later MLflow's new one fails here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.harness import Client, Stack
from tests.e2e.keycloak import KeycloakAdmin
from tests.e2e.matrix import matrix, routes, schemas
from tests.matrix.asked import Matrix, cells
from tests.matrix.fuzz import Fuzzer, faults, fuzzed, unreadable
from tests.matrix.sly import Sly, owned, spelled
from tests.matrix.tables import CLASSIFIED, ROWS, TABLES
from tests.matrix.world import World

# CI asks each route as those on both sides of its line and one more; MATRIX=every asks it as everybody.
EVERY = os.environ.get("MATRIX") == "every"

# The image is the same whatever brought it up, so CI asks one engine's; MATRIX=every asks each that is here.
ENGINES = ("compose", "pulumi", "render") if EVERY else ("compose",)
pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)


@pytest.fixture(scope="module")
def asked(stack: Stack, client: Client, keycloak: KeycloakAdmin) -> Iterator[Matrix]:
    with matrix(stack, client, keycloak) as made:
        yield made


def test_every_route_of_the_server_is_classified_and_no_other(stack: Stack) -> None:
    served = routes(stack)
    assert served, "the server has no routes"
    assert not (served - set(CLASSIFIED)), "routes that no table in tests/matrix says whom they serve"
    assert not (set(CLASSIFIED) - served), "routes of tests/matrix that the server does not have"
    assert not [route for route, count in CLASSIFIED.items() if count > 1], "routes that stand in two rows"


def test_whoever_may_not_is_refused_and_changes_nothing(asked: Matrix) -> None:
    found = asked.refusals(cells(ROWS, every=EVERY), name=EVERY)
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def mine(asked: Matrix) -> World:
    """What a plain user has of their own."""
    return owned(asked.world)


def test_another_spelling_of_a_path_leads_nowhere_else(asked: Matrix, mine: World) -> None:
    found = Sly(asked, mine).spellings(spelled(every=EVERY))
    assert not found, "\n".join(found)


def test_something_of_ones_own_beside_it_opens_nothing_of_others(asked: Matrix, mine: World) -> None:
    found = Sly(asked, mine).confusions(every=EVERY)
    assert not found, "\n".join(found)


def test_requests_that_are_made_up_are_told_what_is_wrong(stack: Stack, asked: Matrix, mine: World) -> None:
    """MATRIX_SEED makes up others, MATRIX_ROUNDS more of them."""
    seed, rounds = int(os.environ.get("MATRIX_SEED", "2")), int(os.environ.get("MATRIX_ROUNDS", "1"))
    found = faults(asked, Fuzzer(seed, schemas(stack), mine, asked.world).requests(fuzzed(), rounds))
    assert not found, f"seed {seed}\n" + "\n".join(found)


def test_a_text_that_holds_no_json_is_the_callers_fault(asked: Matrix, mine: World) -> None:
    made = list(unreadable(mine, fuzzed()))
    assert len({row.routes for row, *_ in made}) > 5
    found = faults(asked, made)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("table", TABLES)
def test_whoever_may_is_answered(asked: Matrix, table: str) -> None:
    found = asked.faults(cell for cell in cells(TABLES[table], every=EVERY) if cell.is_served)
    assert not found, "\n".join(found)
