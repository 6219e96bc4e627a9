"""The rules that every set of workloads keeps, whatever the target: what no platform can honour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from posixpath import normpath

from platforms.schedule import ScheduleError, parse
from platforms.secrets import Change, Secret
from platforms.shapes import check_shape, is_port
from platforms.workload import HttpCheck, Port, Protocol, Scheduled, Service, Workload
from problems import Problem
from settings.types import is_destination, is_loopback, is_plain_ipv6


def check_workloads(workloads: Sequence[Workload]) -> list[Problem]:
    """Everything that is wrong with them, all at once."""
    names = [w.name for w in workloads]
    problems = [
        Problem(f"workload {name}", "", "expected a name used once")
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for workload in workloads:
        problems += check_shape(workload)
        problems += _itself(workload)
        problems += _paths(workload)
        problems += _ports(workload, names)
        problems += _outside(workload)
        problems += _reserved(workload, names)
    return [*problems, *_data(workloads), *_networks(workloads), *_entrances(workloads), *_readings(workloads)]


def _itself(workload: Workload) -> Iterator[Problem]:
    where = f"workload {workload.name}"
    for key in sorted(set(workload.env) & set(workload.secret_env)):
        yield Problem(where, key, "set both as plain and as secret variable")
    for key, text in workload.secret_env.items():
        if text.kept and not all(secret.kept for secret in text.secrets):
            yield Problem(where, key, "expected all of its secrets to be kept by the target, or none")
        if text.kept and text.spells and not (text.expressed and workload.program):
            yield Problem(where, key, "expected nothing but a URL or a value for Keycloak of what the target keeps")
    if isinstance(workload.runs, Service):
        if workload.runs.scale_at_percent < 1:
            yield Problem(f"{where}, scaling", f"{workload.runs.scale_at_percent} %", "expected at least 1 %")
        return
    if isinstance(workload.runs, Scheduled):
        try:
            parse(workload.runs.cron)
        except ScheduleError as error:
            yield Problem(f"{where}, schedule", workload.runs.cron, str(error))
    if workload.runs.timeout_seconds < 1:
        yield Problem(f"{where}, timeout", str(workload.runs.timeout_seconds), "expected at least 1 second")
    if not workload.args:
        # Targets differ in what they run then: the image's own command, or nothing.
        yield Problem(where, "arguments", "expected what it runs: no target knows it")
    if workload.ports:
        expected = "expected none: nobody can call what does not run for ever"
        yield Problem(where, f"port {workload.ports[0].name}", expected)


def _paths(workload: Workload) -> Iterator[Problem]:
    """Each thing that is put into it has a place of its own there, which every target spells alike."""
    where = f"workload {workload.name}"
    mounts = [*(v.path for v in workload.volumes), *(r.path for r in workload.readings), *workload.writable]
    mounts += [scratch.path for scratch in workload.scratch]
    paths = [*mounts, *(file.path for file in workload.files)]
    for path in sorted(path for path, times in Counter(paths).items() if times > 1):
        yield Problem(where, f"path {path}", "expected one thing there: the last one would hide the others")
    for path in dict.fromkeys(paths):
        plain = path.startswith("/") and "//" not in path and normpath(path) == path and path.isprintable()
        if not plain or set(path) & set(":$"):
            yield Problem(where, f"path {path}", "expected an absolute path as short as can be, without : and $")


def _data(workloads: Sequence[Workload]) -> Iterator[Problem]:
    """Data of two workloads has two names: on a target it is named by both, the workload and the volume."""
    owners: dict[str, str] = {}
    for workload in workloads:
        for volume in workload.volumes:
            first = owners.setdefault(f"{workload.name}-{volume.name}", workload.name)
            if first != workload.name:
                expected = f"expected another name: together with the workload's it is that of a volume of {first}"
                yield Problem(f"workload {workload.name}", f"volume {volume.name}", expected)


def _networks(workloads: Sequence[Workload]) -> Iterator[Problem]:
    """No workload has the name that another one's way out has on a target with networks."""
    names = {workload.name for workload in workloads}
    for workload in workloads:
        taken = f"{workload.name}-outside"
        if workload.outside and taken in names:
            yield Problem(f"workload {taken}", "", f"expected another name: the way out of {workload.name} has it")


def _ports(workload: Workload, names: Sequence[str]) -> Iterator[Problem]:
    if not isinstance(workload.runs, Service):
        return
    where = f"workload {workload.name}"
    probe = workload.runs.probe
    probed = {check.port for check in (probe.http, probe.live) if isinstance(check, HttpCheck)}
    for kind, count in (
        ("name", Counter(port.name for port in workload.ports)),
        ("number", Counter(str(port.number) for port in workload.ports)),
    ):
        for value in sorted(value for value, times in count.items() if times > 1):
            yield Problem(where, f"port {value}", f"expected a {kind} used once")
    for port in workload.ports:
        for caller in port.callers:
            if caller not in names:
                yield Problem(where, f"caller {caller} of port {port.name}", "expected a workload's name")
        if not is_port(port.number):
            yield Problem(where, f"port {port.name} = {port.number}", "expected a number from 1 to 65535")
        if port.metrics and not port.metrics.startswith("/"):
            yield Problem(where, f"metrics {port.metrics} of port {port.name}", "expected a path that starts with /")
        if port.metrics and port.protocol not in (Protocol.HTTP, Protocol.HTTPS):
            yield Problem(where, f"metrics of port {port.name} = {port.protocol}", "expected http or https")
        if port.metrics and workload.reserved and (port.callers or port.entrance):
            expected = "expected a port of their own: who reads them does not go by what guards the reserved requests"
            yield Problem(where, f"metrics of port {port.name}", expected)
        if not _used(port, probed):
            expected = "expected a caller, an entrance, a probe or metrics: nobody uses it"
            yield Problem(where, f"port {port.name}", expected)
    read = [port.name for port in workload.ports if port.metrics]
    if len(read) > 1:
        yield Problem(where, f"metrics of ports {', '.join(read)}", "expected those of one port")
    for number in sorted(probed - {port.number for port in workload.ports}, key=str):
        yield Problem(where, f"probe of port {number}", "expected one of its ports")


def _used(port: Port, probed: set[int]) -> bool:
    return bool(port.callers or port.entrance or port.metrics or port.number in probed)


def _reserved(workload: Workload, names: Sequence[str]) -> Iterator[Problem]:
    senders = workload.reserved.senders if workload.reserved else ()
    for sender in senders:
        if isinstance(sender, str) and sender not in workload.callers:
            expected = "expected a caller of one of its ports" if sender in names else "expected a workload's name"
            yield Problem(f"workload {workload.name}", f"reserved for {sender}", expected)


def _readings(workloads: Sequence[Workload]) -> Iterator[Problem]:
    before: set[tuple[str, str]] = set()
    for workload in workloads:
        for reading in workload.readings:
            if (reading.workload, reading.volume) not in before:
                shown = f"volume {reading.volume} of {reading.workload}"
                expected = "expected a volume of a workload that stands before this one"
                yield Problem(f"workload {workload.name}", shown, expected)
        before |= {(workload.name, volume.name) for volume in workload.volumes}


def check_secrets(secrets: Iterable[Secret]) -> list[Problem]:
    """What is wrong with the secrets of a stack, each given once for every place where it stands."""
    problems, known = [], dict[str, Secret]()
    for secret in secrets:
        where = f"secret {secret.name}"
        first = known.setdefault(secret.name, secret)
        if first != secret:
            # Whoever asks second would be given the first one's value.
            parts = ("length", "value", "kept", "version", "change")
            differing = ", ".join(name for name in parts if getattr(first, name) != getattr(secret, name))
            problems.append(Problem(where, "", f"expected one secret of that name; two differ in {differing}"))
        if first is not secret:
            continue
        if secret.version < 1:
            problems.append(Problem(where, f"version {secret.version}", "expected 1 or more"))
        elif secret.version > 1 and (secret.value is not None or secret.kept is not None):
            expected = "expected 1: whoever gives the value gives a new one"
            problems.append(Problem(where, f"version {secret.version}", expected))
        elif secret.version > 1 and secret.change is Change.LOSES_DATA:
            expected = "expected 1: what it encrypts could no longer be read"
            problems.append(Problem(where, f"version {secret.version}", expected))
    return list(dict.fromkeys(problems))


def _outside(workload: Workload) -> Iterator[Problem]:
    where = f"workload {workload.name}"
    for outside in workload.outside:
        shown = f"way out to {outside.host or 'nowhere'}"
        if not is_port(outside.port):
            yield Problem(where, shown, f"expected a port from 1 to 65535, not {outside.port}")
        if not outside.host:
            yield Problem(where, shown, "expected a host name, an address or a network")
        elif not (is_destination(outside.host) or _ipv6(outside.host)):
            # Taken for a name, it would open its port to every address.
            single = "a host name, or an IPv4 address such as 10.0.0.1"
            wanted = "an IPv4 network such as 10.0.0.0/8" if "/" in outside.host else single
            yield Problem(where, shown, f"expected {wanted}")


def _ipv6(text: str) -> bool:
    """Whether a server may be there: the settings take such an address where no network can stand."""
    return is_plain_ipv6(text) and not is_loopback(text)


def _entrances(workloads: Sequence[Workload]) -> Iterator[Problem]:
    taken: dict[int, tuple[str, str]] = {}
    for workload in workloads:
        where = f"workload {workload.name}"
        for port, entrance in workload.entrances:
            number = entrance.host_port
            if not is_port(number):
                yield Problem(where, f"host port {number} of port {port.name}", "expected a number from 1 to 65535")
            elif number in taken:
                owner, name = taken[number]
                first = f"its port {name}" if owner == workload.name else owner
                yield Problem(where, f"port {number}", f"already published by {first}")
            else:
                taken[number] = (workload.name, port.name)
