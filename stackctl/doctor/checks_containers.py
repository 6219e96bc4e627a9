"""Is everything there, does it run, and is it what the definition says?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from platforms.running import Instance
from platforms.secrets import Secret, SecretText, Written
from platforms.workload import Workload
from settings import ENCRYPTED
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check

FULL_PERCENT = 95
# A large disk that is 96 percent full still has room.
FULL_BYTES = 1 << 30
# A line of `df -Pk` (POSIX, df -P), sizes in KiB. The file system's name and the place may have spaces in them, and
# there are dashes where the kernel tells no size.
_DISK = re.compile(r"(?P<device>.+?) +(?P<size>\d+) +(?P<used>\d+) +(?P<available>\d+) +\d+% (?P<place>/.*)")
# Kernel file systems that a container sees and nobody writes to.
_NOT_DISKS = ("/proc", "/sys", "/dev", "/etc")


@check(Needs.STACK)
def containers(seen: Observed) -> Iterator[Finding]:
    for trouble in seen.troubles:
        yield Finding(trouble.kind, trouble.evidence, trouble.cause, trouble.fix or seen.remake(""))
    there = {instance.component for instance in seen.instances}
    for workload in seen.defined:
        if workload.name not in there:
            evidence = f"the stack's definition has {workload.name}, and there is no container of it"
            cause = "somebody removed it, or it was added to the settings after the last up"
            yield Finding("container-not-running", evidence, cause, seen.remake(workload.name))


@check(Needs.STACK)
def definition(seen: Observed) -> Iterator[Finding]:
    for workload in seen.defined:
        instance = seen.instance(workload.name)
        if instance is None:
            continue
        differences = [*_differences(workload, instance, seen), *_changed_files(workload, instance, seen)]
        if differences:
            cause = "the settings changed after it was made, or it was made by hand"
            evidence = f"{instance.name}: {'; '.join(differences)}"
            yield Finding("container-outdated", evidence, cause, seen.remake(workload.name))


def _differences(workload: Workload, instance: Instance, seen: Observed) -> Iterator[str]:
    if instance.image != workload.image:
        yield f"image is {instance.image}, defined is {workload.image}"
    if workload.args and instance.args != workload.args:
        yield f"arguments are {' '.join(instance.args)!r}, defined are {' '.join(workload.args)!r}"
    ports = frozenset((port.number, entrance.host_port) for port, entrance in workload.entrances)
    if instance.ports is not None and instance.ports != ports:
        yield f"published ports are {_ports(instance.ports)}, defined are {_ports(ports)}"
    if instance.memory_mib != workload.resources.memory_mib:
        yield f"memory limit is {instance.memory_mib} MiB, defined is {workload.resources.memory_mib} MiB"
    for name, value in workload.env.items():
        if instance.env.get(name) != value and value != ENCRYPTED:
            yield f"{name} is {_shown(instance.env.get(name))}, defined is {_shown(value)}"
    for name, text in workload.secret_env.items():
        wanted = _resolved(text, seen)
        if name not in instance.env:
            yield f"{name} is not set"
        elif wanted is not None and instance.env[name] != wanted:
            yield f"{name} differs (secret)"
    for name in sorted(set(instance.env) - set(workload.env) - set(workload.secret_env)):
        yield f"{name} is set, and not defined"


def _shown(value: str | None) -> str:
    return "not set" if value is None else repr(value)


def _ports(ports: frozenset[tuple[int, int]]) -> str:
    return ", ".join(f"{host}->{inside}" for inside, host in sorted(ports)) or "none"


def _resolved(text: SecretText, seen: Observed) -> str | None:
    """The text with its secrets; None when one of them is not known here."""

    def value(secret: Secret) -> str | None:
        given = secret.value if secret.value is not None else seen.kept.get(secret.stored)
        return None if given == ENCRYPTED else given

    def written(part: Written) -> str | None:
        known = value(part.secret)
        return None if known is None else part.spelt(known)

    def plain(part: str) -> str | None:
        return part

    parts = [part for part in text.fold(plain, value, written) if part is not None]
    return "".join(parts) if len(parts) == len(text.parts) else None


def _changed_files(workload: Workload, instance: Instance, seen: Observed) -> Iterator[str]:
    if not workload.files or not instance.running or seen.running is None:
        return
    answer = seen.running.execute(instance, ("sha256sum", *(file.path for file in workload.files)))
    found = {path: digest for digest, _, path in (line.partition("  ") for line in answer.out.splitlines())}
    for file in workload.files:
        if found.get(file.path) != hashlib.sha256(file.content.encode()).hexdigest():
            yield f"file {file.path} differs" if file.path in found else f"file {file.path} cannot be read"


@check(Needs.STACK)
def disks(seen: Observed) -> Iterator[Finding]:
    told = set()
    for instance in seen.instances:
        if not instance.running or seen.running is None:
            continue
        for disk in map(_DISK.fullmatch, seen.running.execute(instance, ("df", "-Pk")).out.splitlines()):
            if disk is None or disk["place"].startswith(_NOT_DISKS):
                continue
            device, place, used, available = disk["device"], disk["place"], int(disk["used"]), int(disk["available"])
            if not full(used, available):
                continue
            in_memory = device == "tmpfs"
            # One disk of the host is seen from every container; other hosts may have one of the same name.
            if not in_memory and (device, disk["size"]) in told:
                continue
            told.add((device, disk["size"]))
            evidence = f"{instance.name}: {place} has {available >> 10} MiB free of {(used + available) >> 10} MiB"
            if in_memory:
                cause = "scratch files fill this directory, which is memory and goes with the container's next start"
                fix = seen.running.shell(instance, f"du -ak {place} | sort -n | tail")
            else:
                cause, fix = "the disk under the stack's data is full", seen.running.space(instance, place)
            yield Finding("disk-full", evidence, cause, fix)


def full(used: int, available: int) -> bool:
    """Whether a file system is as good as full. Sizes in KiB."""
    size = used + available
    return size > 0 and used * 100 >= size * FULL_PERCENT and available * 1024 < FULL_BYTES
