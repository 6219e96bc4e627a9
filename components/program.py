"""The stack as Pulumi components: the same data that `render` writes, made real by the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import pulumi

from components.keycloak import SERVER as KEYCLOAK
from components.postgres import DATA_VOLUME
from components.stack import stack_spec
from platforms.inventory import InventoryError
from platforms.places import Held, Stores
from platforms.secrets import Secret
from platforms.select import engine_platform
from platforms.site import ONLY, Scope, Secrets, Site
from platforms.workload import Workload
from problems import Problem, StackError
from settings import Settings

# Seconds for what the program has said so far to reach the engine, which starts its providers, each a process of its
# own, while the rest of the program runs.
_TURN = 0.005
# Who reads it in a refusal of the engine knows how to go on.
PROTECTION = "stackctl-destroy-removes-this-stack"
# A function of the engine's own: what a stack put out at its last update.
_OUTPUTS = "pulumi:pulumi:readStackOutputs"


class Part(pulumi.ComponentResource):
    """A recognisable part of the stack, by the name of its workload."""

    def __init__(self, name: str, scope: Scope) -> None:
        kind = "".join(part.capitalize() for part in name.split("-"))
        super().__init__(f"mlflow-sso:index:{kind}", scope.logical(name), None, scope.merged())


class Component(Part):
    """One workload and all that it is made of."""

    def __init__(
        self,
        workload: Workload,
        site: Site,
        secrets: Secrets,
        scope: Scope,
    ) -> None:
        super().__init__(workload.name, scope)
        deployed = site.deploy(workload, secrets, self)
        self.ready, self.data = deployed.ready, deployed.data
        self.register_outputs({"ready": self.ready})


class Protection(pulumi.ComponentResource):
    """What the engine removes first of a stack, or, where the stack's data are protected, refuses to remove.

    Its refusal shows this name, and nothing has been removed by then: every resource comes before this one. It is there
    for development too, because the engine would refuse to part with it where a stack becomes one for development.
    """

    def __init__(self, protects: bool, before: Sequence[pulumi.Resource], scope: Scope) -> None:
        # What depends on a component depends on its children, but not on what those are the parents of.
        opts = pulumi.ResourceOptions(protect=protects, depends_on=[one for part in before for one in _within(part)])
        super().__init__("mlflow-sso:index:Protection", scope.logical(PROTECTION), None, scope.merged(opts))
        self.register_outputs({})


def _within(resource: pulumi.Resource) -> Iterator[pulumi.Resource]:
    yield resource
    for child in resource._childResources:
        yield from _within(child)


async def deploy(settings: Settings, project: str, stack: str, scope: Scope = ONLY) -> dict[str, pulumi.Input[object]]:
    """Register every resource; returns the stack's outputs. `pulumi.run` awaits it.

    project, stack: scope every physical name, so two instances of one program take two names of stacks.
    scope: where the logical names of this instance begin, and what its resources belong to.
    Raises StackError, before the first resource, when the target cannot honour what is asked.
    """
    spec = stack_spec(settings)
    platform = engine_platform(settings, project, stack)
    stores = platform.stores(spec.workloads)
    asked = asyncio.gather(asyncio.to_thread(platform.check, spec.workloads), _held(stores), _before(scope))
    await asyncio.sleep(_TURN)
    # Keycloak's SDK takes as long to import as the target to answer.
    from components.realm.resources import KeycloakRealm

    checked, held, before = await asked
    problems = list(checked.problems)
    if isinstance(held, InventoryError):
        # Whatever keeps the target from an answer is told first.
        problems = problems or [Problem(f"data of stack {stack}", "", f"expected an answer: {held}")]
        held = []
    problems += await asyncio.to_thread(spec.moves.problems, before, stores, held)
    if problems:
        raise StackError(f"Stack {stack} cannot be brought up here; nothing was created or changed.", problems)
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
    former = _keep(site, [one for one in held if not one.used], components, scope)
    keycloak = components.get(KEYCLOAK)
    database = components.get(spec.keycloak_data)
    realm = KeycloakRealm(
        "realm",
        spec,
        keycloak.ready if keycloak else None,
        secrets,
        removed_with=database.data.get(DATA_VOLUME) if database else None,
        scope=scope,
    )
    Protection(spec.protects, (*components.values(), *former, realm), scope)
    shown = spec.outputs(platform.inside, spec.moves.lines(stores))
    return outputs(shown, components["mlflow"].ready, secrets)


def _keep(site: Site, held: Sequence[Held], components: Mapping[str, Component], scope: Scope) -> list[Part]:
    """Register the data that the settings have given up, below what they belonged to; returns what is there for them
    alone. Nothing protects them: whoever gave them up removes them by hand, and the engine then has to forget them.
    """
    gone = dict.fromkeys(one.on.workload for one in held if one.on.workload not in components)
    former = {name: Part(name, scope) for name in gone}
    for one in held:
        site.keep(one, components.get(one.on.workload) or former[one.on.workload])
    for part in former.values():
        part.register_outputs({})
    return list(former.values())


async def _held(stores: Stores) -> Sequence[Held] | InventoryError:
    """The data that the target has of the stack, or why it does not tell."""
    try:
        return await asyncio.to_thread(stores.held)
    except InventoryError as error:
        return error


async def _before(scope: Scope) -> Mapping[str, str]:
    """Where the data were at the last `up`, as its outputs say; empty where they say nothing of it."""
    if scope is not ONLY:
        # Whoever has several instances in one program exports what he likes of each.
        return {}
    stack = pulumi.get_stack()
    # A StackReference would ask the same, and keep a copy of every output in the state.
    try:
        name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
        found = await pulumi.runtime.invoke_async(_OUTPUTS, {"name": name})
    except Exception:
        try:
            # Backends of the first layout know neither organizations nor projects.
            found = await pulumi.runtime.invoke_async(_OUTPUTS, {"name": stack})
        except Exception as error:
            problem = Problem("outputs of the last update", "", f"expected the engine to tell them: {error}")
            raise StackError(f"Stack {stack} may have data elsewhere; nothing was changed.", [problem]) from None
    data = ((found or {}).get("outputs") or {}).get("data") or {}
    return {str(kind): str(line) for kind, line in data.items()} if isinstance(data, Mapping) else {}


def outputs(
    shown: Mapping[str, object], mlflow_ready: pulumi.Output[str], secrets: Secrets
) -> dict[str, pulumi.Input[object]]:
    """The outputs with every `Secret` in place of its name; those that hold one are secret."""

    def resolve(value: object) -> object:
        if isinstance(value, Secret):
            return secrets.value(value)
        if isinstance(value, dict):
            return {key: resolve(inner) for key, inner in value.items()}
        return value

    resolved: dict[str, pulumi.Input[object]] = {name: resolve(value) for name, value in shown.items()}
    url = resolved["mlflow_url"]
    resolved["mlflow_url"] = mlflow_ready.apply(lambda _: url)
    return resolved
