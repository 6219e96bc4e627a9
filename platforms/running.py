"""What runs of a stack on its target, whoever made it: for questions about the running thing, not its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from platforms.workload import Workload

# How long a command in a copy may take, where nobody says how long.
EXEC_SECONDS = 60


@dataclass(frozen=True)
class Instance:
    """One copy of a workload.

    name: as the target calls it. component: the workload's name.
    env: what it was given when it was made, without what its image brings. It holds secrets.
    ports: pairs of the container's port and the host's; None where the target opens no port of its own.
    memory_mib: its limit; 0 when there is none.
    """

    name: str
    component: str
    running: bool
    image: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: frozenset[tuple[int, int]] | None = frozenset()
    memory_mib: int = 0


@dataclass(frozen=True)
class Trouble:
    """What the target itself says is wrong with an object of the stack.

    kind: a finding's id, as `stackctl.doctor.findings` lists them.
    fix: the command that mends it; empty where the next `up` does.
    """

    kind: str
    evidence: str
    cause: str
    fix: str = ""


@dataclass(frozen=True)
class Answer:
    """What a command in a container came to."""

    code: int
    out: str
    error: str


class Running(Protocol):
    """Looks at a stack on one target. Methods raise `platforms.inventory.InventoryError`."""

    def instances(self, project: str, stack: str) -> list[Instance]:
        """Every copy of every workload, running or not."""
        ...

    def troubles(self, project: str, stack: str, defined: Sequence[Workload] = ()) -> list[Trouble]:
        """What only this target can know: why something does not run, restarts, waits or is refused.

        defined: what the stack should be; empty where that is not known.
        """
        ...

    def serving(self, project: str, stack: str, component: str) -> Instance | None:
        """A copy of a workload that runs, without its environment: for that nobody needs a right to see secrets."""
        ...

    def execute(
        self,
        instance: Instance,
        command: Sequence[str],
        secrets: Mapping[str, str] | None = None,
        seconds: int = EXEC_SECONDS,
    ) -> Answer:
        """Run a command in a copy, for so long at most: code 124 is that of one that took longer.

        `secrets` become its environment without standing in any command line.
        """
        ...

    def removal(self, instance: Instance) -> str:
        """The command that takes a copy away, so that the next `up` makes it from its definition."""
        ...

    def restart(self, instance: Instance) -> str:
        """The command that starts a copy's program anew."""
        ...

    def space(self, instance: Instance, path: str) -> str:
        """The command that shows what takes the disk that a copy sees at `path`."""
        ...

    def shell(self, instance: Instance, script: str) -> str:
        """The command with which an operator runs a script in a copy, reading standard input."""
        ...
