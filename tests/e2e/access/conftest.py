"""Stacks whose access tokens live as long as a test needs, and the people who use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Stack
from tests.e2e.people import Person, keycloak_of

# Seconds an access token lives here: longer than any test, so that one which is refused was refused for another reason.
LONG = 1800
# Seconds it lives in a test that sees several of them, or the end.
LIFETIME = 15
# Seconds a session lives here in any case.
LONGEST = 3600
# Seconds an access token lives where each test waits for the next one.
SHORTER = 10


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with one service account."""
    made = Stack.make(
        "compose",
        tmp_path_factory.mktemp("access"),
        realm={
            "lifetimes": {"accessTokenSeconds": LONG, "ssoIdleSeconds": LONG, "ssoMaxSeconds": LONGEST},
            "serviceAccounts": [{"clientId": "ci", "groups": ["mlflow-users"]}],
        },
    )
    try:
        made.up()
        yield made
    finally:
        made.destroy(check=False)


@pytest.fixture
def alice(shared: Stack, tmp_path: Path) -> Person:
    return Person(shared, "alice", tmp_path / "alice")


@pytest.fixture
def bob(shared: Stack, tmp_path: Path) -> Iterator[Person]:
    """A plain user, let in again after a test that locked him out."""
    yield Person(shared, "bob", tmp_path / "bob")
    helper = Person(shared, "alice", tmp_path / "helper")
    helper.log_in()
    helper.run("users", "enable", "bob")


@pytest.fixture
def short_tokens(shared: Stack) -> Iterator[None]:
    """Access tokens that end while a test waits."""
    keycloak = keycloak_of(shared.outputs())
    keycloak.request("PUT", "", json={"accessTokenLifespan": LIFETIME})
    yield
    keycloak.request("PUT", "", json={"accessTokenLifespan": LONG})


@pytest.fixture
def laptop(shared: Stack, tmp_path: Path) -> Person:
    """Alice on a machine without the stack's state."""
    return Person(shared, "alice", tmp_path / "laptop", laptop=True)


@pytest.fixture(scope="session")
def short_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose access tokens are short-lived and whose MLflow is two processes, which have to agree."""
    made = Stack.make(
        "compose",
        tmp_path_factory.mktemp("groups"),
        # A page's session is renewed as the token ends, and not a minute before.
        mlflow={"workers": 2, "env": {"OIDC_SESSION_EXPIRY_LEEWAY_SECONDS": "0"}},
        realm={
            "lifetimes": {"accessTokenSeconds": SHORTER},
            "groups": {"admins": ["mlflow-admins"], "users": ["mlflow-users", "mlflow-analysts"]},
            "serviceAccounts": [{"clientId": "ci", "groups": ["mlflow-users"]}],
        },
    )
    with made.running():
        yield made
