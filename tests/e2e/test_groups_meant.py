"""Tokens name the declared groups and no others, however deep and however many the realm has."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.harness import Client
from tests.e2e.keycloak import KeycloakAdmin, claims

REALM = "/mlflow"
CURRENT = "/api/2.0/mlflow/users/current"
# Groups of a person of a company, and bytes of a request's headers that nginx takes (`large_client_header_buffers`).
MANY, NGINX = 150, 8192


@pytest.fixture
def made(keycloak: KeycloakAdmin) -> Iterator[Callable[..., str]]:
    """Makes what the realm lists at a path, until the test ends; returns its id."""
    with ExitStack() as until_the_end:

        def make(path: str, **body: Any) -> str:
            found = keycloak.make(f"{REALM}{path}", **body)
            kind = path.split("/")[1]
            if path.endswith(kind):
                until_the_end.callback(keycloak.remove, f"{REALM}/{kind}/{found}")
            return found

        yield make


@pytest.fixture
def somebody(made: Callable[..., str], client: Client) -> tuple[str, Callable[[], str]]:
    """A person in no group: the id, and what gives a token."""
    name, password = f"u{secrets.token_hex(4)}", secrets.token_hex(16)
    known = {"firstName": "Some", "lastName": "Body", "email": f"{name}@example.com", "emailVerified": True}
    secret = [{"type": "password", "value": password, "temporary": False}]
    found = made("/users", username=name, enabled=True, credentials=secret, **known)

    def token() -> str:
        outputs = client.outputs
        login = {"client_id": outputs["client_id"], "client_secret": outputs["client_secret"], "scope": "openid"}
        answer = client.grant(grant_type="password", username=name, password=password, **login)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    return found, token


def join(keycloak: KeycloakAdmin, user: str, group: str) -> None:
    keycloak.call("PUT", f"{REALM}/users/{user}/groups/{group}")


def group_named(keycloak: KeycloakAdmin, name: str) -> str:
    return str(next(one["id"] for one in keycloak.get(f"{REALM}/groups") if one["name"] == name))


def test_a_group_elsewhere_with_the_same_last_part_means_nothing(
    client: Client,
    keycloak: KeycloakAdmin,
    made: Callable[..., str],
    somebody: tuple[str, Callable[[], str]],
) -> None:
    user, token = somebody
    customers = made("/groups", name=f"customers-{secrets.token_hex(3)}")
    acme = made(f"/groups/{customers}/children", name="acme")
    for name in ("mlflow-admins", "mlflow-users"):
        join(keycloak, user, made(f"/groups/{acme}/children", name=name))
    given = token()
    assert not claims(given).get("groups")
    assert client.mlflow(CURRENT, given).status_code == 401


def test_who_is_in_a_group_below_a_declared_one_is_in_that_one(
    client: Client,
    keycloak: KeycloakAdmin,
    made: Callable[..., str],
    somebody: tuple[str, Callable[[], str]],
) -> None:
    """As with every role in Keycloak; the name of the group below says nothing."""
    user, token = somebody
    below = made(f"/groups/{group_named(keycloak, 'mlflow-users')}/children", name="mlflow-admins")
    try:
        join(keycloak, user, below)
        given = token()
        assert claims(given)["groups"] == ["mlflow-users"]
        assert client.mlflow(CURRENT, given).json()["is_admin"] is False
    finally:
        keycloak.remove(f"{REALM}/groups/{below}")


def test_somebody_in_many_groups_comes_through_a_proxy(
    client: Client,
    keycloak: KeycloakAdmin,
    made: Callable[..., str],
    somebody: tuple[str, Callable[[], str]],
) -> None:
    user, token = somebody
    join(keycloak, user, group_named(keycloak, "mlflow-users"))
    alone = token()
    for number in range(MANY):
        join(keycloak, user, made("/groups", name=f"Some Department of the Company {secrets.token_hex(4)} {number}"))
    given = token()
    assert claims(given)["groups"] == ["mlflow-users"]
    assert abs(len(given) - len(alone)) < 64
    assert len(given) < NGINX / 2
    assert client.mlflow(CURRENT, given).status_code == 200
