"""Does Keycloak ask for the second factor that the settings require?"""

from __future__ import annotations

from collections.abc import Iterator

from components.realm.flows import as_import as flows_as_import
from stackctl.clients.keycloak_admin import KeycloakAdmin
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
    admin, fix = seen.realm_admin, f"stackctl up --stack {seen.stack}"
    realm = admin.realm()
    other = {
        flow.binding: str(realm.get(flow.binding)) for flow in factors.flows if realm.get(flow.binding) != flow.alias
    }
    steps = changed(flows_as_import(factors.flows), Actual(admin))
    if other:
        used = ", ".join(f"{binding} is {alias}" for binding, alias in other.items())
        evidence = f"realm.secondFactor.required is {declared.required}, and {used}"
        cause = (
            "the YAML was applied without `stackctl`, the last `up` failed, or somebody chose other flows in Keycloak"
        )
        yield Finding("second-factor", evidence, cause, fix)
    elif steps:
        evidence = f"somebody changed {', '.join(steps)} in Keycloak"
        cause = "a step more, less or other than declared may let people in without the factor"
        yield Finding("second-factor", evidence, cause, fix)
    yield from _past_them(seen, admin)


def _past_them(seen: Observed, admin: KeycloakAdmin) -> Iterator[Finding]:
    """What leads past the flows of the realm."""
    providers = [row["alias"] for row in admin.get("/identity-provider/instances") if row.get("enabled", True)]
    if providers:
        evidence = f"people of {', '.join(providers)} log in without the factor that is required here"
        cause = "Keycloak asks them for none, and links an account that is here by its password or by mail"
        yield Finding("second-factor", evidence, cause, "remove the provider in Keycloak, or require the factor there")
    spec = seen.spec.realm if seen.spec is not None else None
    names = {spec.server.client_id, spec.cli.client_id} if spec else set()
    for client in admin.clients():
        if client.client_id in names and client.representation.get("authenticationFlowBindingOverrides"):
            evidence = f"the client {client.client_id} has login flows of its own"
            cause = "somebody chose them in Keycloak; what they ask for counts there, and not what the realm's do"
            fix = f"Keycloak's console: Clients, {client.client_id}, Advanced, Authentication flow overrides"
            yield Finding("second-factor", evidence, cause, fix)
