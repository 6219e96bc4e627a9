"""What stands between people and the stack: certificates, clocks, host names."""

from __future__ import annotations

import fnmatch
import ipaddress
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from components.mlflow import SERVER as MLFLOW
from settings import is_loopback
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check

# Seconds. A token that is from the future, or over, by less than this is a matter of chance.
MAX_SKEW = 10


@check(Needs.URL)
def ca_chain(seen: Observed) -> Iterator[Finding]:
    here = [seen.login.replies[0], seen.discovery, seen.login.page]
    told = set()
    for reply in here:
        if reply is None or not reply.untrusted:
            continue
        host = urlsplit(reply.url).netloc
        if host in told:
            continue
        told.add(host)
        cause = "its certificate is signed by a CA that is not trusted here, is expired, or is for another name"
        fix = f"stackctl doctor --stack {seen.stack} --url {seen.mlflow_url} --ca-bundle FILE"
        yield Finding("ca-chain", f"{host}: {reply.error}", cause, fix)
    if seen.inside is not None and seen.inside.discovery.untrusted:
        found = seen.inside.discovery
        evidence = f"from inside MLflow, {urlsplit(found.url).netloc}: {found.error[-200:]}"
        cause = "MLflow does not trust the CA of Keycloak's certificate; caBundle in the settings names a file with it"
        yield Finding("ca-chain", evidence, cause, seen.remake(MLFLOW))


@check(Needs.URL)
def clocks(seen: Observed) -> Iterator[Finding]:
    fix = "timedatectl set-ntp true"
    for name, reply in (("MLflow", seen.login.replies[0]), ("Keycloak", seen.discovery)):
        if reply is not None and reply.skew is not None and abs(reply.skew) > MAX_SKEW:
            evidence = f"the Date of {name}'s answer is {_apart(reply.skew)} this machine's clock"
            yield Finding("clock-skew", evidence, "one of the two machines does not keep its clock", fix)


@check(Needs.STACK)
def inner_clocks(seen: Observed) -> Iterator[Finding]:
    fix = "timedatectl set-ntp true"
    cause = "the machine that runs the containers, or this one, does not keep its clock"
    for instance in seen.instances:
        if not instance.running or seen.running is None:
            continue
        start = time.time()
        answer = seen.running.execute(instance, ("date", "+%s"))
        skew = apart(answer.out, start, time.time())
        if skew is not None and abs(skew) > MAX_SKEW:
            yield Finding("clock-skew", f"the clock of {instance.name} is {_apart(skew)} this machine's", cause, fix)
    start = time.time()
    issued = (seen.own_token or {}).get("iat")
    # Asked a moment ago or in another check; only a token from the future is certain.
    if isinstance(issued, int) and issued - max(start, time.time()) > MAX_SKEW:
        skew = issued - start
        yield Finding("clock-skew", f"Keycloak's tokens are from {_apart(skew)} this machine's clock", cause, fix)


def apart(shown: str, start: float, end: float) -> float | None:
    """Seconds by which a clock that showed `shown` (seconds since the epoch) between start and end is ahead."""
    if not shown.strip().isdigit():
        return None
    there = int(shown)
    if there > end:
        return there - end
    return there + 1 - start if there + 1 < start else 0.0


def _apart(skew: float) -> str:
    return f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"


@check(Needs.STACK)
def allowed_hosts(seen: Observed) -> Iterator[Finding]:
    view = seen.mlflow
    if view is None:
        return
    public = urlsplit(seen.mlflow_url).netloc
    if allows(view.allowed_hosts, public):
        return
    listed = ", ".join(view.allowed_hosts) or "(not set: loopback and private addresses alone)"
    evidence = f"MLFLOW_SERVER_ALLOWED_HOSTS is {listed}; people come to {public}"
    cause = "MLflow answers every other name with 403 Invalid Host header"
    yield Finding("allowed-hosts", evidence, cause, seen.remake(MLFLOW))


def allows(patterns: tuple[str, ...], host: str) -> bool:
    """MLflow's own rule (mlflow.server.security_utils): equal, or a pattern with an asterisk that matches."""
    if patterns:
        return any(fnmatch.fnmatch(host, p) if "*" in p else host == p for p in patterns)
    name = urlsplit(f"//{host}").hostname or ""
    if is_loopback(name):
        return True
    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return False
