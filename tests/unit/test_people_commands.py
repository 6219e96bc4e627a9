"""`stackctl users mend | ask-terms`: what is said, and what is done after a yes."""

from __future__ import annotations

import json

from tests.unit.fakes import Fake
from tests.unit.test_access_commands import administrated, home, run, server

__all__ = ["administrated", "home", "server"]


def test_people_are_asked_for_the_terms_after_a_yes(administrated: Fake) -> None:
    actions = [{"alias": "TERMS_AND_CONDITIONS", "enabled": True}]
    administrated.routes["GET /admin/realms/mlflow/authentication/required-actions"] = 200, actions
    administrated.routes["GET /admin/realms/mlflow/components"] = 200, []
    assert "Ask 1 person(s)" in run("users", "ask-terms", code=2).stderr
    assert not [one for one in administrated.asked if one.method == "PUT"]
    assert "1 person(s) are asked" in run("users", "ask-terms", "--yes").stderr
    told = [json.loads(one.body) for one in administrated.asked if one.method == "PUT"]
    assert told == [{"requiredActions": ["TERMS_AND_CONDITIONS"]}]


def test_who_cannot_be_asked_keeps_nobody_else_from_it(administrated: Fake) -> None:
    realm = "/admin/realms/mlflow"
    actions = [{"alias": "TERMS_AND_CONDITIONS", "enabled": True}]
    people = [{"id": name, "username": f"the-{name}"} for name in ("first", "second")]
    administrated.routes[f"GET {realm}/authentication/required-actions"] = 200, actions
    administrated.routes[f"GET {realm}/components"] = 200, []
    administrated.routes[f"GET {realm}/users"] = 200, people
    for one in people:
        administrated.routes[f"GET {realm}/users/{one['id']}"] = 200, one
    administrated.routes[f"PUT {realm}/users/first"] = 400, {"errorMessage": "no address"}
    administrated.routes[f"PUT {realm}/users/second"] = 204, ""
    told = run("users", "ask-terms", "--yes", code=1).stderr
    assert "1 person(s) are asked" in told
    assert "Not asked: the-first" in told


def test_mend_says_what_it_would_do_and_does_it_when_it_is_told(administrated: Fake) -> None:
    groups = "GET /admin/realms/mlflow/groups"
    administrated.routes[groups] = 200, [{"name": "mlflow-users", "id": "u"}, {"name": "mlflow-admins", "id": "a"}]
    administrated.routes["PUT /admin/realms/mlflow/users/1/groups/u"] = 204, ""
    told = run("users", "mend", "bob", "--dry-run", code=1).stderr
    assert "bob: joins mlflow-users" in told
    assert "bob: left: disabled in Keycloak: `stackctl users enable bob`" in told
    assert "needs a yes" in run("users", "mend", "bob", code=2).stderr
    assert not [one for one in administrated.asked if one.method == "PUT"]
    assert "1 thing(s) changed" in run("users", "mend", "bob", "--yes", code=1).stderr
    (asked,) = (one for one in administrated.asked if one.method == "PUT")
    assert asked.path.endswith("/users/1/groups/u")


def test_mend_knows_whom_it_is_told(administrated: Fake) -> None:
    assert "no user nobody" in run("users", "mend", "nobody", "--yes", code=2).stderr
