"""The checks there are, and how they are run."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlflow_sso_client.errors import AccessError

from platforms.inventory import InventoryError
from platforms.threads import side_by_side
from settings import ROOT
from stackctl.doctor.findings import Finding, Mask, in_order
from stackctl.doctor.observed import Observed

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
    """Run every check that applies, side by side; findings come in their order, and what follows from others last."""
    chosen = [one for one in CHECKS if one.needs is Needs.URL or seen.instances]
    mask = Mask(seen.secret_values())

    def run(one: Registered) -> tuple[list[Finding], str]:
        found = []
        try:
            for finding in one.run(seen):
                found.append(mask.finding(finding))
        except (AccessError, InventoryError) as error:
            return found, mask.text(str(error))
        except Exception as error:
            # One check that meets what nobody thought of must not hide what the others see.
            found.append(not_examined(one.name, error, seen.stack))
        return found, ""

    with side_by_side(8) as pool:
        results = list(pool.map(run, chosen))
    findings = {(f.id, f.evidence): f for found, _ in results for f in found}
    unchecked = [(one.name, reason) for one, (_, reason) in zip(chosen, results, strict=True) if reason]
    return Report(tuple(in_order(findings.values())), tuple(unchecked), len(chosen))


def not_examined(what: str, error: Exception, stack: str) -> Finding:
    """The finding for an error that nobody thought of. Its text may hold anything, so only kind and place are told."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT / "stackctl")]
    place = (own or frames)[-1]
    evidence = f"{what}: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    cause = "an answer that stackctl does not know how to read, or a defect of its own"
    return Finding("not-examined", evidence, cause, f"stackctl doctor --stack {stack}")
