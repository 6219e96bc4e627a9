"""What the Pulumi engine needs of a platform, and the secrets it generates for the stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pulumi
import pulumi_random as random

from platforms.places import Held, Stores
from platforms.secrets import MIXTURE, Secret, SecretText, Written
from platforms.workload import Workload
from problems import Problem

# What a generated password says of its signs.
_SIGNS = ["special", "overrideSpecial", "minLower", "minUpper", "minNumeric", "minSpecial"]


@dataclass(frozen=True)
class Scope:
    """One instance of the stack in a Pulumi program.

    name: the first part of every logical name, so that several instances live in one program; empty for the only one.
    opts: options of what the instance registers first: its parent among them.
    """

    name: str = ""
    opts: pulumi.ResourceOptions | None = None

    def logical(self, name: str) -> str:
        """The logical name of a resource of this instance."""
        return f"{self.name}-{name}" if self.name else name

    def merged(self, opts: pulumi.ResourceOptions | None = None) -> pulumi.ResourceOptions:
        """The options of the instance, and more."""
        return pulumi.ResourceOptions.merge(self.opts, opts)


# The only instance of a program: its names have no first part, and it belongs to the stack itself.
ONLY = Scope()


@dataclass(frozen=True)
class Deployed:
    """A workload on its target.

    ready: its name, known once it serves. What depends on a running server derives from this output.
    data: what holds its data, by the name of the workload's volume; its removal takes the data with it.
    """

    ready: pulumi.Output[str]
    data: Mapping[str, pulumi.Resource]


class EnginePlatform(Protocol):
    """Makes workloads real through Pulumi resources.

    inside: what follows the name of a workload where programs beside the stack reach it; empty where they do not.
    """

    @property
    def inside(self) -> str: ...

    def check(self, workloads: Sequence[Workload]) -> Checked:
        """Ask the target whether it can honour these workloads; nothing is created."""
        ...

    def stores(self, workloads: Sequence[Workload]) -> Stores:
        """The data of these workloads on the target."""
        ...


@dataclass(frozen=True)
class Checked:
    """Workloads that a target was asked about: the only way to what they are made on.

    problems: what the target cannot honour.
    prepare: registers what the workloads share: networks, a namespace, the rules in it.
    """

    problems: Sequence[Problem]
    prepare: Callable[[Scope], Site]


class Site(Protocol):
    """A target with all that workloads share on it."""

    def share(self, values: Mapping[str, SecretText], secrets: Secrets) -> None:
        """Let other programs of the target read these, where it has a store of secrets for that."""
        ...

    def deploy(self, workload: Workload, secrets: Secrets, parent: pulumi.Resource) -> Deployed:
        """Register the resources of one workload below `parent`."""
        ...

    def keep(self, held: Held, parent: pulumi.Resource) -> None:
        """Register data of before that no workload uses, as they stand: what the program does not name the engine
        removes."""
        ...


class Secrets(pulumi.ComponentResource):
    """The stack's secrets: generated once, encrypted in state, known by name."""

    def __init__(self, name: str, scope: Scope) -> None:
        super().__init__("mlflow-sso:index:Secrets", scope.logical(name), None, scope.merged())
        self._scope = scope
        self._values: dict[str, pulumi.Output[str]] = {}
        self._made: dict[str, pulumi.Resource] = {}
        self.register_outputs({})

    def value(self, secret: Secret) -> pulumi.Output[str]:
        """A secret output: the operator's value, or one generated at the first `up`."""
        if secret.name not in self._values:
            if secret.value is not None:
                self._values[secret.name] = pulumi.Output.secret(secret.value)
            else:
                made = random.RandomPassword(
                    self._scope.logical(secret.name),
                    length=secret.length,
                    special=secret.mixed,
                    override_special=MIXTURE.specials if secret.mixed else None,
                    min_lower=MIXTURE.lower if secret.mixed else None,
                    min_upper=MIXTURE.upper if secret.mixed else None,
                    min_numeric=MIXTURE.digits if secret.mixed else None,
                    min_special=MIXTURE.special if secret.mixed else None,
                    # A value that depends on nothing is never made anew; one of the first version depends on nothing.
                    keepers={"version": str(secret.version)} if secret.version > 1 else None,
                    opts=pulumi.ResourceOptions(
                        parent=self,
                        additional_secret_outputs=["result", "bcryptHash"],
                        # Values of before, without such signs, stay as they are.
                        ignore_changes=_SIGNS if secret.mixed else None,
                    ),
                )
                self._made[secret.name] = made
                self._values[secret.name] = pulumi.Output.secret(made.result)
        return self._values[secret.name]

    def generated(self, secrets: Iterable[Secret]) -> list[pulumi.Resource]:
        """What holds those of these secrets that are generated.

        Protected data depends on it: the engine ends a `destroy` at what it may not remove, and what that depends on
        stays. Without its secrets the data would be there, and of no use.
        """
        wanted = {secret.name: secret for secret in secrets if secret.kept is None and secret.value is None}
        for secret in wanted.values():
            self.value(secret)
        return [self._made[name] for name in wanted]

    def text(self, text: SecretText) -> pulumi.Output[str]:
        """The text with its secrets filled in, itself a secret."""
        if text.alone is not None:
            return self.value(text.alone)

        def plain(part: str) -> pulumi.Input[str]:
            return part

        def written(part: Written) -> pulumi.Input[str]:
            return self.value(part.secret).apply(part.spelt)

        return pulumi.Output.secret(pulumi.Output.concat(*text.fold(plain, self.value, written)))
