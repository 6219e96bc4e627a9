"""The checks there are, and how they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from platforms.inventory import InventoryError
from stackctl.doctor.findings import Finding, Mask
from stackctl.doctor.observed import Observed
from stackctl.errors import AccessError

Check = Callable[[Observed], Iterator[Finding]]


class Needs(StrEnum):
    """What a check looks at."""

    URL = "url"
    STACK = "stack"


@dataclass(frozen=True)
class Registered:
    name: str
    needs: Needs
    run: Check


CHECKS: list[Registered] = []


def check(needs: Needs) -> Callable[[Check], Check]:
    """Register a check. One that needs the stack is left out where only a URL is known."""

    def register(function: Check) -> Check:
        CHECKS.append(Registered(function.__name__.replace("_", "-"), needs, function))
        return function

    return register


@dataclass(frozen=True)
class Report:
    """What the checks came to. unchecked: checks by name that gave no answer, with the reason."""

    findings: tuple[Finding, ...]
    unchecked: tuple[tuple[str, str], ...]
    checks: int

    @property
    def healthy(self) -> bool:
        return not self.findings and not self.unchecked


def examine(seen: Observed) -> Report:
    """Run every check that applies, side by side; findings come in the order of the checks."""
    chosen = [one for one in CHECKS if one.needs is Needs.URL or seen.instances]
    mask = Mask(seen.secret_values())

    def run(one: Registered) -> tuple[list[Finding], str]:
        found = []
        try:
            for finding in one.run(seen):
                found.append(mask.finding(finding))
        except (AccessError, InventoryError) as error:
            return found, mask.text(str(error))
        return found, ""

    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(pool.map(run, chosen))
    findings = {(f.id, f.evidence): f for found, _ in results for f in found}
    unchecked = [(one.name, reason) for one, (_, reason) in zip(chosen, results, strict=True) if reason]
    return Report(tuple(findings.values()), tuple(unchecked), len(chosen))
