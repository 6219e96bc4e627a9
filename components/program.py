"""The stack as Pulumi components: the same data that `render` writes, made real by the engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pulumi

from components.keycloak import SERVER as KEYCLOAK
from components.postgres import DATA_VOLUME, keycloak_database
from components.stack import StackSpec, stack_spec
from platforms.secrets import Secret
from platforms.select import engine_platform
from platforms.site import ONLY, Scope, Secrets, Site
from platforms.workload import Workload
from problems import StackError
from settings import Settings

if TYPE_CHECKING:
    from components.realm.resources import KeycloakRealm

# Seconds for what the program has said so far to reach the engine, which starts its providers, each a process of its
# own, while the rest of the program runs.
_TURN = 0.005


class Component(pulumi.ComponentResource):
    """A recognisable part of the stack: one workload and all that it is made of."""

    def __init__(
        self,
        workload: Workload,
        site: Site,
        secrets: Secrets,
        scope: Scope,
    ) -> None:
        kind = "".join(part.capitalize() for part in workload.name.split("-"))
        super().__init__(f"mlflow-sso:index:{kind}", scope.logical(workload.name), None, scope.merged())
        deployed = site.deploy(workload, secrets, self)
        self.ready, self.data = deployed.ready, deployed.data
        self.register_outputs({"ready": self.ready})


async def deploy(settings: Settings, project: str, stack: str, scope: Scope = ONLY) -> dict[str, pulumi.Input[object]]:
    """Register every resource; returns the stack's outputs. `pulumi.run` awaits it.

    project, stack: scope every physical name, so two instances of one program take two names of stacks.
    scope: where the logical names of this instance begin, and what its resources belong to.
    Raises StackError, before the first resource, when the target cannot honour what is asked.
    """
    spec = stack_spec(settings)
    platform = engine_platform(settings, project, stack)
    asked = asyncio.create_task(asyncio.to_thread(platform.check, spec.workloads))
    await asyncio.sleep(_TURN)
    # Keycloak's SDK takes as long to import as the target to answer.
    from components.realm.resources import KeycloakRealm

    checked = await asked
    if checked.problems:
        raise StackError(f"Stack {stack} cannot be brought up here; nothing was created.", checked.problems)
    # First, because the engine starts its providers one by one, in this order, and Docker's takes the longest.
    site = checked.prepare(scope)
    secrets = Secrets("secrets", scope)
    # The engine makes one after the other, and Keycloak's provider waits for this one.
    secrets.value(spec.admin.client_secret)
    await asyncio.sleep(_TURN)
    site.share(spec.shared(platform.inside), secrets)
    components: dict[str, Component] = {}
    for workload in spec.workloads:
        components[workload.name] = Component(workload, site, secrets, scope)
        await asyncio.sleep(_TURN)
    keycloak = components.get(KEYCLOAK)
    database = components.get(keycloak_database(settings).host) if keycloak else None
    realm = KeycloakRealm(
        "realm",
        spec,
        keycloak.ready if keycloak else None,
        secrets,
        removed_with=database.data.get(DATA_VOLUME) if database else None,
        scope=scope,
    )
    return outputs(spec, components["mlflow"].ready, realm, secrets, platform.inside)


def outputs(
    spec: StackSpec, mlflow_ready: pulumi.Output[str], realm: KeycloakRealm, secrets: Secrets, inside: str = ""
) -> dict[str, pulumi.Input[object]]:
    """The outputs with every `Secret` in place of its name; those that hold one are secret.

    inside: what follows a workload's name for programs beside the stack.
    """

    def resolve(value: object) -> object:
        if isinstance(value, Secret):
            return secrets.value(value)
        if isinstance(value, dict):
            return {key: resolve(inner) for key, inner in value.items()}
        return value

    resolved: dict[str, pulumi.Input[object]] = {name: resolve(value) for name, value in spec.outputs(inside).items()}
    resolved["mlflow_url"] = mlflow_ready.apply(lambda _: spec.mlflow_url)
    return resolved
