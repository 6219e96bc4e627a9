"""Does Keycloak ask for the second factor that the settings require?"""

from __future__ import annotations

from collections.abc import Iterator

from components.realm.flows import as_import as flows_as_import
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check
from stackctl.realm.actual import Actual
from stackctl.realm.flows import changed


@check(Needs.STACK)
def second_factor(seen: Observed) -> Iterator[Finding]:
    """The login flows that the realm uses, and what is in them."""
    declared = seen.settings.realm.second_factor if seen.settings is not None else None
    factors = seen.spec.realm.factors if seen.spec is not None else None
    if declared is None or factors is None or not factors.flows or seen.realm_admin is None:
        return
    realm = seen.realm_admin.realm()
    other = {
        flow.binding: str(realm.get(flow.binding)) for flow in factors.flows if realm.get(flow.binding) != flow.alias
    }
    if other:
        used = ", ".join(f"{binding} is {alias}" for binding, alias in other.items())
        evidence = f"realm.secondFactor.required is {declared.required}, and {used}"
        cause = (
            "the YAML was applied without `stackctl`, the last `up` failed, or somebody chose other flows in Keycloak"
        )
        yield Finding("second-factor", evidence, cause, f"stackctl up --stack {seen.stack}")
        return
    other_steps = changed(flows_as_import(factors.flows), Actual(seen.realm_admin))
    if other_steps:
        evidence = f"somebody changed {', '.join(other_steps)} in Keycloak"
        cause = "a step more, less or other than declared may let people in without the factor"
        fix = f"stackctl up --stack {seen.stack}; under Pulumi delete the flow in Keycloak first, and use --refresh"
        yield Finding("second-factor", evidence, cause, fix)
