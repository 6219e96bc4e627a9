"""Does each program find the others by their names?"""

from __future__ import annotations

from collections.abc import Iterator

from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check

# What `getent` exits with for a name that nobody knows, or that nobody answers for (getent(1)).
_UNKNOWN = 2


@check(Needs.STACK)
def name_lookup(seen: Observed) -> Iterator[Finding]:
    for workload in seen.defined:
        caller = seen.instance(workload.name)
        if seen.running is None or caller is None or not caller.running:
            continue
        others = (w for w in seen.defined if w is not workload and workload.name in w.callers)
        callees = [w.name for w in others if seen.runs(w.name)]
        if not callees:
            continue
        if seen.running.execute(caller, ("getent", "hosts", callees[0])).code == _UNKNOWN:
            evidence = f"{caller.name}: nobody answers for the name {callees[0]}, which runs"
            cause = "it cannot reach the target's DNS, or that does not run"
            yield Finding("name-lookup", evidence, cause, f"stackctl up --stack {seen.stack}")
