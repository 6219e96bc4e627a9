"""The data of a stack on a Docker engine: its volumes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from platforms.docker import daemon
from platforms.docker.plan import DockerPlan
from platforms.inventory import InventoryError
from platforms.labels import LABEL_COMPONENT
from platforms.places import Held, OnVolume

# What ends the name of a volume that only carries a workload's files (`platforms.docker.plan.file_volumes`).
_FILES = re.compile(r"-[0-9a-f]{8}")


class DockerStores:
    """The volumes of a stack by its labels, but for those that carry files and those without a name."""

    def __init__(self, plan: DockerPlan) -> None:
        self._plan = plan

    def named(self, on: OnVolume) -> str:
        return f"volume {self._plan.physical(f'{on.workload}-{on.volume}')}"

    def held(self) -> Sequence[Held]:
        labels = f'{{{{.Name}}}}\t{{{{.Label "{LABEL_COMPONENT}"}}}}'
        of_stack = daemon.of_stack(self._plan.project, self._plan.stack)
        try:
            listed = daemon.docker("volume", "ls", *of_stack, "--format", labels, timeout=daemon.ANSWER_SECONDS)
        except daemon.DockerError as error:
            raise InventoryError(str(error)) from None
        used = {self._plan.physical(f"{w.name}-{volume.name}") for w in self._plan.workloads for volume in w.volumes}
        return [
            Held(f"volume {name}", OnVolume(component, slug), f"docker volume rm {name}", name in used)
            for name, component, slug in self._rows(listed)
        ]

    def _rows(self, listed: str) -> list[tuple[str, str, str]]:
        rows = []
        for line in listed.splitlines():
            name, _, component = line.partition("\t")
            own = self._plan.physical(f"{component}-")
            # Scratch that Compose handed on has a name of the engine's, and labels that are not this stack's.
            if component and name.startswith(own) and not _FILES.search(name, len(own) - 1):
                rows.append((name, component, name.removeprefix(own)))
        return rows
