"""The data of a stack on a Docker engine: its volumes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from platforms.docker import daemon
from platforms.docker.plan import DockerPlan
from platforms.inventory import InventoryError
from platforms.labels import LABEL_COMPONENT
from platforms.places import Held, Home, OnVolume, on_platform

# The whole of what follows the component in the name of a volume that only carries its files, or its end
# (`platforms.docker.plan.file_volumes`).
_FILES = re.compile(r"(^|-)[0-9a-f]{8}$")


class DockerStores:
    """The volumes of a stack by its labels, but for those that carry files and those without a name."""

    def __init__(self, plan: DockerPlan) -> None:
        self._plan = plan

    def target(self) -> Mapping[str, Home]:
        return on_platform("docker")

    def named(self, on: OnVolume) -> str:
        return f"volume {self._plan.physical(f'{on.workload}-{on.volume}')}"

    def held(self) -> Sequence[Held]:
        labels = f'{{{{.Name}}}}\t{{{{.Label "{LABEL_COMPONENT}"}}}}'
        of_stack = daemon.of_stack(self._plan.project, self._plan.stack)
        try:
            listed = daemon.docker("volume", "ls", *of_stack, "--format", labels, timeout=daemon.ANSWER_SECONDS)
        except daemon.DockerError as error:
            raise InventoryError(str(error)) from None
        used = {OnVolume(w.name, volume.name) for w in self._plan.workloads for volume in w.volumes}
        return [Held(self.named(on), on, on in used) for on in self._rows(listed)]

    def _rows(self, listed: str) -> Iterator[OnVolume]:
        for line in listed.splitlines():
            name, _, component = line.partition("\t")
            own = self._plan.physical(f"{component}-")
            volume = name.removeprefix(own)
            # Scratch that Compose handed on has a name of the engine's.
            if component and name.startswith(own) and not _FILES.search(volume):
                yield OnVolume(component, volume)
