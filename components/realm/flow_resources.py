"""Login flows of a realm, written as pulumi-keycloak resources."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pulumi
import pulumi_keycloak as keycloak
from pulumi_keycloak import authentication

from components.realm.flows import Execution, Factors, Flow, alias_of, config_name, places
from components.realm.kept import Part
from components.realm_words import BASIC


def make_flows(
    flows: Sequence[Flow],
    logical: Callable[[str], str],
    owner: keycloak.Realm,
    child: pulumi.ResourceOptions,
    inside: Callable[[pulumi.Resource], pulumi.ResourceOptions],
    roles: Sequence[pulumi.Resource],
) -> None:
    """Flows, and that the realm uses them. child: options of what is in the realm. inside: of what is in a resource.

    roles: what has to be there before somebody is asked whether they have it.
    A flow has another name when it does something else: the new one is there, and in use, before the old one goes.
    """
    if not flows:
        return
    realm = owner.id
    tops, parts = {}, []
    for flow in flows:
        name = logical(f"flow-{flow.alias}")
        waits = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=list(roles)))
        made = authentication.Flow(name, realm_id=realm, alias=flow.alias, provider_id=BASIC, opts=waits)
        tops[flow.binding] = made.alias
        parts += _steps(flow.alias, name, flow.alias, flow.steps, realm, made, _going_with(made, inside))
    # A flow without all of its steps asks for less.
    after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=parts))
    authentication.Bindings(
        logical("flows"),
        realm_id=realm,
        browser_flow=tops["browserFlow"],
        direct_grant_flow=tops["directGrantFlow"],
        reset_credentials_flow=tops["resetCredentialsFlow"],
        # The provider gives those that are not named Keycloak's own (`setRealmFlowBindings`).
        registration_flow=owner.registration_flow,
        client_authentication_flow=owner.client_authentication_flow,
        docker_authentication_flow=owner.docker_authentication_flow,
        first_broker_login_flow=owner.first_broker_login_flow,
        opts=after,
    )


def _going_with(
    top: pulumi.Resource, inside: Callable[[pulumi.Resource], pulumi.ResourceOptions]
) -> Callable[[pulumi.Resource], pulumi.ResourceOptions]:
    """Options of what is in a flow: Keycloak removes it with the flow, and fails where both are removed at once."""

    def options(parent: pulumi.Resource) -> pulumi.ResourceOptions:
        found = inside(parent)
        found.deleted_with = top
        return found

    return options


def _steps(
    top: str,
    name: str,
    alias: str,
    steps: Sequence[Execution],
    realm: pulumi.Output[str],
    parent: authentication.Flow | authentication.Subflow,
    inside: Callable[[pulumi.Resource], pulumi.ResourceOptions],
) -> list[pulumi.Resource]:
    """What a flow does. top, name: the alias and the logical name of the flow at the top. alias: of the one with it."""
    found: list[pulumi.Resource] = []
    for priority, step in places(steps):
        if step.steps:
            inner = alias_of(top, step.name)
            flow = authentication.Subflow(
                f"{name}-{step.name}",
                realm_id=realm,
                alias=inner,
                parent_flow_alias=parent.alias,
                provider_id=BASIC,
                requirement=step.requirement,
                priority=priority,
                opts=_after(found, inside(parent)),
            )
            found += [flow, *_steps(top, f"{name}-{step.name}", inner, step.steps, realm, flow, inside)]
            continue
        made = authentication.Execution(
            f"{name}-{priority}",
            realm_id=realm,
            parent_flow_alias=parent.alias,
            authenticator=step.does,
            requirement=step.requirement,
            priority=priority,
            opts=_after(found, inside(parent)),
        )
        found.append(made)
        if step.config:
            config = authentication.ExecutionConfig(
                f"{name}-{priority}-config",
                realm_id=realm,
                execution_id=made.id,
                alias=config_name(alias, priority),
                config=dict(step.config),
                opts=inside(made),
            )
            found.append(config)
    return found


def _after(found: Sequence[pulumi.Resource], options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """One step is made after the other: Keycloak numbers them."""
    return pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=list(found[-1:])))


def passkeys(factors: Factors) -> Part:
    """The declared part of the policy, in the provider's words."""
    kept = {
        "PasskeysEnabled": "passwordlessPasskeysEnabled",
        "UserVerificationRequirement": "userVerificationRequirement",
    }
    told = {ours: factors.passkeys[f"webAuthnPolicyPasswordless{name}"] for name, ours in kept.items()}
    # The provider (v6.13) has no word for `ResidentKey`, and makes a realm in which it is not specified.
    return Part({**told, "requireResidentKey": "Yes"})
