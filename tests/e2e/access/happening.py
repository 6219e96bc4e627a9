"""People and service accounts of a stack whose tokens are short-lived, and what can happen to them in Keycloak."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.e2e.access.conftest import LONG
from tests.e2e.access.conftest import SHORTER as LIFETIME
from tests.e2e.access.somebody import REFUSED, Somebody
from tests.e2e.asking import V2, Person, person
from tests.e2e.harness import Client, Stack
from tests.e2e.keycloak import KeycloakAdmin

# Looks of MLflow's at Keycloak, the last of which has seen what happened before the first.
LOOKS = 2
ADMINS, USERS, OTHERS = "mlflow-admins", "mlflow-users", "mlflow-analysts"
ADMINISTRATOR = "administrator"
__all__ = ["LIFETIME"]


@pytest.fixture(scope="module")
def client(short_lived: Stack) -> Client:
    return Client(short_lived.outputs())


@pytest.fixture(scope="module")
def keycloak(client: Client) -> KeycloakAdmin:
    return KeycloakAdmin(client.outputs)


@dataclass(frozen=True)
class Returning(Person):
    """Somebody who comes with a new token each time, as the one before has ended by then."""

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        return person(self.client, self.name).ask(method, path, body, **more)


@pytest.fixture
def lasting(keycloak: KeycloakAdmin) -> Iterator[None]:
    """Access tokens that outlive a test which uses one several times."""
    keycloak.call("PUT", f"/{keycloak.realm}", json={"accessTokenLifespan": LONG})
    yield
    keycloak.call("PUT", f"/{keycloak.realm}", json={"accessTokenLifespan": LIFETIME})


@pytest.fixture
def alice(client: Client) -> Person:
    """An administrator."""
    return Returning("alice", client, "")


@pytest.fixture
def some(client: Client, keycloak: KeycloakAdmin, alice: Person) -> Iterator[Callable[..., Somebody]]:
    """Makes somebody new, whose account in MLflow goes when the test ends."""
    made: list[Somebody] = []

    def make(group: str = USERS, kind: str = "person") -> Somebody:
        made.append(getattr(Somebody, kind)(client, keycloak, group))
        return made[-1]

    yield make
    for one in made:
        # Who never came has no account.
        gone = alice.ask("DELETE", f"{V2}/users", {"username": one.name})
        assert gone.status_code in (200, 204, 404), gone.text


def left(one: Somebody) -> None:
    one.leave(USERS)


def demoted(one: Somebody) -> None:
    one.leave(ADMINS)
    one.join(USERS)


def promoted(one: Somebody) -> None:
    one.join(ADMINS)


def moved(one: Somebody) -> None:
    one.leave(USERS)
    one.join(OTHERS)


# What happens, what somebody was before, and what they are afterwards.
EVENTS: dict[str, tuple[Callable[[Somebody], None], str, str]] = {
    "left": (left, USERS, REFUSED),
    "demoted": (demoted, ADMINS, USERS),
    "promoted": (promoted, USERS, ADMINISTRATOR),
    "moved": (moved, USERS, OTHERS),
    "disabled": (Somebody.disable, USERS, REFUSED),
    "deleted": (Somebody.delete, USERS, REFUSED),
}
# Nobody comes with a new token then, and so nobody says anything of the account.
SILENT = ("disabled", "deleted")
BEFORE = {ADMINS: ADMINISTRATOR, USERS: USERS}
