"""Does Keycloak ask for the second factor that the settings require, and count sessions as they say?"""

from __future__ import annotations

from collections.abc import Iterator

from components.realm.flows import as_import as flows_as_import
from settings.realm import Realm
from stackctl.clients.keycloak_admin import KeycloakAdmin
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check
from stackctl.realm.actual import Actual
from stackctl.realm.flows import changed


@check(Needs.STACK)
def login_flows(seen: Observed) -> Iterator[Finding]:
    """The login flows that the realm uses, and what is in them."""
    flows = seen.spec.realm.flows if seen.spec is not None else ()
    if not flows or seen.settings is None or seen.realm_admin is None:
        return
    admin, fix = seen.realm_admin, seen.remake("")
    kind, declared = _declared(seen.settings.realm)
    realm = admin.realm()
    other = {flow.binding: str(realm.get(flow.binding)) for flow in flows if realm.get(flow.binding) != flow.alias}
    steps = changed(flows_as_import(flows), Actual(admin))
    if other:
        used = ", ".join(f"{binding} is {alias}" for binding, alias in other.items())
        cause = (
            "the YAML was applied without `stackctl`, the last `up` failed, or somebody chose other flows in Keycloak"
        )
        yield Finding(kind, f"{declared}, and {used}", cause, fix)
    elif steps:
        evidence = f"somebody changed {', '.join(steps)} in Keycloak"
        cause = "a step more, less or other than declared may let people in who are not to come in"
        yield Finding(kind, evidence, cause, fix)
    yield from _past_them(seen, admin, kind)


def _declared(realm: Realm) -> tuple[str, str]:
    """What is found where a flow is another one, and the setting that asks for it."""
    if realm.second_factor and realm.second_factor.required != "nobody":
        return "second-factor", f"realm.secondFactor.required is {realm.second_factor.required}"
    most = realm.session_limit.per_person if realm.session_limit else 0
    return "session-limit", f"realm.sessionLimit.perPerson is {most}"


def _past_them(seen: Observed, admin: KeycloakAdmin, kind: str) -> Iterator[Finding]:
    """What leads past the flows of the realm."""
    providers = [row["alias"] for row in admin.get("/identity-provider/instances") if row.get("enabled", True)]
    if providers:
        names, fix = ", ".join(providers), "remove the provider in Keycloak"
        if kind == "second-factor":
            evidence = f"people of {names} log in without the factor that is required here"
            cause = "Keycloak asks them for none, and links an account that is here by its password or by mail"
            yield Finding(kind, evidence, cause, f"{fix}, or require the factor there")
        else:
            cause = "Keycloak asks the flows of the provider, and not those of the realm"
            yield Finding(kind, f"people of {names} log in without being counted", cause, fix)
    spec = seen.spec.realm if seen.spec is not None else None
    ours = {spec.server.client_id, spec.cli.client_id} if spec else set()
    for client in admin.clients():
        if client.client_id in ours and client.representation.get("authenticationFlowBindingOverrides"):
            evidence = f"the client {client.client_id} has login flows of its own"
            cause = "somebody chose them in Keycloak; what they ask for counts there, and not what the realm's do"
            fix = f"Keycloak's console: Clients, {client.client_id}, Advanced, Authentication flow overrides"
            yield Finding(kind, evidence, cause, fix)
