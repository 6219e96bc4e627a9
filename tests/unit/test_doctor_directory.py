"""The doctor's look at LDAP directories, as Keycloak finds them."""

from __future__ import annotations

from typing import Any

import pytest

from components.realm_words import LET_IN, REACHED
from stackctl.doctor.checks_directory import directory
from tests.samples import settings
from tests.unit.doctor import observed

LDAP = {
    "name": "acme", "urls": ["ldaps://ldap.x.io"], "usersDn": "dc=x",
    "bindDn": "cn=k,dc=x", "bindPassword": "operators-own-ldap",
}  # fmt: skip
CONFIG = {
    "connectionUrl": ["ldaps://ldap.x.io"], "authType": ["simple"], "bindDn": ["cn=k,dc=x"], "startTls": ["false"],
    "useTruststoreSpi": ["always"], "connectionTimeout": [],
}  # fmt: skip
THERE = {"name": "acme", "id": "1", "providerId": "ldap", "config": CONFIG}
OTHER = {"name": "acme", "id": "2", "providerId": "kerberos", "config": {}}


class Admin:
    """A Keycloak that has these components, and cannot do what `refusals` names."""

    def __init__(self, rows: list[dict[str, Any]], refusals: dict[str, str]) -> None:
        self.rows, self.refusals, self.tried = rows, refusals, []  # type: ignore[var-annotated]

    def get(self, path: str, **params: Any) -> list[dict[str, Any]]:
        return self.rows

    def try_directory(self, trial: dict[str, str]) -> str:
        self.tried.append(trial)
        return self.refusals.get(trial["action"], "")


@pytest.mark.parametrize(
    ("rows", "refusals", "told"),
    [
        ([THERE], {}, None),
        ([], {}, "no directory acme"),
        ([OTHER], {}, "no directory acme"),
        ([THERE], {REACHED: "no way"}, "does not reach ldaps://ldap.x.io: no way"),
        ([THERE], {LET_IN: "no"}, "does not let cn=k,dc=x in: no"),
    ],
)
def test_each_directory_is_tried_with_the_password_that_keycloak_has(
    rows: list[dict[str, Any]], refusals: dict[str, str], told: str | None
) -> None:
    seen = observed(settings=settings({"realm": {"ldap": [LDAP]}}))
    admin = Admin(rows, refusals)
    seen.__dict__["realm_admin"] = admin
    found = list(directory(seen))
    assert [one.id for one in found] == ["directory"] * bool(told)
    assert told is None or told in found[0].evidence
    assert all((one["bindCredential"], one["componentId"]) == ("**********", "1") for one in admin.tried)
    assert "operators-own" not in str(found)


def test_without_directories_nothing_is_asked() -> None:
    seen = observed(settings=settings({}))
    seen.__dict__["realm_admin"] = None
    assert list(directory(seen)) == []
