"""What the words of one workload look like: names, numbers and variables that every target takes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from platforms.workload import Service, Workload
from problems import Problem

# A DNS label (RFC 1123, section 2.1), in the small letters that Kubernetes asks for.
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# A service's name (RFC 6335, section 5.1), as Kubernetes takes it for a container's port.
_PORT = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
# A name that every target and shell can carry (POSIX, "Environment Variables").
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_A_LABEL = "expected a DNS label: up to 63 of a-z, 0-9 and -, neither first nor last a -"
_A_PORT = "expected a service's name: up to 15 of a-z, 0-9 and -, a letter among them, each - between two others"


def is_port(number: object) -> bool:
    """Whether it is a TCP port: a whole number, which Python takes True for as well."""
    return type(number) is int and 0 < number < 65536


def is_count(number: object) -> bool:
    """Whether it is a whole number of 1 or more."""
    return type(number) is int and number > 0


def check_shape(workload: Workload) -> Iterator[Problem]:
    """What is wrong with the words of a workload, each looked at alone."""
    where = f"workload {workload.name}"
    if not LABEL.fullmatch(workload.name):
        yield Problem(where, "", _A_LABEL)
    if not is_count(workload.uid):
        yield Problem(where, f"uid {workload.uid}", "expected a non-root user")
    for name in dict.fromkeys(port.name for port in workload.ports):
        if not _PORT.fullmatch(name):
            yield Problem(where, f"port {name}", _A_PORT)
    for name in dict.fromkeys(volume.name for volume in workload.volumes):
        if not LABEL.fullmatch(name):
            yield Problem(where, f"volume {name}", _A_LABEL)
    for name, times in Counter(volume.name for volume in workload.volumes).items():
        if times > 1:
            yield Problem(where, f"volume {name}", "expected a name used once")
    for name in sorted({*workload.env, *workload.secret_env}):
        if not VARIABLE.fullmatch(name):
            expected = "expected a name of letters, digits and _, with no digit first"
            yield Problem(where, f"variable {name}", expected)
    if isinstance(workload.runs, Service):
        yield from _copies(where, workload.runs)


def _copies(where: str, service: Service) -> Iterator[Problem]:
    least, most = service.replicas, service.max_replicas
    if not is_count(least):
        yield Problem(f"{where}, replicas", str(least), "expected at least 1")
    elif most is not None and (not is_count(most) or most < least):
        yield Problem(f"{where}, scaling", f"up to {most} replicas", f"expected {least} or more")
