"""Every secret of a stack: one of each name, hidden in the outputs, and with what a new value costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components import mlflow, redis
from components.stack import HIDDEN, redacted, stack_spec
from platforms.rules import check_secrets
from platforms.secrets import Change, Kept, Secret
from problems import StackError
from settings import Settings
from tests.contract.kubernetes_samples import FETCHED, KEPT, SAMPLES
from tests.contract.kubernetes_samples import settings as on_kubernetes
from tests.samples import settings


def leaves(value: object, path: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        return {p: v for key, inner in value.items() for p, v in leaves(inner, f"{path}/{key}").items()}
    return {path: value}


def every_stack(samples: dict[str, Settings]) -> list[Settings]:
    return [*samples.values(), *(on_kubernetes(config) for config in (*SAMPLES.values(), FETCHED, KEPT))]


def test_outputs_hide_each_secret_and_nothing_else(samples: dict[str, Settings]) -> None:
    for given in every_stack(samples):
        outputs = stack_spec(given).outputs()
        told = leaves(redacted(outputs))
        for path, value in leaves(outputs).items():
            assert told[path] == (HIDDEN if isinstance(value, Secret) else value), path


def test_what_nobody_said_may_be_shown_is_hidden() -> None:
    """Whichever commit wrote it, and whatever stands there now: a name that is known shows plain values alone."""
    outputs = {
        "new": {"url": "x", "key": "s"},
        "users": {"a": {"token": "s", "groups": ["g", {"key": "s"}]}, "b": "s", "c": {"groups": {"key": "s"}}},
        "realm": {"x": "s"},
        "client_id": ["i"],
    }
    assert redacted(outputs) == {
        "new": HIDDEN,
        "users": {"a": {"token": HIDDEN, "groups": ["g", HIDDEN]}, "b": HIDDEN, "c": {"groups": HIDDEN}},
        "realm": HIDDEN,
        "client_id": ["i"],
    }


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        ({"length": 20}, "length"),
        ({"value": "given"}, "value"),
        ({"kept": Kept("there", "key")}, "kept"),
        ({"version": 2}, "version"),
        ({"change": Change.LOSES_DATA, "length": 20}, "length, change"),
    ],
)
def test_two_different_secrets_of_one_name_are_refused(other: dict[str, Any], differing: str) -> None:
    """The second one would be given the first one's value, wherever it stands."""
    first = Secret("redis-password")
    (problem,) = check_secrets([first, replace(first, **other), replace(first, **other)])
    assert str(problem) == f"secret redis-password: expected one secret of that name; two differ in {differing}"
    assert "given" not in str(problem), "the value of neither is shown"
    assert check_secrets([first, first, replace(first)]) == []


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (Secret("a", version=0), "version 0: expected 1 or more"),
        (Secret("a", version=2, value="x"), "version 2: expected 1: whoever gives the value gives a new one"),
        (Secret("a", version=2, kept=Kept("b", "c")), "version 2: expected 1: whoever gives the value gives a new one"),
        (
            Secret("a", version=2, change=Change.LOSES_DATA),
            "version 2: expected 1: what it encrypts could no longer be read",
        ),
    ],
)
def test_a_version_that_makes_no_sense_is_refused(secret: Secret, expected: str) -> None:
    assert [str(problem) for problem in check_secrets([secret])] == [f"secret a = {expected}"]


def test_a_stack_with_two_secrets_of_one_name_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part that is added later may take a name that is taken: in a workload, a client or a user of the realm."""
    monkeypatch.setattr(mlflow, "_SECRET_KEY", replace(redis.PASSWORD, length=7))
    with pytest.raises(StackError, match="nothing was created") as refusal:
        stack_spec(settings())
    assert "secret redis-password: expected one secret of that name" in str(refusal.value)


def test_each_secret_says_what_a_new_value_costs(samples: dict[str, Settings]) -> None:
    costs = {s.name: s.change for given in every_stack(samples) for s in stack_spec(given).every_secret}
    assert costs["mlflow-client-secret"] is Change.COORDINATED, "Keycloak and MLflow both hold it"
    assert costs["redis-password"] is Change.COORDINATED
    assert costs["mlflow-webhook-key"] is Change.LOSES_DATA, "rows are encrypted with it"
    assert costs["mlflow-session-key"] is costs["mlflow-secret-key"] is Change.ENDS_SESSIONS
    assert {costs[name] for name in costs if name.startswith("postgres-")} == {Change.COORDINATED}
