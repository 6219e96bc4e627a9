"""The doctor's look at the login flows that a realm uses."""

from __future__ import annotations

from typing import Any

import pytest

from components.realm_words import BUILT_IN
from stackctl.doctor.checks_factors import login_flows
from stackctl.doctor.observed import Observed
from tests.unit.doctor import with_realm
from tests.unit.fake_realm import FakeRealm


@pytest.mark.parametrize(
    ("required", "other", "told"),
    [
        ("everybody", {}, None),
        ("everybody", {"browserFlow": "browser"}, "browserFlow is browser"),
        ("administrators", dict(BUILT_IN), "directGrantFlow is direct grant"),
        ("nobody", dict(BUILT_IN), None),
    ],
)
def test_flows_that_ask_for_less_are_told(required: str, other: dict[str, Any], told: str | None) -> None:
    seen, realm = stack(required)
    realm.settings |= other
    found = list(login_flows(seen))
    assert [one.id for one in found] == ["second-factor"] * (told is not None)
    assert told is None or told in found[0].evidence


def test_a_step_that_somebody_added_is_told() -> None:
    seen, realm = stack("everybody")
    alias = realm.settings["browserFlow"]
    realm.request("POST", f"/authentication/flows/{alias}/executions/execution", json={"provider": "allow-access"})
    (found,) = login_flows(seen)
    assert alias in found.evidence


def test_what_leads_past_the_flows_is_told() -> None:
    seen, realm = stack("administrators")
    realm.providers["github"] = {"alias": "github", "enabled": True, "config": {}}
    client = realm.named("clients", "clientId", "mlflow-cli")
    client["authenticationFlowBindingOverrides"] = {"browser": "some-flow"}
    told = [one.evidence for one in login_flows(seen)]
    assert len(told) == 2
    assert "people of github" in told[0]
    assert "mlflow-cli has login flows of its own" in told[1]


def test_a_limit_of_sessions_that_is_passed_by_is_told() -> None:
    seen, realm = stack("nobody", sessionLimit={"perPerson": 2})
    assert list(login_flows(seen)) == []
    realm.settings["browserFlow"] = "browser"
    realm.providers["github"] = {"alias": "github", "enabled": True, "config": {}}
    told = [(one.id, one.evidence) for one in login_flows(seen)]
    assert told == [
        ("session-limit", "realm.sessionLimit.perPerson is 2, and browserFlow is browser"),
        ("session-limit", "people of github log in without being counted"),
    ]
    both, _ = stack("everybody", sessionLimit={"perPerson": 2})
    both.__dict__["realm_admin"] = realm
    assert {one.id for one in login_flows(both)} == {"second-factor"}


def stack(required: str, **more: Any) -> tuple[Observed, FakeRealm]:
    """A stack, and its realm after `up`."""
    return with_realm({"secondFactor": {"required": required}, **more})
