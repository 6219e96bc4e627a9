"""What each kind of token may do, and what is refused."""

from __future__ import annotations

from tests.e2e.harness import Client

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=10"


def test_an_admin_sees_every_experiment(client: Client) -> None:
    token = client.password_token("alice")["access_token"]
    names = [e["name"] for e in client.mlflow(SEARCH, token).json()["experiments"]]
    assert "Default" in names


def test_a_plain_user_sees_nothing_that_was_not_granted(client: Client) -> None:
    token = client.password_token("bob")["access_token"]
    answer = client.mlflow(SEARCH, token)
    assert answer.status_code == 200
    assert answer.json().get("experiments", []) == []


def test_nobody_is_let_in_without_a_token(client: Client) -> None:
    assert client.mlflow(SEARCH).status_code == 401
