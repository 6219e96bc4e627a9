"""Runs the whole program on the SDK's mocks and keeps what it registered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any
from unittest.mock import Mock, patch

import pulumi
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto import resource_pb2

from components.program import deploy
from settings import PROJECT, Settings

# What the mock generates contains this; no plain value of a stack does.
GENERATED = "generated-value-of"


@dataclass(frozen=True)
class Registered:
    """A resource as the engine was asked for it.

    inputs: plain values. secret: the inputs that were marked as secret. aliases: URNs that it had before.
    depends: the URNs of what it depends on, by an input or by the option dependsOn.
    deleted_first, replaced_on, retained: the options deleteBeforeReplace, replaceOnChanges and retainOnDelete.
    """

    type: str
    name: str
    parent: str
    inputs: Mapping[str, Any]
    secret: frozenset[str]
    secret_outputs: frozenset[str]
    provider: str
    deleted_with: str
    protect: bool = False
    ignored: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    depends: frozenset[str] = frozenset()
    deleted_first: bool = False
    replaced_on: tuple[str, ...] = ()
    retained: bool = False


@dataclass
class Run:
    """What one run of the program registered and exported."""

    resources: dict[str, Registered] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: set[str] = field(default_factory=set)

    def of_type(self, kind: str) -> dict[str, Registered]:
        """The resources of one type, by logical name."""
        return {r.name: r for r in self.resources.values() if r.type == kind}

    def path(self, urn: str) -> str:
        """A resource's place: the types from the root down to it, and its logical name."""
        resource = self.resources[urn]
        types = [resource.type]
        parent = resource.parent
        while parent in self.resources:
            types.insert(0, self.resources[parent].type)
            parent = self.resources[parent].parent
        return "$".join(types) + "::" + resource.name

    def former(self, urn: str) -> frozenset[str]:
        """The places that it had before, by its own aliases and by those of its parents, which the engine inherits."""
        resource = self.resources[urn]
        places = {alias.split("::", 2)[2] for alias in resource.aliases}
        if resource.parent in self.resources:
            parent = self.resources[resource.parent].name
            for place in self.former(resource.parent):
                types, _, name = place.rpartition("::")
                # A name that starts with the parent's starts with the parent's earlier one, too.
                own = name + resource.name.removeprefix(parent) if resource.name.startswith(parent) else resource.name
                places.add(f"{types}${resource.type}::{own}")
        return frozenset(places)


# What an update may ask of a server that is there then; a preview asks none. Of a client, there is Keycloak's own.
_ASKED = frozenset({
    "keycloak:index/getRealm:getRealm",
    "keycloak:openid/getClient:getClient",
})  # fmt: skip
# What a server has, by the token and a name that it is asked for; and of anybody whom it does not name, as of a realm,
# what Keycloak says of those that an earlier release has made.
There = Mapping[tuple[str, str], Mapping[str, Any]]
# What a program returns.
Outputs = Mapping[str, pulumi.Input[object]]
NOTHING: There = {}
_REALM: Mapping[str, Any] = {"rememberMe": False, "resetPasswordAllowed": False}
_PERSON: Mapping[str, Any] = {"enabled": True, "emailVerified": False}


class _Values(Mocks):
    def __init__(self, there: There, *, preview: bool, data: Mapping[str, str]) -> None:
        self._there, self._preview, self._data = there, preview, data

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        if args.token == "pulumi:pulumi:readStackOutputs":
            assert args.args["name"].count("/") == 2, "the whole name: organization, project and stack"
            return {"outputs": {"data": dict(self._data)} if self._data else {}}, []
        if self._preview or args.token not in _ASKED:
            raise AssertionError(f"the program asks {args.token} while it is being planned")
        if args.args.get("clientId") == "realm-management":
            return {**args.args, "id": "id-of-realm-management"}, []
        for key in ("username", "name", "clientId", "realm"):
            found = self._there.get((args.token, str(args.args.get(key))))
            if found is not None:
                return dict(found), []
        return dict(_REALM) if args.token.endswith(":getRealm") else {}, []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        made = dict(args.inputs)
        if args.typ == "random:index/randomPassword:RandomPassword":
            made["result"] = f"{GENERATED}-{args.name}"
        if args.typ == "keycloak:openid/client:Client":
            made["serviceAccountUserId"] = f"service-account-of-{args.name}"
        return f"id-of-{args.name}", made


class _Monitor(MockMonitor):
    """The SDK's monitor, which also keeps parents, secrecy and providers."""

    def __init__(self, run: Run, values: Mocks) -> None:
        super().__init__(values)
        self._run = run

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """With the whole chain of parents' types in it, as the engine has it; the SDK's mock keeps only one."""
        chain = "" if parent == "" else parent.split("::")[2] + "$"
        if chain == "pulumi:pulumi:Stack$":
            chain = ""
        return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{chain}{type_}::{name}"

    def GetDeploymentInfo(self, request: Any) -> Any:
        """Without alias specifications, so that the SDK itself spells every alias out, those of parents as well."""
        info = super().GetDeploymentInfo(request)  # type: ignore[no-untyped-call]
        info.supportedFeatures.remove(resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS)
        return info

    def RegisterResource(self, request: Any) -> Any:
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            raw = rpc.deserialize_properties(request.object)
            inputs = {key: rpc.unwrap_rpc_secret(value) for key, value in raw.items()}
            assert answer.urn not in self._run.resources, f"{answer.urn} is registered twice"
            self._run.resources[answer.urn] = Registered(
                type=request.type,
                name=request.name,
                parent=request.parent,
                inputs=inputs,
                secret=frozenset(key for key, value in raw.items() if rpc.is_rpc_secret(value)),
                secret_outputs=frozenset(request.additionalSecretOutputs),
                provider=request.provider,
                deleted_with=request.deletedWith,
                protect=request.protect,
                ignored=tuple(request.ignoreChanges),
                aliases=tuple(sorted(request.aliasURNs)),
                depends=frozenset(request.dependencies),
                deleted_first=request.deleteBeforeReplace,
                replaced_on=tuple(request.replaceOnChanges),
                retained=request.retainOnDelete,
            )
        return answer


_RUNS: list[tuple[Settings, str, Run]] = []


def run(settings: Settings, stack: str = "test") -> Run:
    """Run `deploy` to its end, once for equal settings. Needs an engine that `platform.check` finds fit."""
    for known, name, done in _RUNS:
        if (known, name) == (settings, stack):
            return done
    _RUNS.append((settings, stack, fresh_run(settings, stack)))
    return _RUNS[-1][2]


def fresh_run(
    settings: Settings,
    stack: str = "test",
    *,
    preview: bool = False,
    there: There = NOTHING,
    mail: Mapping[str, Any] | None = None,
    lost: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
) -> Run:
    """Run `deploy` to its end, whether or not equal settings were run before."""
    return run_program(
        lambda: deploy(settings, PROJECT, stack), stack, preview=preview, there=there, mail=mail, lost=lost, data=data
    )


def run_program(
    program: Callable[[], Outputs | Awaitable[Outputs]],
    stack: str = "test",
    *,
    preview: bool = False,
    there: There = NOTHING,
    mail: Mapping[str, Any] | None = None,
    lost: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
) -> Run:
    """Run a program to its end; it returns its outputs.

    mail: the mail server that the realm has. lost: groups that would go with their members.
    data: where the stack's data were at the last update.
    """
    done, values = Run(), _Values(there, preview=preview, data=data or {})
    _have_a_loop()
    pulumi.runtime.set_mocks(values, PROJECT, stack, preview, monitor=_Monitor(done, values))

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def whole() -> pulumi.Output[None]:
        async def collect() -> None:
            made = program()
            exported = await made if isawaitable(made) else made
            outputs = {name: pulumi.Output.from_input(value) for name, value in exported.items()}
            for name, output in outputs.items():
                done.outputs[name] = await output.future()
                if await output.is_secret():
                    done.secret_outputs.add(name)

        return pulumi.Output.from_input(collect())

    asked = Mock(
        mail_server=lambda _: mail,
        lost=lambda *_: [*lost],
        person=lambda _, name: there.get(("person", name), _PERSON),
        texts=lambda _, language: dict(there.get(("texts", language), NOTHING)),
        themes=lambda _: there.get(("themes", ""), NOTHING),
        action=lambda _, alias: there.get(("action", alias), NOTHING),
        directory=lambda _, name, *__: there.get(("directory", name), NOTHING),
    )
    with patch("components.realm.resources.Asked", return_value=asked):
        whole()
    return done


def _have_a_loop() -> None:
    """The SDK's tests ask for the loop of this thread, which an `asyncio.run` of another test has taken away."""
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())


def text(value: object) -> str:
    """Everything in a value, to look for something in."""
    return json.dumps(value, default=str, ensure_ascii=False)
