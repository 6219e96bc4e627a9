"""Can everybody accept the terms of use whom Keycloak asks to?"""

from __future__ import annotations

from collections.abc import Iterator

from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check
from stackctl.people.terms import asks_newcomers, read_only


@check(Needs.STACK)
def terms(seen: Observed) -> Iterator[Finding]:
    """Directories that Keycloak only reads, declared or not, in a realm that asks newcomers."""
    admin = seen.realm_admin
    if admin is None or not asks_newcomers(admin):
        return
    directories = read_only(admin, used=True)
    if directories:
        names = ", ".join(directories.values())
        evidence = f"newcomers are asked to accept the terms of use, and Keycloak only reads {names}"
        cause = "Keycloak cannot write down that they accept: each login of theirs ends in an error"
        yield Finding("terms", evidence, cause, "set realm.terms: nobody, and run `stackctl up`")
