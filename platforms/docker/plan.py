"""What a workload becomes on a Docker engine, whoever makes it: names, networks, labels, limits.

The Pulumi platform and the rendered Compose file both read it, so a stack has the same objects by the same
names under either engine, and one command finds and removes them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from posixpath import dirname

from platforms.labels import LABEL_COMPONENT, LABEL_PROJECT, LABEL_RUNS, LABEL_STACK, metrics_marks, protection
from platforms.workload import File, OnDemand, Service, Volume, Workload
from problems import Problem

LOG_DRIVER = "json-file"
LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
SECURITY_OPTIONS = ("no-new-privileges:true",)
# Docker's default share of one core.
SHARES_OF_A_CORE = 1024


@dataclass(frozen=True)
class DockerPlan:
    """The objects of one stack on one engine.

    A workload that others may call has a network of its own, which they join; a network without a published
    port is internal: nothing on it reaches the outside or is reached from there. A workload that nobody comes to and
    that has a way out has a second network for that, which it shares with nobody.
    """

    project: str
    stack: str
    workloads: tuple[Workload, ...]

    def physical(self, name: str) -> str:
        """The name of a container, network or volume: scoped, so that two stacks share an engine."""
        return f"{self.project}-{self.stack}-{name}"

    def labels(self, component: str) -> dict[str, str]:
        """The labels that every container, volume and network of a stack carries."""
        return {LABEL_PROJECT: self.project, LABEL_STACK: self.stack, LABEL_COMPONENT: component}

    def networks(self) -> dict[str, bool]:
        """The stack's networks by the workload that owns each; the value tells whether it is internal."""
        own = {w.name: not w.entrances for w in self.workloads if w.callers or w.entrances}
        return own | {_way_out(w): False for w in self.workloads if _way_out(w)}

    def joined(self, workload: Workload) -> tuple[str, ...]:
        """The networks a workload is on: its own, and those of the workloads it may call."""
        own = [name for name in (workload.name, _way_out(workload)) if name in self.networks()]
        return (*own, *sorted(w.name for w in self.workloads if workload.name in w.callers))

    def groups(self, workload: Workload) -> tuple[str, ...]:
        """The groups that its user is in beside its own: those of the owners of what it reads."""
        owners = {w.name: w.uid for w in self.workloads}
        return tuple(sorted({str(owners[reading.workload]) for reading in workload.readings}))

    def container_labels(self, workload: Workload) -> dict[str, str]:
        """The labels of a container: whose it is, how it runs, and where its metrics are."""
        labels = self.labels(workload.name)
        if not isinstance(workload.runs, Service):
            labels[LABEL_RUNS] = "on-demand" if isinstance(workload.runs, OnDemand) else "scheduled"
        for port in workload.ports:
            if port.metrics:
                labels |= metrics_marks(port)
        return labels

    def volume_labels(self, workload: Workload, volume: Volume) -> dict[str, str]:
        """The labels of data."""
        return self.labels(workload.name) | protection(volume.protected)

    def as_marked(self, mark: Callable[[str, bool], bool]) -> DockerPlan:
        """The same with other volumes labelled as protected. mark: tells it of a name and what this plan says."""

        def marked(workload: Workload, volume: Volume) -> Volume:
            name = self.physical(f"{workload.name}-{volume.name}")
            return replace(volume, protected=mark(name, volume.protected))

        workloads = (replace(w, volumes=tuple(marked(w, volume) for volume in w.volumes)) for w in self.workloads)
        return replace(self, workloads=tuple(workloads))

    def check(self) -> list[Problem]:
        """What Docker cannot honour."""
        problems = [
            Problem(f"workload {w.name}", f"{w.runs.max_replicas or w.runs.replicas} replicas", "expected 1 on Docker")
            for w in self.workloads
            if isinstance(w.runs, Service) and (w.runs.max_replicas or w.runs.replicas) != 1
        ]
        expected = "expected a target that tells what it ran before: on Docker somebody has to ask for each run"
        problems += [Problem(f"workload {w.name}", "runs at changes", expected) for w in self.workloads if w.at_change]
        expected = "expected a value or a generated one: Docker keeps no secrets"
        return problems + [
            Problem(f"workload {w.name}", f"secret {secret.name}, kept as {secret.kept.name}", expected)
            for w in self.workloads
            for secret in w.secrets
            if secret.kept
        ]


def _way_out(workload: Workload) -> str:
    return f"{workload.name}-outside" if workload.outside and not workload.entrances else ""


def shares(workload: Workload) -> int:
    return int(workload.resources.cpus * workload.resources.weight * SHARES_OF_A_CORE)


def tmpfs_options(uid: int) -> str:
    """A scratch directory in memory, counted in the container's own limit and private to its user."""
    return f"rw,nosuid,nodev,size=256m,mode=0700,uid={uid},gid={uid}"


def file_volumes(workload: Workload) -> dict[str, tuple[File, ...]]:
    """The workload's files by volume slug. A slug changes with its files, so that a container that mounts them
    is made anew when one of them changes."""
    found: dict[str, tuple[File, ...]] = {}
    for directory in sorted({dirname(file.path) for file in workload.files}):
        files = tuple(file for file in workload.files if dirname(file.path) == directory)
        content = "\0".join(f"{file.path}\0{file.content}" for file in files)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        found[f"{directory.strip('/').replace('/', '-').replace('.', '-')}-{digest}"] = files
    return found
